"""Milestones: what each further answer makes possible, made by a student's sampler and by the package alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

from mnist_ddm.core.field import make_field
from mnist_ddm.core.flow import interpolate, velocity_target
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.observables import angle_degrees, pairwise_disagreement
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import sample
from mnist_ddm.core.solvers import StepGrid
from mnist_ddm.core.visits import Sampling, start
from mnist_ddm.exercises.answers import WrongAnswer
from mnist_ddm.exercises.sampler import Sampler
from mnist_ddm.stats.summaries import integrate_over_time

SAMPLES: Final = 8
STEPS: Final = 20


@dataclass(frozen=True)
class Milestone:
    """What one more answer makes possible.

    Attributes:
        exercise: whose answer joins.
        title: what is made with it, in a few words.
        own: makes it with the sampler so far.
        package: makes it with the package alone.
        drawn: whether what is made begins with states to look at, one for each of `SAMPLES`.
    """

    exercise: str
    title: str
    own: Callable[[Sampler], Tensor]
    package: Callable[[ExpertPool], Tensor]
    drawn: bool = True


def _samples(exercise: str, routing: str, solver: str) -> Milestone:
    """Samples of a routing, which are the package's own of the same noise."""

    def package(pool: ExpertPool) -> Tensor:
        return sample(pool, Sampling(routing, SAMPLES, 0, solver, STEPS)).final

    title = f"samples, {routing} and {solver}"
    return Milestone(exercise, title, lambda own: own.walk(routing, solver, SAMPLES, STEPS).end, package)


def _on_the_way(pool: ExpertPool) -> tuple[Tensor, Tensor, Tensor]:
    """One sample and one noise, and times from data to noise."""
    clean = sample(pool, Sampling("full", 1, 0, "heun", STEPS)).final.to(pool.device)
    noise, _ = start(pool, sample_seeds(1, 1))
    many = (SAMPLES, *(1,) * len(pool.state_shape))
    return clean.repeat(many), noise.repeat(many), torch.linspace(0, 1, SAMPLES).to(clean)


@final
@dataclass(frozen=True)
class _Courses:
    """What measures look at: velocities of all experts ``(B, T, K, d)`` and the routed one ``(B, T, d)``, float64."""

    times: Tensor
    experts: Tensor
    routed: Tensor


def _own_courses(own: Sampler) -> _Courses:
    visited = own.walk("top2", "heun", SAMPLES, STEPS).visited
    _, samples = start(own.pool, sample_seeds(0, SAMPLES))
    field, experts, routed = make_field(own.pool, "full"), [], []
    for t, (x, v) in visited.items():
        at = torch.full((len(x),), t).to(x)
        found = field.evaluate(x, at, samples, all_experts=True).experts
        assert found is not None  # they were asked for
        experts.append(found.flatten(2))
        routed.append(v.flatten(1))
    times = torch.tensor(list(visited), dtype=torch.float64)
    return _Courses(times, torch.stack(experts, dim=1).double(), torch.stack(routed, dim=1).double())


def _package_courses(pool: ExpertPool) -> _Courses:
    kept = sample(pool, Sampling("top2", SAMPLES, 0, "heun", STEPS), ("velocities", "velocity"))
    observed = {name: kept.observed[name].double() for name in ("velocities", "velocity")}
    return _Courses(kept.times.double(), observed["velocities"].flatten(3), observed["velocity"].flatten(2))


def _path(pool: ExpertPool) -> Tensor:
    clean, noise, t = _on_the_way(pool)
    return torch.cat([interpolate(clean, noise, t), velocity_target(clean, noise)])


def _own_path(own: Sampler) -> Tensor:
    made = own.answers["flow"](*_on_the_way(own.pool))
    return torch.cat(_pair(made, "flow"))


def _own_refinement(own: Sampler) -> Tensor:
    noise, samples = start(own.pool, sample_seeds(0, SAMPLES))

    def integrate(x: Tensor, steps: int, refine: int = 1) -> Tensor:
        return own.walk_from(x, samples, "top2", "heun", StepGrid(int(steps), int(refine))).end

    return _tensor(own.answers["refinement"](integrate, noise, STEPS, _l2), "refinement")


def _refinement(pool: ExpertPool) -> Tensor:
    coarse, fine = (sample(pool, Sampling("top2", SAMPLES, 0, "heun", STEPS, refine)).final for refine in (1, 2))
    return _l2(coarse, fine)


def _l2(a: Tensor, b: Tensor) -> Tensor:
    distance: Tensor = (a - b).flatten(1).norm(dim=1)
    return distance


def _own_angles(own: Sampler) -> Tensor:
    seen = _own_courses(own)
    experts, routed = seen.experts[..., None, None], seen.routed[..., None, None]
    made = own.answers["angle"](experts.flatten(0, 1), routed.flatten(0, 1))
    return _tensor(made, "angle")


def _angles(pool: ExpertPool) -> Tensor:
    seen = _package_courses(pool)
    return angle_degrees(seen.experts.flatten(0, 1), seen.routed.flatten(0, 1)[:, None])


def _own_disagreement(own: Sampler) -> Tensor:
    seen = _own_courses(own)
    d, integral = _pair(own.answers["disagreement"](seen.experts, seen.times), "disagreement")
    return torch.cat([d.flatten(), integral.flatten()])


def _disagreement(pool: ExpertPool) -> Tensor:
    seen = _package_courses(pool)
    d = torch.stack([pairwise_disagreement(seen.experts[:, i]) for i in range(len(seen.times))], dim=1).double()
    integral = integrate_over_time(d.numpy(), seen.times.numpy())
    return torch.cat([d.flatten(), torch.from_numpy(integral)])


def _pair(made: object, name: str) -> tuple[Tensor, Tensor]:
    if not isinstance(made, tuple | list) or len(made) != 2:
        raise WrongAnswer(f"{name} should return two tensors", came=type(made).__name__)
    first, second = (_tensor(part, name) for part in made)
    return first, second


def _tensor(made: object, name: str) -> Tensor:
    if not isinstance(made, Tensor):
        raise WrongAnswer(f"{name} should return tensors", came=type(made).__name__)
    return made


MILESTONES: Final = (
    Milestone("flow", "the way from a sample to noise", _own_path, _path),
    _samples("euler", "full", "euler"),
    _samples("heun", "full", "heun"),
    _samples("bayes", "full", "heun"),
    _samples("topk", "top2", "heun"),
    _samples("gumbel", "gumbel", "heun"),
    _samples("ensemble", "full", "heun"),
    _samples("dispatch", "top2", "heun"),
    Milestone("angle", "angles of the experts along your samples", _own_angles, _angles, drawn=False),
    Milestone("disagreement", "their disagreement along your samples", _own_disagreement, _disagreement, drawn=False),
    Milestone("refinement", "what twice as many steps change", _own_refinement, _refinement, drawn=False),
)
"""In the order of the exercises. The others ask for a judgement, or for a routing that the package does not have."""
