"""What recordings cost: evaluations of experts, disk, and time."""

import math
import time
from collections.abc import Mapping, Sequence

import torch

from mnist_ddm.compute.parallel import one_thread
from mnist_ddm.core.field import RoutedField
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.observables import Kept, observables_named
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import BLOCK
from mnist_ddm.core.visits import TENTHS, Visits, start

_TIMED_BATCHES = (1, 4, 16)
"""Sizes of batch at which an evaluation is timed: above the last a sample costs nearly the same as in it, and of a
large model every row takes a second."""
_TIMED_EXPERTS = 2
_BYTES = 4
"""Of a kept number."""

Wanted = Mapping[Visits, tuple[str, ...]]


def evaluations_each(pool: ExpertPool, visits: Visits, kept: Sequence[Kept]) -> float:
    """About how many expert evaluations one sample takes, at the most; a Jacobian product counts as one."""
    field = visits.field(pool)
    routed = field.routing.most_experts(pool.n_experts) if isinstance(field, RoutedField) else 1
    everywhere = len({i for k in kept if k.observable.needs_experts for i in k.visits(visits.times, TENTHS)})
    extra = sum(k.observable.cost * len(k.visits(visits.times, TENTHS)) for k in kept)
    choosing = field.routing.cost(pool.n_experts) if isinstance(field, RoutedField) else 0
    rest = (visits.evaluations - everywhere + extra) * routed
    shared = pool.shared_evaluations if isinstance(field, RoutedField) else 0
    return everywhere * pool.n_experts + rest + visits.evaluations * (choosing + shared)


def expert_evaluations(pool: ExpertPool, wanted: Wanted) -> int:
    """About how many samples will go through an expert, at the most; a Jacobian product counts as one."""
    return sum(int(v.n * evaluations_each(pool, v, observables_named(names))) for v, names in wanted.items())


def bytes_of(pool: ExpertPool, wanted: Wanted) -> int:
    """About how much disk the recordings of some visits take."""
    state = math.prod(pool.state_shape)

    def each(visits: Visits, names: Sequence[str]) -> int:
        kept = observables_named(tuple(names))
        sizes = (k.observable.numbers(pool.n_experts, state) * len(k.visits(visits.times, TENTHS)) for k in kept)
        return state + sum(sizes)

    return sum(_BYTES * visits.n * each(visits, names) for visits, names in wanted.items())


def seconds_of(pool: ExpertPool, wanted: Wanted) -> float:
    """About how long one process takes to compute the recordings of some visits, timed here and now."""
    batches = {v: min(_TIMED_BATCHES, key=lambda b: abs(b - _rows_of_an_expert(pool, v))) for v in wanted}
    each = {batch: _seconds_per_evaluation(pool, batch) for batch in sorted(set(batches.values()))}
    return sum(expert_evaluations(pool, {v: names}) * each[batches[v]] for v, names in wanted.items())


def _rows_of_an_expert(pool: ExpertPool, visits: Visits) -> float:
    """About how many rows an expert gets at once, at least 1: few of them make an evaluation dear."""
    field, n = visits.field(pool), min(visits.n, BLOCK)
    share = field.routing.most_experts(pool.n_experts) / pool.n_experts if isinstance(field, RoutedField) else 1.0
    return max(1.0, n * share)


@torch.no_grad()  # and not inference mode: a pool may load its networks now, and Jacobians be wanted of them later
def _seconds_per_evaluation(pool: ExpertPool, batch: int) -> float:
    """Seconds that one sample takes in one expert that gets so many at once."""
    x, samples = start(pool, sample_seeds(0, batch))
    t = torch.full((len(x),), 0.5, device=pool.device)
    with one_thread():
        for k in range(1 if x.device.type == "cpu" else _TIMED_EXPERTS):  # a GPU captures each one's launches at first
            pool.velocity(k % pool.n_experts, x, t, samples.condition).sum().item()
        begin = time.perf_counter()
        for k in range(_TIMED_EXPERTS):
            v = pool.velocity(k % pool.n_experts, x, t, samples.condition)
        v.sum().item()  # a device may only just have been told what to do
        return (time.perf_counter() - begin) / (batch * _TIMED_EXPERTS)
