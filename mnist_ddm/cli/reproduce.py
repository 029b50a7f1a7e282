"""The `reproduce` command."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from mnist_ddm.terminal import options
from mnist_ddm.terminal.progress import waiting
from mnist_ddm.terminal.screen import Screen

if TYPE_CHECKING:
    from mnist_ddm.claims.ledger import Claim
    from mnist_ddm.study.study import Study


@click.command("reproduce")
@options.systems_options
@click.option("--scale", default="small", show_default=True, help="small, medium or full: how many samples.")
@click.option("--only", multiple=True, metavar="CLAIM", help="Only what this claim needs; may be repeated.")
@click.option("--plan", "only_plan", is_flag=True, help="Print the plan and the estimate, and do nothing.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Run folder.  [default: runs/SYSTEM-HASH]")
@click.option(
    "--until-decided", is_flag=True, help="Give open claims more samples, round after round, until --hours are over."
)
@click.option(
    "--recorded", is_flag=True, help="Use as many samples as the cache has of every recording, where that is more."
)
@click.option(
    "--hours",
    type=float,
    default=1.0,
    show_default=True,
    help="With --until-decided: begin no round that would end later.",
)
@options.beside
@options.seed
@options.workers
@options.backend
@options.shard
@options.as_json
def reproduce(
    system: str,
    scale: str,
    only: tuple[str, ...],
    only_plan: bool,
    out: Path | None,
    until_decided: bool,
    recorded: bool,
    hours: float,
    beside: Path | None,
    seed: int,
    workers: int | None,
    backend: str,
    shard: str | None,
    json: bool,
    **of_system: Any,
) -> None:
    """Reproduce the paper on a system: every analysis, a verdict for every claim, and a page to look at.

    The plan comes first, with an estimate of time and disk. The same command goes on after a kill at any point:
    recordings and results that are there are not made again.

    Several --checkpoint are several trainings of one system: each gets a run of its own below RUN/trainings, with
    samples of its own, and RUN says what they say together, with intervals over trainings and samples.
    """
    console = Screen(stderr=json)
    begin = time.monotonic()
    with waiting(console, "starting"):
        from mnist_ddm.claims.ledger import claim_named, ledger
        from mnist_ddm.errors import InputError
        from mnist_ddm.study.record import parse_shard
        from mnist_ddm.study.results import read_results
        from mnist_ddm.study.scales import scale_named
        from mnist_ddm.study.shipped import run_named
        from mnist_ddm.study.study import Study
        from mnist_ddm.systems.registry import load_system
        from mnist_ddm.terminal.recordings import record_shard_with_progress, record_with_progress, write_with_progress
        from mnist_ddm.terminal.streams import print_json

    scale_named(scale)
    part = None if shard is None else parse_shard(shard)
    if json and part is not None:
        raise InputError("a --shard has nothing to say before the others are there; leave --json to the last command")
    if not 0 < hours <= _MOST_HOURS:
        raise InputError(f"--hours must be above 0 and at most {_MOST_HOURS}, not {hours:g}")
    count = options.resolve_workers(workers, of_system["device"])
    claims = tuple(map(claim_named, only)) or tuple(ledger().claims.values())
    other = None if beside is None else read_results(run_named(beside))
    systems = trainings_of(system, of_system)

    def study_of(options_of_one: Mapping[str, Any], number: int) -> "Study":
        with waiting(console, f"loading the system {system}"):
            pool = load_system(system, **options_of_one)
        study = Study(pool, analyses_of(claims), scale=scale, seed=seed + number)
        if not study.analyses:
            raise InputError(f"the system {pool.title!r} can answer none of it: {'; '.join(study.absent.values())}")
        return study

    if recorded and len(systems) > 1:
        raise InputError("--recorded looks at one training; leave the other --checkpoint out")
    if until_decided and (len(systems) > 1 or part is not None):
        raise InputError(
            "--until-decided looks at one training, on one machine; leave the other --checkpoint or --shard out"
        )
    studies = [study_of(options_of_one, number) for number, options_of_one in enumerate(systems)]
    study = studies[0]
    larger: dict[str, int] = {}
    if recorded:
        larger = study.recorded_sizes(_SIZES)
        study = Study(study.pool, analyses_of(claims), scale=scale, seed=seed, sizes=larger)
        studies = [study]
    _print_plan(console, studies, claims, count)
    if only_plan:
        if json:
            print_json(_plan_as_data(studies, count))
        return
    if part is not None:
        for each in studies:
            record_shard_with_progress(console, each.plan(), count, backend, part)
        return
    # A plan needs neither the judge nor what draws a report.
    from mnist_ddm.claims.judge import judge_all
    from mnist_ddm.claims.rounds import LEVEL_OF_A_LOOK
    from mnist_ddm.claims.word import counts_line, full_table, short_table
    from mnist_ddm.cli.rounds import until_decided as decide
    from mnist_ddm.cli.trainings import reproduce_trainings
    from mnist_ddm.pages.report import write_report
    from mnist_ddm.storage.files import is_empty
    from mnist_ddm.study.folder import Provenance, default_folder
    from mnist_ddm.tables.files import to_json
    from mnist_ddm.tables.terminal import to_rich

    command = options.command_line()
    if len(systems) > 1:
        folder = reproduce_trainings(console, systems, studies, claims, out, command, only, count, backend)
    else:
        more: dict[str, Any] = {}
        if until_decided:
            if out is not None and out.exists() and not is_empty(out):
                raise InputError(f"{out} is not an empty folder; choose another --out")
            pool, names = study.pool, list(study.analyses)

            def sized(sizes: Mapping[str, int]) -> "Study":
                return Study(pool, names, scale=scale, seed=seed, sizes={**larger, **sizes})

            study, look = decide(console, sized, claims, count, backend, hours)
            more = {"look": look, "level": LEVEL_OF_A_LOOK}
        what = {**study.identity, **more, "claims": list(only)}
        opened = study.open(
            out or default_folder(what, study.pool.title), Provenance(command, systems[0], only), **more
        )
        recordings = record_with_progress(console, study.plan(), count, backend, study.table_seconds)
        kept: list[str] = []
        write_with_progress(
            console, study, opened, recordings, lambda name, answer: kept.append(name) if answer is None else None
        )
        if kept:
            console.print(f"already answered: {', '.join(kept)}")
        folder = opened.folder
    judgements = judge_all(claims, read_results(folder), other)
    page = write_report(folder, judgements)
    if json:
        what = {"system": study.pool.title, "folder": str(folder), "report": str(page)}
        print_json({**what, "verdicts": to_json(full_table(judgements))})
        return
    console.print(to_rich(short_table(judgements), console.width, str(folder / "verdicts.csv")))
    console.print(counts_line(judgements))
    console.print(f"report: {page}")
    console.print(f"tables, plots and manifest: {folder} ({time.monotonic() - begin:.0f} s)")


_MOST_HOURS = 10_000
_SIZES = tuple(sorted({50 * 2**i for i in range(9)} | {20, 30, 250, 500, 1000, 2000, 5000, 10_000, 20_000}))
"""Numbers of samples that recordings are looked for with."""


def trainings_of(system: str, of_system: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The options that load each training; the first one's classifier measures them all, where a system has one."""
    from mnist_ddm.systems.registry import takes

    given = tuple(of_system["checkpoint"])
    if len(given) < 2:
        return [{**of_system, "checkpoint": given[0] if given else None}]
    judge = {"judge": of_system.get("judge") or given[0]} if takes(system, "judge") else {}
    return [
        {**of_system, "checkpoint": place, **(judge if i or of_system.get("judge") else {})}
        for i, place in enumerate(given)
    ]


