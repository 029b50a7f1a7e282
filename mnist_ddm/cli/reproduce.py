"""The `reproduce` command."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from mnist_ddm.terminal import options
from mnist_ddm.terminal.screen import Screen

if TYPE_CHECKING:
    from mnist_ddm.claims.ledger import Claim
    from mnist_ddm.study.study import Study


@click.command("reproduce")
@options.system_options
@click.option("--scale", default="small", show_default=True, help="small, medium or full: how many samples.")
@click.option("--only", multiple=True, metavar="CLAIM", help="Only what this claim needs; may be repeated.")
@click.option("--plan", "only_plan", is_flag=True, help="Print the plan and the estimate, and do nothing.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Run folder.  [default: runs/SYSTEM-HASH]")
@options.seed
@options.workers
@options.backend
@options.shard
def reproduce(
    system: str,
    scale: str,
    only: tuple[str, ...],
    only_plan: bool,
    out: Path | None,
    seed: int,
    workers: int | None,
    backend: str,
    shard: str | None,
    **of_system: Any,
) -> None:
    """Reproduce the paper on a system: every analysis, a verdict for every claim, and a page to look at.

    The plan comes first, with an estimate of time and disk. The same command goes on after a kill at any point:
    recordings and results that are there are not made again.
    """
    from mnist_ddm.claims.judge import judge_all
    from mnist_ddm.claims.ledger import claim_named, ledger
    from mnist_ddm.claims.word import counts_line, short_table
    from mnist_ddm.errors import InputError
    from mnist_ddm.pages.report import write_report
    from mnist_ddm.study.folder import Provenance, default_folder
    from mnist_ddm.study.record import parse_shard
    from mnist_ddm.study.results import read_results
    from mnist_ddm.study.scales import scale_named
    from mnist_ddm.study.study import Study
    from mnist_ddm.systems.registry import load_system
    from mnist_ddm.tables.terminal import to_rich
    from mnist_ddm.terminal.recordings import record_shard_with_progress, record_with_progress

    console = Screen()
    begin = time.monotonic()
    scale_named(scale)
    part = None if shard is None else parse_shard(shard)
    count = options.resolve_workers(workers, of_system["device"])
    claims = tuple(map(claim_named, only)) or tuple(ledger().claims.values())
    pool = load_system(system, **of_system)
    study = Study(pool, _analyses_of(claims), scale=scale, seed=seed)
    if not study.analyses:
        raise InputError(f"the system {pool.name!r} can answer none of it: {'; '.join(study.absent.values())}")
    _print_plan(console, study, claims, count)
    if only_plan:
        return
    if part is not None:
        record_shard_with_progress(console, study.plan(), count, backend, part)
        return
    provenance = Provenance(options.command_line(), of_system, only)
    folder = study.open(out or default_folder({**study.identity, "claims": list(only)}, pool.title), provenance)
    recordings = record_with_progress(console, study.plan(), count, backend)
    kept: list[str] = []
    study.write(folder, recordings, lambda name, answer: kept.append(name) if answer is None else None)
    if kept:
        console.print(f"already answered: {', '.join(kept)}")
    judgements = judge_all(claims, read_results(folder.folder))
    page = write_report(folder.folder, judgements)
    for table in to_rich(short_table(judgements), console.width):
        console.print(table)
    console.print(counts_line(judgements))
    console.print(f"report: {page}")
    console.print(f"tables, plots and manifest: {folder.folder} ({time.monotonic() - begin:.0f} s)")


def _analyses_of(claims: Sequence["Claim"]) -> list[str]:
    """The analyses that measure some claims, in the order of the registry."""
    from mnist_ddm.analyses.registry import ANALYSES

    wanted = {name for claim in claims for name in claim.analyses}
    return [name for name in ANALYSES if name in wanted]


def _print_plan(console: Console, study: "Study", claims: Sequence["Claim"], workers: int) -> None:
    from rich.table import Table

    from mnist_ddm.terminal.recordings import shown_duration, shown_workers

    shown = Table(title=f"{study.pool.title}, scale {study.scale.name}: {study.scale.purpose}", title_justify="left")
    for heading in ("analysis", "question", "n", "steps", "claims"):
        shown.add_column(heading, justify="right" if heading in ("n", "steps", "claims") else "left")
    for name, settings in study.settings.items():
        measured = sum(name in claim.analyses for claim in claims)
        steps = getattr(settings, "steps", "-")
        shown.add_row(name, study.analyses[name].question, str(settings.n), str(steps), str(measured))
    console.print(shown)
    for name, why in study.absent.items():
        console.print(f"not run: {name} ({why})")
    plan = study.plan()
    console.print(
        f"{len(plan.wanted)} recordings, {len(plan.missing)} of them to be made: about {plan.evaluations:,} expert "
        f"evaluations, {shown_duration(plan.seconds(workers))} with {shown_workers(workers)}, then the tables; "
        f"about {plan.bytes / 1e6:.0f} MB in {plan.store.folder}"
    )
