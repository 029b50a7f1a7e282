"""The `explore` command."""

from pathlib import Path
from typing import Any

import click

from mnist_ddm.terminal import options
from mnist_ddm.terminal.progress import counted, waiting
from mnist_ddm.terminal.screen import Screen
from mnist_ddm.terminal.words import shown_samples


@click.command("explore")
@options.system_options
@click.option(
    "--routing",
    "routings",
    default="top2,top1,full",
    show_default=True,
    help="Routings to compare from the same noise, with commas between; the first is shown first.",
)
@click.option("--n", type=int, default=3, show_default=True, help="Number of samples to choose from.")
@click.option("--steps", type=int, default=50, show_default=True, help="Solver steps.")
@click.option("--solver", default="heun", show_default=True, help="heun, euler or ab2; heun@churn=2 with noise.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("explorer.html"),
    show_default=True,
    help="The page to write.",
)
@options.seed
@options.workers
def explore(
    system: str,
    routings: str,
    n: int,
    steps: int,
    solver: str,
    out: Path,
    seed: int,
    workers: int | None,
    **of_system: Any,
) -> None:
    """Write one HTML page that shows routing step by step; open it in any browser, no server or network is needed.

    A slider over t moves through the states, each expert's predicted image, the router's probabilities, and what each
    routing makes of them.
    """
    console = Screen()
    with waiting(console, "starting"):
        from mnist_ddm.core.visits import Sampling
        from mnist_ddm.errors import InputError
        from mnist_ddm.pages.courses import needed, trajectories
        from mnist_ddm.pages.explorer import choose_frames, explorer_page
        from mnist_ddm.storage.cache import recording_store
        from mnist_ddm.storage.files import check_writable, write_text
        from mnist_ddm.study.plan import Plan
        from mnist_ddm.systems.registry import load_system
        from mnist_ddm.terminal.recordings import record_with_progress

    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out must be a .html file, not {out}")
    names = list(dict.fromkeys(name.strip() for name in routings.split(",") if name.strip()))
    if not names:
        raise InputError("--routing names no routing; give some, such as top2,top1,full")
    samplings = [Sampling(name, n, seed, solver, steps) for name in names]
    with waiting(console, f"loading the system {system}"):
        pool = load_system(system, **of_system)
    for sampling in samplings:
        sampling.field(pool)
    frames = choose_frames(pool, samplings)
    check_writable(out)
    plan = Plan(pool, {sampling: needed(sampling) for sampling in samplings}, recording_store())
    recordings = record_with_progress(console, plan, options.resolve_workers(workers, of_system["device"]))
    with counted(console, "asking every expert and routing along the trajectories", names) as asked:
        courses = trajectories(pool, recordings, samplings, asked)
    with counted(console, "drawing", [f"sample {i + 1}" for i in range(n)]) as drawn:
        page = explorer_page(pool, courses, frames, options.command_line(), drawn)
    write_text(out, page)
    console.print(
        f"{out}: {shown_samples(n)}, {', '.join(names)}; {len(page.encode()) / 1e6:.1f} MB, opens in any browser"
    )
