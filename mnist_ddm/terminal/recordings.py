"""Recording with the expected time said first and a progress display."""

from collections.abc import Mapping

from rich.console import Console

from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.study.cost import expert_evaluations
from mnist_ddm.study.plan import Plan
from mnist_ddm.study.record import record_all
from mnist_ddm.terminal.progress import progress_bars


def record_with_progress(console: Console, plan: Plan, workers: int) -> Mapping[Visits, Recording]:
    """Every recording of a plan."""
    count = len(plan.wanted)
    if plan.missing:
        console.print(
            f"making {len(plan.missing)} of {count} recordings: about {plan.evaluations:,} expert evaluations, "
            f"expected time {shown_duration(plan.seconds(workers))} with {shown_workers(workers)}"
        )
    else:
        console.print(f"all {count} recordings are in the cache {plan.store.folder}")
    numbers = {visits: i for i, visits in enumerate(plan.wanted)}
    costs = [expert_evaluations(plan.pool, {v: names}) if v in plan.missing else 0 for v, names in plan.wanted.items()]
    with progress_bars([visits.label for visits in plan.wanted], console, costs) as update:
        return record_all(
            plan.pool, plan.wanted, plan.store, workers, lambda visits, fraction: update(numbers[visits], fraction)
        )


def shown_workers(workers: int) -> str:
    """A number of workers for people."""
    return f"{workers} worker{'s' if workers > 1 else ''}"


def shown_duration(seconds: float) -> str:
    """A duration for people."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
