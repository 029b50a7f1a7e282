"""The `analyze` command."""

import time
from pathlib import Path

import click
from rich.console import Console

from mnist_ddm.cli import options


@click.command("analyze")
@options.system
@click.option(
    "--experiment", "experiments", multiple=True, help="An experiment; may be repeated.  [default: Appendix B's two]"
)
@click.option(
    "--group",
    default=None,
    help="All experiments of a group: alignment, quality, sensitivity, interventions, regimes or all.",
)
@click.option("--n", type=int, default=None, help="Number of samples.  [default: the paper's]")
@click.option("--steps", type=int, default=None, help="Solver steps.  [default: the paper's]")
@click.option("--solver", default="heun", show_default=True, help="heun or euler.")
@click.option("--distance", default=None, help="Perceptual distance: digits, or LPIPS with alex, squeeze or vgg.")
@click.option("--features", default=None, help="Features of Frechet distances; `mnist-ddm info` lists them.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Run folder.  [default: runs/SYSTEM-HASH]")
@options.seed
@options.checkpoint
@options.data_dir
@options.workers
@options.device
def analyze(
    system: str,
    experiments: tuple[str, ...],
    group: str | None,
    n: int | None,
    steps: int | None,
    solver: str,
    distance: str | None,
    features: str | None,
    out: Path | None,
    seed: int,
    checkpoint: Path | None,
    data_dir: Path | None,
    workers: int | None,
    device: str,
) -> None:
    """Run experiments of the paper on a system and write tables, plots and a manifest.

    Sampling is recorded once and kept in the cache, so a second look takes seconds, and a run that was stopped goes
    on where it was.
    """
    from mnist_ddm.analyses.base import Settings
    from mnist_ddm.analyses.registry import APPENDIX_B, analyses_in, analysis_named
    from mnist_ddm.cli.recordings import record_with_progress
    from mnist_ddm.report.facts import facts_of
    from mnist_ddm.report.run import RunFolder, default_folder, identity, used_recordings
    from mnist_ddm.report.study import answer, make_plan
    from mnist_ddm.report.tables import to_rich
    from mnist_ddm.systems.registry import load_system

    console = Console()
    begin = time.monotonic()
    chosen = Settings(n=n, steps=steps, seed=seed, solver=solver, distance=distance, features=features)
    asked = [a.id for a in analyses_in(group)] if group else []
    names = dict.fromkeys([*asked, *experiments] or APPENDIX_B)
    analyses = {a: a.settings(chosen) for a in map(analysis_named, names)}
    pool = load_system(system, device=device, checkpoint=checkpoint, data_dir=data_dir)
    plan = make_plan(pool, analyses, options.cache_folder() / "recordings")
    what = identity(pool, chosen, [a.id for a in analyses])
    facts = facts_of(pool, chosen, checkpoint=checkpoint, data_dir=data_dir, device=device)
    folder = RunFolder(out or default_folder(what), what, options.command_line(), facts)
    console.print(f"system {pool.name} ({pool.n_experts} experts): {', '.join(a.id for a in analyses)}")
    recordings = record_with_progress(console, pool, plan, options.resolve_workers(workers, device))
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
