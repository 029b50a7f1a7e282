"""The `sample` command."""

from pathlib import Path
from typing import Any

import click

from mnist_ddm.terminal import options
from mnist_ddm.terminal.progress import progress_bars, waiting
from mnist_ddm.terminal.screen import Screen
from mnist_ddm.terminal.words import shown_samples


@click.command("sample")
@options.system_options
@click.option("--routing", default="top2", show_default=True, help="top1, top2, ..., full, once, label, or monolith.")
@click.option("--n", type=int, default=64, show_default=True, help="Number of samples.")
@click.option("--steps", type=int, default=50, show_default=True, help="Solver steps.")
@click.option("--solver", default="heun", show_default=True, help="heun, euler or ab2; heun@churn=2 with noise.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("grid.png"), show_default=True, help="The picture to write."
)
@click.option(
    "--record",
    is_flag=True,
    help="Draw how each sample comes about: strips over t, or the ways of points.",
)
@options.seed
@options.workers
@options.as_json
def sample(
    system: str,
    routing: str,
    n: int,
    steps: int,
    solver: str,
    out: Path,
    record: bool,
    seed: int,
    workers: int | None,
    json: bool,
    **of_system: Any,
) -> None:
    """Draw samples from noise and write them as one picture: a grid of images, or points of the plane.

    A sample depends on --seed and its number alone: the first 4 of --n 64 are the 4 of --n 4.
    """
    console = Screen(stderr=json)
    with waiting(console, "starting"):
        import torch

        from mnist_ddm.compute.scratch import scratch_folder
        from mnist_ddm.core.field import make_field
        from mnist_ddm.core.visits import Sampling
        from mnist_ddm.errors import InputError
        from mnist_ddm.figures.samples import asked_captions, save_samples, save_strips
        from mnist_ddm.storage.files import check_writable
        from mnist_ddm.storage.recordings import RecordingStore
        from mnist_ddm.study.record import record_all
        from mnist_ddm.systems.registry import load_system
        from mnist_ddm.terminal.streams import print_json

    if out.suffix.lower() != ".png":
        raise InputError(f"--out must be a .png file, not {out}")
    sampling = Sampling(routing, n, seed, solver, steps)
    with waiting(console, f"loading the system {system}"):
        pool = load_system(system, **of_system)
    make_field(pool, routing)
    pool.draw(torch.zeros(1, *pool.state_shape, device=pool.device))  # what cannot be drawn is said before sampling
    check_writable(out)
    wanted = ("x", "velocity") if record else ()
    with scratch_folder("sample") as folder, progress_bars([f"{system} {routing}"], console) as update:
        count = options.resolve_workers(workers, of_system["device"])
        recordings = record_all(
            pool, {sampling: wanted}, RecordingStore(folder), count, lambda visits, fraction: update(0, fraction)
        )
    recording = recordings[sampling]
    description = {
        "Command": options.command_line(),
        "System": f"{pool.title} {pool.fingerprints['experts']}",
        "Torch": torch.__version__,
    }
    if record:
        save_strips(pool, recording, out, description)
    else:
        captions = asked_captions(pool, recording.seeds) if routing.split("@")[0].split("+")[0] == "label" else ()
        save_samples(pool, recording.final, out, description, captions=captions)
    evaluations = float(recording.evaluations.double().mean())
    if json:
        told = {"system": pool.title, **{k: v for k, v in vars(sampling).items() if k in _TOLD}}
        each = {"field_evaluations": sampling.evaluations, "expert_evaluations": evaluations}
        print_json({**told, **each, "picture": str(out)})
        return
    console.print(
        f"{out}: {shown_samples(n)}, {sampling.evaluations} evaluations of the field, {evaluations:.0f} of experts "
        "for each"
    )


_TOLD = ("routing", "n", "seed", "solver", "steps")
"""Of a sampling, in JSON."""
