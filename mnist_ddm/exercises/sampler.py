"""The sampler that answers make: each part is the package's own until an answer takes its place.

A part is a student's function as the exercise asks for it, so an Euler or Heun answer drives the whole way from noise,
a router's answer says the logits, a routing's the weights, and the ensemble's or the dispatch's joins the experts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor

from mnist_ddm.core.field import RoutedField
from mnist_ddm.core.noise import gumbel_uniforms, sample_seeds
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.routing import RoutingContext, Samples, parse_routing
from mnist_ddm.core.solvers import SOLVERS, StepGrid
from mnist_ddm.core.visits import start
from mnist_ddm.errors import InputError
from mnist_ddm.exercises.answers import StudentFunction, WrongAnswer
from mnist_ddm.exercises.integration import integrate
from mnist_ddm.exercises.material import experts_of
from mnist_ddm.systems.gaussian import GaussianPool


@dataclass
class Course:
    """One walk of some samples from noise to data.

    Attributes:
        end: the states at ``t = 0``.
        visited: for each time of the grid above 0, falling, the states there and the routed velocity.
    """

    end: Tensor
    visited: dict[float, tuple[Tensor, Tensor]] = field(default_factory=dict)


@final
class Sampler:
    """A system's experts, sampled by answers to exercises where there are some."""

    def __init__(self, pool: ExpertPool, answers: Mapping[str, StudentFunction]) -> None:
        """Take the system and the answers by the name of their exercise; what is not among them is the package's.

        Raises:
            InputError: if the experts ask for captions, which the functions of the exercises do not know.
        """
        if pool.condition(sample_seeds(0, 1)).captions:
            raise InputError(
                f"the experts of {pool.name!r} read captions, and answers do not; choose gaussian or mnist"
            )
        self.pool, self.answers = pool, answers

    def walk(self, routing: str, solver: str, n: int, steps: int, refine: int = 1) -> Course:
        """Samples 0 to n - 1 of seed 0 under a routing."""
        noise, samples = start(self.pool, sample_seeds(0, n))
        return self.walk_from(noise, samples, routing, solver, StepGrid(steps, refine))

    def walk_from(self, noise: Tensor, samples: Samples, routing: str, solver: str, grid: StepGrid) -> Course:
        """The way of samples from their noise."""
        times = [grid.time(step) for step in range(grid.size + 1)]
        intervals = {t: grid.interval(step) for step, t in enumerate(times[:-1])}
        routed = RoutedField(self.pool, parse_routing(routing))
        course = Course(noise)

        def velocity(x: Tensor, t: float) -> Tensor:
            _same_shape(x, noise, f"the states at which {solver} looks at the velocity")
            v = self._velocity(routed, x, float(t), samples, intervals.get(float(t), 0))
            course.visited[float(t)] = (x, v)  # Heun's second look is followed by a first one at the same time
            return v

        own = self.answers.get(solver)
        end = integrate(SOLVERS[solver], velocity, noise, times) if own is None else own(velocity, noise, times)
        course.end = _same_shape(end, noise, f"what {solver} returns")
        return course

    def _velocity(self, routed: RoutedField, x: Tensor, t: float, samples: Samples, interval: int) -> Tensor:
        times = torch.full((len(x),), t, dtype=x.dtype, device=x.device)
        experts = experts_of(self.pool)
        if routed.name == "full" and "ensemble" in self.answers:
            made = self.answers["ensemble"](experts, self._logits, x, times)
            return _same_shape(made, x, "what ensemble returns")
        weights = self._weights(routed, x, times, samples, interval)
        if "dispatch" in self.answers:
            return _same_shape(self.answers["dispatch"](experts, weights, x, times), x, "what dispatch returns")
        return routed.evaluate(x, times, samples, interval, weights=weights).velocity

    def _logits(self, x: Tensor, t: Tensor) -> Tensor:
        pool = self.pool
        if "bayes" not in self.answers or not isinstance(pool, GaussianPool):
            return pool.router_logits(x, t)
        mixture = (pool.means.flatten(1), pool.scales, pool.prior)
        share = self.answers["bayes"](x.flatten(1), t, *(part.to(x) for part in mixture))
        return _same_shape(share, x.new_zeros(len(x), pool.n_experts), "what bayes returns").to(x).log()

    def _weights(self, routed: RoutedField, x: Tensor, t: Tensor, samples: Samples, interval: int) -> Tensor:
        logits, own = self._logits(x, t), self.answers
        if routed.name == "top2" and "topk" in own:
            return _same_shape(own["topk"](logits, 2), logits, "what topk returns").to(logits)
        if routed.name == "gumbel" and "gumbel" in own:
            uniform = gumbel_uniforms(samples.seeds, logits.shape[1])
            return _same_shape(own["gumbel"](logits, uniform), logits, "what gumbel returns").to(logits)
        return routed.routing.weights(logits, RoutingContext(x, t, interval, samples, self.pool))


def _same_shape(value: Any, like: Tensor, what: str) -> Tensor:
    """A tensor of the shape of another, of numbers that are finite.

    Raises:
        WrongAnswer: if it is none.
    """
    if not isinstance(value, Tensor) or value.shape != like.shape:
        came = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise WrongAnswer(f"{what} should have shape {tuple(like.shape)}", came=came)
    if not value.isfinite().all():
        raise WrongAnswer(f"{what} is not finite")
    return value
