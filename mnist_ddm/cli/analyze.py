"""The `analyze` command."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mnist_ddm.terminal import options
from mnist_ddm.terminal.progress import waiting
from mnist_ddm.terminal.screen import Screen

if TYPE_CHECKING:
    from mnist_ddm.analyses.analysis import Answer

_LONGEST_SHOWN = 20
"""Longer tables are in the files and in the plots, not on the screen."""


def chosen_routings(given: tuple[str, ...]) -> tuple[str, ...] | None:
    """The routings that --routing asks for, each once, in their order; ``None`` if it was not given."""
    return tuple(dict.fromkeys(r for text in given for r in text.replace(" ", "").split(",") if r)) or None


@click.command("analyze")
@options.system_options
@click.option(
    "--analysis",
    "--experiment",
    "analyses",
    multiple=True,
    help="An analysis; may be repeated.  [default: Appendix B's two]",
)
@click.option(
    "--group",
    "groups",
    multiple=True,
    help="All analyses of a group: alignment, quality, sensitivity, interventions, regimes or all; may be repeated.",
)
@click.option("--without", multiple=True, help="Leave out this analysis or group; may be repeated.")
@click.option(
    "--routing",
    "routings",
    multiple=True,
    help="Compare these routings, with commas between, where an analysis compares some.  [default: its own]",
)
@click.option("--n", type=int, default=None, help="Number of samples.  [default: the paper's]")
@click.option("--steps", type=int, default=None, help="Solver steps.  [default: the paper's]")
@click.option("--solver", default=None, help="heun, euler or ab2; heun@churn=2 with noise.  [default: heun]")
@click.option(
    "--distance",
    callback=options.not_empty,
    help="Perceptual distance: that of the system (digits for MNIST), or LPIPS with alex, squeeze or vgg.",
)
@click.option(
    "--features",
    callback=options.not_empty,
    help="Features of Frechet distances; `mnist-ddm info features` lists them.",
)
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Run folder.  [default: runs/SYSTEM-HASH]")
@options.seed
@options.workers
@options.backend
@options.shard
@options.as_json
def analyze(
    system: str,
    analyses: tuple[str, ...],
    groups: tuple[str, ...],
    without: tuple[str, ...],
    routings: tuple[str, ...],
    n: int | None,
    steps: int | None,
    solver: str | None,
    distance: str | None,
    features: str | None,
    out: Path | None,
    seed: int,
    workers: int | None,
    backend: str,
    shard: str | None,
    json: bool,
    **of_system: Any,
) -> None:
    """Run analyses of the paper on a system and write tables, plots and a manifest.

    Sampling is recorded once and kept in the cache, so a second look takes seconds, and a run that was stopped goes
    on where it was.
    """
    console = Screen(stderr=json)
    begin = time.monotonic()
    with waiting(console, "starting"):
        from mnist_ddm.analyses.registry import chosen
        from mnist_ddm.analyses.systems import distance_named, features_named
        from mnist_ddm.errors import InputError
        from mnist_ddm.study.folder import Provenance, default_folder
        from mnist_ddm.study.record import parse_shard
        from mnist_ddm.study.study import Study
        from mnist_ddm.systems.registry import load_system
        from mnist_ddm.tables.files import to_json
        from mnist_ddm.tables.terminal import to_rich
        from mnist_ddm.terminal.recordings import record_shard_with_progress, record_with_progress, write_with_progress
        from mnist_ddm.terminal.streams import print_json

    part = None if shard is None else parse_shard(shard)
    if json and part is not None:
        raise InputError("a --shard has nothing to say before the others are there; leave --json to the last command")
    names = chosen(analyses, groups, without)
    with waiting(console, f"loading the system {system}"):
        pool = load_system(system, **of_system)
    what_it_is = f"; {pool.description}" if pool.description else ""
    console.print(f"system {pool.title} ({pool.n_experts} experts{what_it_is}): {', '.join(names)}")
    if distance is not None:
        distance_named(pool, distance)
    if features is not None:
        features_named(pool, features)
    choices: dict[str, Any] = {
        "n": n,
        "steps": steps,
        "seed": seed,
        "solver": solver,
        "distance": distance,
        "features": features,
        "routings": chosen_routings(routings),
    }
    study = Study(pool, names, **choices)
    for name, why in study.absent.items():
        if name in analyses or not groups or not study.analyses:
            raise InputError(why)
        console.print(f"not run: {name} ({why})")
    if routings:
        for name, why in study.indifferent.items():
            console.print(f"{name}: --routing changes nothing there ({why})")
    count = options.resolve_workers(workers, of_system["device"])
    if part is not None:
        record_shard_with_progress(console, study.plan(), count, backend, part)
        return
    provenance = Provenance(options.command_line(), of_system)
    folder = study.open(out or default_folder(study.identity, pool.title), provenance)
    recordings = record_with_progress(console, study.plan(), count, backend, study.table_seconds)

    told: dict[str, object] = {}

    def show(name: str, answer: "Answer | None") -> None:
        for table in folder.tables(name) if answer is None else answer.tables:
            if json:
                told[table.name] = to_json(table)
            elif len(table.rows) <= _LONGEST_SHOWN:
                console.print(to_rich(table, console.width, str(folder.table_file(table.name))), "")

    write_with_progress(console, study, folder, recordings, show)
    if json:
        pictures = [str(picture) for picture in folder.pictures]
        what = {"system": pool.title, "folder": str(folder.folder), "not_run": study.absent, "pictures": pictures}
        print_json({**what, "tables": told})
        return
    console.print("pictures:", *(str(p) for p in folder.pictures), sep="\n  ")
    console.print(f"tables and manifest: {folder.folder} ({time.monotonic() - begin:.0f} s)")