def analyses_of(claims: Sequence["Claim"]) -> list[str]:
    """The analyses that measure some claims, in the order of the registry."""
    from mnist_ddm.analyses.registry import ANALYSES
    from mnist_ddm.claims.ledger import ledger

    wanted = {name for claim in claims for name in claim.analyses}
    # Who asks for every claim asks everything, also what the paper states nothing of.
    return [name for name in ANALYSES if name in wanted or len(claims) == len(ledger().claims)]


def _plan_as_data(studies: Sequence["Study"], workers: int) -> dict[str, Any]:
    """What `_print_plan` says, for programs; numbers are sums over trainings."""
    study, plans = studies[0], [study.plan() for study in studies]
    return {
        "system": study.pool.title,
        "scale": study.scale.name,
        "analyses": {name: vars(settings) for name, settings in study.settings.items()},
        "not_run": study.absent,
        "trainings": len(studies),
        "recordings": sum(len(plan.wanted) for plan in plans),
        "missing": sum(len(plan.missing) for plan in plans),
        "expert_evaluations": sum(plan.evaluations for plan in plans),
        "seconds": sum(plan.seconds(workers) for plan in plans),
        "table_seconds": None if study.table_seconds is None else len(studies) * study.table_seconds,
        "bytes": sum(plan.bytes for plan in plans),
    }


def _print_plan(console: Console, studies: Sequence["Study"], claims: Sequence["Claim"], workers: int) -> None:
    """The analyses, which are those of every training, and what all trainings together take."""
    from rich.table import Table

    from mnist_ddm.terminal.words import shown_duration, shown_workers

    study = studies[0]
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
    total = _plan_as_data(studies, workers)
    trainings, tables = f"{len(studies)} trainings, " if len(studies) > 1 else "", total["table_seconds"]
    then = "the tables" if tables is None else f"the tables in about {shown_duration(tables)}"
    console.print(
        f"{trainings}{total['recordings']} recordings, {total['missing']} of them to be made: about "
        f"{total['expert_evaluations']:,} expert evaluations, {shown_duration(total['seconds'])} with "
        f"{shown_workers(workers)}, besides the start; then {then}; about {total['bytes'] / 1e6:.0f} MB in "
        f"{study.store.folder}"
    )
