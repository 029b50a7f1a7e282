"""Running analyses: one plan of shared recordings, then each analysis on what was recorded."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mnist_ddm.analyses.analysis import Analysis, Answer, Settings
from mnist_ddm.compute.parallel import one_thread
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.observables import observables_named
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording, rows_of_an_expert
from mnist_ddm.core.visits import TENTHS, Visits, start
from mnist_ddm.errors import InputError
from mnist_ddm.study.cost import evaluations_each, observable_sizes
from mnist_ddm.study.record import is_recorded, to_compute

_TIMED_BATCHES = (1, 4, 16)
"""Above it a sample costs nearly the same, and of a large model every row takes a second."""
_TIMED_EXPERTS = 2


@dataclass(frozen=True)
class Plan:
    """The recordings that some analyses need together; each trajectory is computed once.

    Attributes:
        observables: for each run what must be kept of it.
    """

    observables: Mapping[Visits, tuple[str, ...]]

    def missing(self, pool: ExpertPool, folder: Path) -> list[Visits]:
        """The runs that are to be computed; the others are recorded, or read from a larger one of these."""
        return list(to_compute(pool, self.observables, folder))

    def expert_evaluations(self, pool: ExpertPool, runs: Sequence[Visits]) -> int:
        """About how many samples will go through an expert, at the most; a Jacobian product counts as one."""
        return sum(int(run.n * evaluations_each(pool, run, observables_named(self.observables[run]))) for run in runs)

    def bytes(self, pool: ExpertPool, runs: Sequence[Visits]) -> int:
        """About how much disk the recordings of some runs take."""
        wanted = {run: observables_named(self.observables[run]) for run in runs}
        sizes, state = observable_sizes(pool, wanted), math.prod(pool.state_shape)
        each = {r: sum(sizes[k.observable.name] * len(k.visits(r.times, TENTHS)) for k in w) for r, w in wanted.items()}
        return sum(4 * run.n * (state + each[run]) for run in runs)


def make_plan(pool: ExpertPool, analyses: Mapping[Analysis, Settings], folder: Path | None = None) -> Plan:
    """Join what the analyses need; optional recordings only if ``folder`` has them.

    Raises:
        InputError: if the system cannot answer one of the questions.
    """
    wanted: dict[Visits, tuple[str, ...]] = {}
    for analysis, settings in analyses.items():
        for need in analysis.needs(pool, settings):
            if need.optional and not (folder and is_recorded(pool, need.visits, need.observables, folder)):
                continue
            need.visits.field(pool)
            names = {*wanted.get(need.visits, ()), *need.observables}
            wanted[need.visits] = tuple(sorted(names))
    return Plan(wanted)


def seconds_of(pool: ExpertPool, plan: Plan, runs: Sequence[Visits]) -> float:
    """About how long one process takes to compute some runs of a plan, timed here and now."""
    batches = {run: min(_TIMED_BATCHES, key=lambda b: abs(b - rows_of_an_expert(pool, run))) for run in runs}
    each = {batch: _seconds_per_evaluation(pool, batch) for batch in sorted(set(batches.values()))}
    return sum(plan.expert_evaluations(pool, [run]) * each[batch] for run, batch in batches.items())


@torch.inference_mode()
def _seconds_per_evaluation(pool: ExpertPool, batch: int) -> float:
    """Seconds that one sample takes in one expert that gets so many at once."""
    x, samples = start(pool, sample_seeds(0, batch))
    t = torch.full((len(x),), 0.5, device=pool.device)
    with one_thread():
        pool.velocity(0, x, t, samples.condition)
        begin = time.perf_counter()
        for k in range(_TIMED_EXPERTS):
            pool.velocity(k % pool.n_experts, x, t, samples.condition)
        return (time.perf_counter() - begin) / (batch * _TIMED_EXPERTS)


def answerable(
    pool: ExpertPool, analyses: Mapping[Analysis, Settings]
) -> tuple[dict[Analysis, Settings], dict[Analysis, str]]:
    """Those analyses that the system can answer, and for each of the others why not."""
    can: dict[Analysis, Settings] = {}
    cannot: dict[Analysis, str] = {}
    for analysis, settings in analyses.items():
        try:
            make_plan(pool, {analysis: settings})
            can[analysis] = settings
        except InputError as error:
            cannot[analysis] = str(error)
    return can, cannot


def answer(
    pool: ExpertPool, analyses: Mapping[Analysis, Settings], recordings: Mapping[Visits, Recording]
) -> Iterator[tuple[Analysis, Settings, Answer]]:
    """What each analysis finds, one after the other."""
    return ((a, settings, findings_of(a, pool, recordings, settings)) for a, settings in analyses.items())


def findings_of(
    analysis: Analysis, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings
) -> Answer:
    """What an analysis finds; every table says what the system is where its name alone could mislead."""
    found = analysis.answer(pool, recordings, settings)
    if not pool.description:
        return found
    said = f"system: {pool.name}, {pool.description}."
    return replace(found, tables=tuple(replace(table, notes=(*table.notes, said)) for table in found.tables))
