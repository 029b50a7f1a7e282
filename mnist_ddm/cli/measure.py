"""The `measure` command."""

import time
from pathlib import Path

import click

from mnist_ddm.terminal import options
from mnist_ddm.terminal.progress import waiting
from mnist_ddm.terminal.screen import Screen


@click.command("measure")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--n", type=int, default=5000, show_default=True, help="Samples of each routing for the FIDs.")
@click.option("--steps", type=int, default=25, show_default=True, help="Heun steps for the FIDs.")
@click.option("--fidelity-n", type=int, default=1000, show_default=True, help="Samples for the fidelity.")
@click.option("--fidelity-steps", type=int, default=50, show_default=True, help="Heun steps for the fidelity.")
@options.seed
@options.data_dir
@options.workers
@options.device
def measure(
    checkpoint: Path,
    n: int,
    steps: int,
    fidelity_n: int,
    fidelity_steps: int,
    seed: int,
    data_dir: Path | None,
    workers: int | None,
    device: str,
) -> None:
    """Measure an mnist CHECKPOINT and put the figures on its card.

    Frechet distance for label-chosen, Top-1, Top-2, full ensemble and monolith; share of label-chosen samples that the
    classifier recognises; accuracies of classifier and router.
    """
    console = Screen()
    with waiting(console, "starting"):
        from mnist_ddm.analyses.quality import MAIN
        from mnist_ddm.core.visits import Sampling
        from mnist_ddm.errors import InputError
        from mnist_ddm.metrics.fidelity import classifier_accuracy, recognised_share, router_accuracy
        from mnist_ddm.models.checkpoint import write_figures
        from mnist_ddm.models.model_card import write_model_card
        from mnist_ddm.models.shipped import CARD
        from mnist_ddm.storage.cache import recording_store
        from mnist_ddm.study.plan import Plan
        from mnist_ddm.study.study import Study
        from mnist_ddm.systems.registry import load_system
        from mnist_ddm.tables.files import to_json
        from mnist_ddm.tables.terminal import to_rich
        from mnist_ddm.terminal.recordings import record_with_progress

    if not (checkpoint / CARD).is_file():
        raise InputError(f"{checkpoint} is not the folder of a checkpoint: it has no {CARD}, on which figures go")
    begin = time.monotonic()
    with waiting(console, f"loading {checkpoint}"):
        pool = load_system("mnist", device=device, checkpoint=checkpoint, data_dir=data_dir)
    study = Study(pool, ["quality"], n=n, steps=steps, seed=seed, routings=MAIN)
    label = Sampling("label", fidelity_n, seed, "heun", fidelity_steps)
    plan = Plan(pool, {label: (), **study.plan().wanted}, recording_store())
    recordings = record_with_progress(console, plan, options.resolve_workers(workers, device))
    tables = study.answer(recordings)["quality"].tables
    figures = {
        "command": options.command_line(),
        "classifier accuracy on the test images": classifier_accuracy(pool),
        "router accuracy by t": router_accuracy(pool),
        f"recognised share, label, n = {fidelity_n}, heun {fidelity_steps}": recognised_share(pool, recordings[label]),
        **{table.name: to_json(table) for table in tables},
    }
    write_figures(checkpoint, figures)
    write_model_card(checkpoint)
    for table in tables:
        console.print(to_rich(table, console.width))
    for key, value in figures.items():
        if not key.startswith("quality"):
            console.print(f"{key}: {value}")
    console.print(f"on the card of {checkpoint} ({time.monotonic() - begin:.0f} s)")
