"""The `reproduce` command."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from mnist_ddm.cli import options

if TYPE_CHECKING:
    from mnist_ddm.core.pool import ExpertPool
    from mnist_ddm.study.reproduction import Reproduction
    from mnist_ddm.study.scales import Scale


@click.command("reproduce")
@options.system_options
@click.option("--scale", default="small", show_default=True, help="small, medium or full: how many samples.")
@click.option("--only", multiple=True, metavar="CLAIM", help="Only what this claim needs; may be repeated.")
@click.option("--plan", "only_plan", is_flag=True, help="Print the plan and the estimate, and do nothing.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Run folder.  [default: runs/SYSTEM-HASH]")
@options.seed
@options.workers
def reproduce(
    system: str,
    scale: str,
    only: tuple[str, ...],
    only_plan: bool,
    out: Path | None,
    seed: int,
    workers: int | None,
    **of_system: Any,
) -> None:
    """Reproduce the paper on a system: every experiment, a verdict for every claim, and a page to look at.

    The plan comes first, with an estimate of time and disk. The same command goes on after a kill at any point:
    recordings and results that are there are not made again.
    """
    from mnist_ddm.analyses.analysis import Settings
    from mnist_ddm.claims.judge import judge_all
    from mnist_ddm.claims.word import counts_line, short_table
    from mnist_ddm.pages.report import write_report
    from mnist_ddm.study.facts import facts_of
    from mnist_ddm.study.folder import RunFolder, default_folder, identity, used_recordings
    from mnist_ddm.study.reproduction import answer_all, prepare, save_sample_grids
    from mnist_ddm.study.results import read_results
    from mnist_ddm.study.scales import scale_named
    from mnist_ddm.systems.registry import load_system
    from mnist_ddm.tables.terminal import to_rich
    from mnist_ddm.terminal.recordings import record_with_progress

    console = Console()
    begin = time.monotonic()
    size, count = scale_named(scale), options.resolve_workers(workers, of_system["device"])
    pool = load_system(system, **of_system)
    study = prepare(pool, size, seed, only)
    cache = options.cache_folder() / "recordings"
    _print_plan(console, pool, size, study, cache, count)
    if only_plan:
        return
    chosen = Settings(seed=seed)
    what = identity(pool, chosen, [a.id for a in (*study.analyses, *study.absent)], {**size.study, "only": list(only)})
    named = Settings(seed=seed, steps=size.steps)
    facts = facts_of(pool, named, of_system)
    folder = RunFolder(out or default_folder(what), what, options.command_line(), facts)
    recordings = record_with_progress(console, pool, study.plan, count)
    kept = answer_all(pool, study, recordings, folder)
    if kept:
        console.print(f"already answered: {', '.join(kept)}")
    save_sample_grids(pool, recordings, folder.folder, {"Command": options.command_line()})
    folder.finish(used_recordings(pool, study.plan, recordings, cache))
    judgements = judge_all(study.claims, read_results(folder.folder))
    page = write_report(folder.folder)
    for table in to_rich(short_table(judgements), console.width):
        console.print(table)
    console.print(counts_line(judgements))
    console.print(f"report: {page}")
    console.print(f"tables, plots and manifest: {folder.folder} ({time.monotonic() - begin:.0f} s)")


def _print_plan(
    console: Console, pool: "ExpertPool", scale: "Scale", study: "Reproduction", cache: Path, workers: int
) -> None:
    from rich.table import Table

    from mnist_ddm.terminal.recordings import estimated_seconds, shown_duration

    shown = Table(title=f"{pool.name}, scale {scale.name}: {scale.purpose}", title_justify="left")
    for heading in ("experiment", "question", "n", "steps", "claims"):
        shown.add_column(heading, justify="right" if heading in ("n", "steps", "claims") else "left")
    for analysis, settings in study.analyses.items():
        claims = sum(analysis.id in claim.analyses for claim in study.claims)
        numbers = (str(n) if n is not None else "its own" for n in (settings.n, settings.steps))
        shown.add_row(analysis.id, analysis.question, *numbers, str(claims))
    console.print(shown)
    for analysis, why in study.absent.items():
        console.print(f"not run: {analysis.id} ({why})")
    missing = study.plan.missing(pool, cache)
    disk = study.plan.bytes(pool, missing)
    seconds = estimated_seconds(pool, study.plan, missing, workers)
    console.print(
        f"{len(study.plan.observables)} recordings, {len(missing)} of them to be made: about {shown_duration(seconds)} "
        f"with {workers} worker{'s' if workers > 1 else ''}, then the tables; about {disk / 1e6:.0f} MB in {cache}"
    )
