"""The `analyze` command."""

import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mnist_ddm.cli import options


@click.command("analyze")
@options.system_options
@click.option(
    "--experiment", "experiments", multiple=True, help="An experiment; may be repeated.  [default: Appendix B's two]"
)
@click.option(
    "--group",
    default=None,
    help="All experiments of a group: alignment, quality, sensitivity, interventions, regimes or all.",
)
@click.option("--without", multiple=True, help="Leave out this experiment or group; may be repeated.")
@click.option("--n", type=int, default=None, help="Number of samples.  [default: the paper's]")
@click.option("--steps", type=int, default=None, help="Solver steps.  [default: the paper's]")
@click.option("--solver", default="heun", show_default=True, help="heun or euler.")
@click.option("--distance", default=None, help="Perceptual distance: digits, or LPIPS with alex, squeeze or vgg.")
@click.option("--features", default=None, help="Features of Frechet distances; `mnist-ddm info` lists them.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Run folder.  [default: runs/SYSTEM-HASH]")
@options.seed
@options.workers
def analyze(
    system: str,
    experiments: tuple[str, ...],
    group: str | None,
    without: tuple[str, ...],
    n: int | None,
    steps: int | None,
    solver: str,
    distance: str | None,
    features: str | None,
    out: Path | None,
    seed: int,
    workers: int | None,
    **of_system: Any,
) -> None:
    """Run experiments of the paper on a system and write tables, plots and a manifest.

    Sampling is recorded once and kept in the cache, so a second look takes seconds, and a run that was stopped goes
    on where it was.
    """
    from mnist_ddm.analyses.analysis import Settings, chosen_distance, chosen_features
    from mnist_ddm.analyses.registry import ANALYSES, APPENDIX_B, analyses_in, analysis_named
    from mnist_ddm.errors import InputError
    from mnist_ddm.study.facts import facts_of
    from mnist_ddm.study.folder import RunFolder, default_folder, identity, used_recordings
    from mnist_ddm.study.study import answer, answerable, make_plan
    from mnist_ddm.systems.registry import load_system
    from mnist_ddm.tables.terminal import to_rich
    from mnist_ddm.terminal.recordings import record_with_progress

    console = Console()
    begin = time.monotonic()
    chosen = Settings(n=n, steps=steps, seed=seed, solver=solver, distance=distance, features=features)
    asked = [a.id for a in analyses_in(group)] if group else []
    left_out = {a.id for name in without for a in ([analysis_named(name)] if name in ANALYSES else analyses_in(name))}
    names = [name for name in dict.fromkeys([*asked, *experiments] or APPENDIX_B) if name not in left_out]
    if not names:
        raise InputError("nothing is left to run; --without leaves out everything that was asked for")
    analyses = {a: a.settings(chosen) for a in map(analysis_named, names)}
    pool = load_system(system, **of_system)
    what_it_is = f"; {pool.description}" if pool.description else ""
    console.print(f"system {pool.name} ({pool.n_experts} experts{what_it_is}): {', '.join(a.id for a in analyses)}")
    if distance is not None:
        chosen_distance(pool, chosen)
    if features is not None:
        chosen_features(pool, chosen)
    analyses, cannot = answerable(pool, analyses)
    for analysis, why in cannot.items():
        if analysis.id in experiments or group is None or not analyses:
            raise InputError(why)
        console.print(f"not run: {analysis.id} ({why})")
    plan = make_plan(pool, analyses, options.cache_folder() / "recordings")
    what = identity(pool, chosen, [a.id for a in analyses])
    facts = facts_of(pool, chosen, of_system)
    folder = RunFolder(out or default_folder(what), what, options.command_line(), facts)
    recordings = record_with_progress(console, pool, plan, options.resolve_workers(workers, of_system["device"]))
    pictures = []
    for analysis, settings, findings in answer(pool, analyses, recordings):
        for table in findings.tables:
            if len(table.rows) <= _LONGEST_SHOWN:
                console.print(*to_rich(table, console.width), sep="\n")
        pictures += folder.write(analysis, settings, findings)
    folder.finish(used_recordings(pool, plan, recordings, options.cache_folder() / "recordings"))
    console.print("pictures:", *(str(p) for p in pictures), sep="\n  ")
    console.print(f"tables and manifest: {folder.folder} ({time.monotonic() - begin:.0f} s)")


_LONGEST_SHOWN = 20
"""Longer tables are in the files and in the plots, not on the screen."""
