"""Recording with the expected time said first and a progress display."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console

from mnist_ddm.analyses.analysis import Answer
from mnist_ddm.compute.parallel import backend_named
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.study.cost import expert_evaluations
from mnist_ddm.study.folder import RunFolder
from mnist_ddm.study.plan import Plan
from mnist_ddm.study.record import Shard, record_all, record_shard
from mnist_ddm.study.study import Study
from mnist_ddm.terminal.progress import counted, progress_bars
from mnist_ddm.terminal.words import shown_duration, shown_workers


def record_with_progress(
    console: Console, plan: Plan, workers: int, backend: str = "loky", tables: float | None = None
) -> Mapping[Visits, Recording]:
    """Every recording of a plan; what follows takes about ``tables`` seconds, if anybody knows."""
    count = len(plan.wanted)
    then = "" if tables is None else f"then {shown_duration(tables)} of tables"
    if plan.missing:
        console.print(
            f"making {len(plan.missing)} of {count} recordings: about {plan.evaluations:,} expert evaluations, "
            f"expected time {shown_duration(plan.seconds(workers))} with {shown_workers(workers)}, besides the start"
            f"{f'; {then}' if then else ' and what is made of them'}"
        )
    else:
        console.print(f"all {count} recordings are in the cache {plan.store.folder}{then and f'; {then}'}")
    with _progress(console, plan, workers) as report, backend_named(backend):
        return record_all(plan.pool, plan.wanted, plan.store, workers, report)


def record_shard_with_progress(console: Console, plan: Plan, workers: int, backend: str, shard: Shard) -> None:
    """What a shard has of a plan, and what to do next."""
    console.print(f"making shard {shard} of {len(plan.missing)} of {len(plan.wanted)} recordings")
    with _progress(console, plan, workers) as report, backend_named(backend):
        count = record_shard(plan.pool, plan.wanted, plan.store, shard, workers, report)
    console.print(
        f"shard {shard}: {count} blocks made, in {plan.store.folder}; when all shards are there, the same command "
        "without --shard makes the tables"
    )


@contextmanager
def _progress(console: Console, plan: Plan, workers: int) -> Iterator[Callable[[Visits, float], None]]:
    if not plan.missing:
        yield lambda visits, fraction: None
        return
    numbers = {visits: i for i, visits in enumerate(plan.wanted)}
    costs = [expert_evaluations(plan.pool, {v: names}) if v in plan.missing else 0 for v, names in plan.wanted.items()]
    opening = f"starting {shown_workers(workers)}" if plan.missing and workers > 1 else ""
    with progress_bars([visits.label for visits in plan.wanted], console, costs, opening) as update:
        yield lambda visits, fraction: update(numbers[visits], fraction)


def write_with_progress(
    console: Console,
    study: Study,
    folder: RunFolder,
    recordings: Mapping[Visits, Recording],
    on_answer: Callable[[str, Answer | None], None],
) -> None:
    """Answer everything into a run folder, and say which table is being made."""
    names = list(study.settings)
    with counted(console, "tables", names) as begun:
        begun(0)

        def answered(name: str, answer: Answer | None) -> None:
            on_answer(name, answer)
            begun(names.index(name) + 1)

        study.write(folder, recordings, answered)
