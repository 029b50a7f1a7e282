"""What the explorer shows of some trajectories: the states, and what router, experts and every strategy say there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mnist_ddm.core.condition import Condition
from mnist_ddm.core.field import MONOLITH, RoutedField
from mnist_ddm.core.observables import angle_degrees, pairwise_disagreement
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.routing import FullEnsemble, Routing, RoutingContext, Samples, parse_routing
from mnist_ddm.core.routing.base import asked_weights
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.stats.summaries import integrate_over_time


@dataclass(frozen=True)
class Trajectory:
    """One strategy's way from the noise to an image, for each of n samples at the T visited states.

    Attributes:
        sampling: what was sampled.
        condition: what the samples were asked to be.
        times: falling from 1, float64, shape ``(T,)``.
        x: the states, shape ``(n, T, *state_shape)``.
        velocity: the routed velocity there, of the same shape.
        experts: the velocities of all experts, shape ``(n, T, K, *state_shape)``.
        final: the states at ``t = 0``, shape ``(n, *state_shape)``.
        probabilities: of the router, whether the strategy looks at it or not, shape ``(n, T, K)``.
        weights: for each strategy the weights that it gives the experts at these states, shape ``(n, T, K)``. Those of
            the strategy that made the states are the recorded ones.
        angles: between each expert's velocity and the routed one in degrees, shape ``(n, T, K)``.
        disagreement: the experts' mean pairwise distance, shape ``(n, T)``.
        evaluations: expert evaluations that the strategy asked for, shape ``(n,)``.
    """

    sampling: Sampling
    condition: Condition
    times: Tensor
    x: Tensor
    velocity: Tensor
    experts: Tensor
    final: Tensor
    probabilities: Tensor
    weights: Mapping[str, Tensor]
    angles: Tensor
    disagreement: Tensor
    evaluations: Tensor

    def disagreement_so_far(self) -> Tensor:
        r""":math:`\int_t^1 D(x_s)\,ds` at each visited time, and at last the whole integral; shape ``(n, T + 1)``."""
        from scipy.integrate import cumulative_trapezoid

        values, times = self.disagreement.double().numpy(), self.times.numpy()
        inner = cumulative_trapezoid(values, -times, axis=1, initial=0)
        whole = integrate_over_time(values, times)
        return torch.from_numpy(np.concatenate([inner, whole[:, None]], axis=1))


def needed(sampling: Sampling) -> tuple[str, ...]:
    """The observables that a recording of the explorer must have kept."""
    return ("x", "velocity") if sampling.routing == MONOLITH else ("x", "velocity", "velocities", "weights")


@torch.no_grad()
def trajectories(
    pool: ExpertPool,
    recordings: Mapping[Visits, Recording],
    samplings: Sequence[Sampling],
    on_next: Callable[[int], None] = lambda done: None,
) -> list[Trajectory]:
    """The trajectories of some strategies from the same noise; each strategy is also asked what it says on the others'.

    A strategy that remembers or draws is asked along the other's trajectory from its start, as if it had to follow it.

    Args:
        pool: the system.
        recordings: of the samplings, with the observables of `needed`.
        samplings: which differ by routing alone.
        on_next: called before each with the number of those that are done.
    """
    strategies = {s.routing: parse_routing(s.routing) for s in samplings if s.routing != MONOLITH}
    made: list[Trajectory] = []
    for sampling in samplings:
        on_next(len(made))
        made.append(_trajectory(pool, recordings[sampling], sampling, strategies))
    return made


def _trajectory(
    pool: ExpertPool, recording: Recording, sampling: Sampling, strategies: Mapping[str, Routing]
) -> Trajectory:
    observed, seeds = recording.observed, recording.seeds
    condition = pool.condition(seeds)
    asked = {name: Samples(seeds, condition) for name in strategies if name != sampling.routing}
    everything, plain = RoutedField(pool, FullEnsemble()), Samples(seeds, condition)
    said: dict[str, list[Tensor]] = {name: [] for name in ("p", "experts", "angles", "disagreement", *asked)}
    for i, time in enumerate(recording.times.tolist()):
        x, v = observed["x"][:, i].to(pool.device), observed["velocity"][:, i].to(pool.device)
        t = x.new_full((len(x),), time)
        if "velocities" in observed:
            logits, experts = pool.router_logits(x, t), observed["velocities"][:, i].to(pool.device)
        else:
            evaluation = everything.evaluate(x, t, plain, i, all_experts=True)
            assert evaluation.logits is not None
            assert evaluation.experts is not None
            logits, experts = evaluation.logits, evaluation.experts
        said["p"].append(logits.softmax(dim=1))
        said["experts"].append(experts)
        said["angles"].append(angle_degrees(experts, v[:, None]))
        said["disagreement"].append(pairwise_disagreement(experts))
        for name, samples in asked.items():
            context = RoutingContext(x, t, i, samples, pool)
            said[name].append(asked_weights(strategies[name], logits, context))
    stacked = {name: torch.stack(parts, dim=1).cpu() for name, parts in said.items()}
    weights = {name: observed["weights"] if name == sampling.routing else stacked[name] for name in strategies}
    return Trajectory(
        sampling=sampling,
        condition=condition,
        times=recording.times,
        x=observed["x"],
        velocity=observed["velocity"],
        experts=stacked["experts"],
        final=recording.final,
        probabilities=stacked["p"],
        weights=weights,
        angles=stacked["angles"],
        disagreement=stacked["disagreement"],
        evaluations=recording.evaluations,
    )
