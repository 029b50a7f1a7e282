"""Recording a plan with the expected time said first and a progress display."""

from rich.console import Console

from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.study.record import record_all
from mnist_ddm.study.study import Plan, seconds_of
from mnist_ddm.terminal.options import cache_folder
from mnist_ddm.terminal.progress import progress_bars


def record_with_progress(console: Console, pool: ExpertPool, plan: Plan, workers: int) -> dict[Visits, Recording]:
    """Every recording of a plan, kept in the user's cache."""
    folder = cache_folder() / "recordings"
    missing = plan.missing(pool, folder)
    if missing:
        evaluations = plan.expert_evaluations(pool, missing)
        seconds = estimated_seconds(pool, plan, missing, workers)
        console.print(
            f"recording {len(missing)} of {len(plan.observables)} runs: about {evaluations:,} expert evaluations, "
            f"expected time {shown_duration(seconds)} with {workers} worker{'s' if workers > 1 else ''}"
        )
    else:
        console.print(f"all {len(plan.observables)} runs are in the cache {folder}")
    numbers = {run: i for i, run in enumerate(plan.observables)}
    costs = [plan.expert_evaluations(pool, [run]) if run in missing else 0 for run in plan.observables]
    with progress_bars([run.label for run in plan.observables], console, costs) as update:
        return record_all(pool, plan.observables, folder, workers, lambda run, fraction: update(numbers[run], fraction))


def estimated_seconds(pool: ExpertPool, plan: Plan, missing: list[Visits], workers: int) -> float:
    """About how long it takes to record some runs of a plan, timed here and now."""
    return seconds_of(pool, plan, missing) / workers


def shown_duration(seconds: float) -> str:
    """A duration for people."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
