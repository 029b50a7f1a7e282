"""Visits: which states are looked at. Trajectories from noise, or held-out real states noised to fixed times.

Visits are a pure function of their settings and of the models; sample ``i`` is the same however many samples there are.
"""

from abc import ABC, abstractmethod
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from mnist_ddm.core.field import Evaluation, RoutedField, VelocityField, Watch, make_field
from mnist_ddm.core.flow import interpolate, velocity_target
from mnist_ddm.core.noise import MAX_SEED, Purpose, initial_noise, normals, sample_seeds
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.routing import Samples
from mnist_ddm.core.routing.base import parts_of
from mnist_ddm.core.solvers import Slope, Solver, StepGrid, evaluations, solver_named
from mnist_ddm.errors import InputError

TENTHS = tuple(i / 10 for i in range(9, 0, -1))
"""The fixed times 0.9, 0.8, ..., 0.1, the same for every strategy and number of steps."""


@dataclass(frozen=True)
class Visit:
    """One visited state of a batch: where it is and what the field said there.

    Attributes:
        x: states ``(B, *state_shape)``.
        t: the time, the same for the whole batch.
        evaluation: of the field at ``(x, t)``.
        samples: whose states they are.
        field: what was evaluated.
        calls: expert evaluations that the routing asked for up to here, for each sample, shape ``(B,)``.
        number: of the visit, from 0.
        total: how many visits there are.
        interval: of the step grid, for routings that draw anew in each.
        target: the velocity target of each state, where the states are noised data.
    """

    x: Tensor
    t: float
    evaluation: Evaluation
    samples: Samples
    field: VelocityField
    calls: Tensor
    number: int
    total: int
    interval: int
    target: Tensor | None = None

    @property
    def pool(self) -> ExpertPool:
        """The system."""
        return self.field.pool

    @property
    def times(self) -> Tensor:
        """The time of each row, shape ``(B,)``."""
        return torch.full((len(self.x),), self.t, dtype=self.x.dtype, device=self.x.device)


class Visits(ABC):
    """What to visit with a field, for ``n`` samples.

    Attributes:
        routing: spelling of a routing, or `monolith`.
        n: number of samples.
        seed: of all samples; sample ``i`` gets a seed of its own from it.
    """

    routing: str
    n: int
    seed: int

    @property
    @abstractmethod
    def times(self) -> tuple[float, ...]:
        """The times of the visited states, falling."""

    @property
    @abstractmethod
    def evaluations(self) -> int:
        """Velocity evaluations of one sample."""

    @property
    def identity(self) -> dict[str, object]:
        """Everything that decides what a sample is: kind and settings, without the number of samples."""
        return {"kind": type(self).__name__.lower(), **{name: v for name, v in vars(self).items() if name != "n"}}

    @property
    @abstractmethod
    def label(self) -> str:
        """A short name for people."""

    def field(self, pool: ExpertPool) -> VelocityField:
        """The field that is evaluated on a system.

        Raises:
            InputError: if the system cannot have it.
        """
        return make_field(pool, self.routing)

    @abstractmethod
    def walk(self, field: VelocityField, block: range, all_experts: Container[int] = ()) -> Iterator[Visit]:
        """Visit each state of samples ``block``, in order of time, and at last the final state at ``t = 0``.

        The field is not evaluated at ``t = 0``; the last visit repeats the evaluation before it.

        Args:
            field: what to evaluate.
            block: which samples.
            all_experts: numbers of the visits at which all experts are evaluated.
        """


def _check(n: int, seed: int) -> None:
    if n < 1:
        raise InputError(f"the number of samples must be at least 1, not {n}")
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"the seed must be between 0 and {MAX_SEED}, not {seed}")


@final
@dataclass(frozen=True)
class Sampling(Visits):
    """Samples drawn by integrating a field from noise at ``t = 1`` to ``t = 0``.

    Attributes:
        routing: spelling of a routing, or `monolith`.
        n: number of samples.
        seed: of all samples.
        solver: `heun`, `euler` or `ab2`; `heun@churn=2` with noise.
        steps: N, the number of steps.
        refine: cut each step into this many.
        variant: of the system (`ExpertPool.variant`), several with commas between, or nothing for the system as it is.

    Raises:
        InputError: if a number is out of range, or steps are to be refined of which each has noise of its own.
    """

    routing: str
    n: int
    seed: int = 0
    solver: str = "heun"
    steps: int = 50
    refine: int = 1
    variant: str = ""

    def __post_init__(self) -> None:
        _check(self.n, self.seed)
        StepGrid(self.steps, self.refine)
        if solver_named(self.solver).stochastic and self.refine > 1:
            raise InputError(
                f"smaller steps of {self.solver} take other noise and do not refine a trajectory; choose heun"
            )

    @property
    def grid(self) -> StepGrid:
        """The grid of the solver."""
        return StepGrid(self.steps, self.refine)

    @property
    def times(self) -> tuple[float, ...]:
        return tuple(self.grid.time(i) for i in range(self.grid.size))

    @property
    def evaluations(self) -> int:
        return evaluations(solver_named(self.solver), self.grid)

    @property
    def label(self) -> str:
        of = f" of {self.variant}" if self.variant else ""
        return f"{self.routing}{of}, n = {self.n}, {self.solver} {self.grid.size}"

    @property
    def identity(self) -> dict[str, object]:
        everything = super().identity
        return everything if self.variant else {k: v for k, v in everything.items() if k != "variant"}

    def field(self, pool: ExpertPool) -> VelocityField:
        for change in filter(None, self.variant.split(",")):
            pool = pool.variant(change)
        field = make_field(pool, self.routing)
        parts = parts_of(field.routing) if isinstance(field, RoutedField) else ()
        if solver_named(self.solver).stochastic and any(part.follows_flow for part in parts):
            raise InputError(f"{self.routing} follows a trajectory without noise; choose a solver without churn")
        return field

    def walk(self, field: VelocityField, block: range, all_experts: Container[int] = ()) -> Iterator[Visit]:
        x, samples = start(field.pool, sample_seeds(self.seed, len(block), block.start))
        return trajectory(field, solver_named(self.solver), self.grid, x, samples, all_experts)


@final
@dataclass(frozen=True)
class Noising(Visits):
    r"""Held-out real states, noised to fixed times, as a rule `TENTHS`: :math:`x_t = (1 - t) x_0 + t \varepsilon`.

    Each state keeps one noise for all times. The target :math:`\varepsilon - x_0` is known here.

    Attributes:
        routing: spelling of a routing, or `monolith`.
        n: number of samples.
        seed: of all samples.
        moments: the times, falling.

    Raises:
        InputError: if a number is out of range.
    """

    routing: str
    n: int
    seed: int = 0
    moments: tuple[float, ...] = TENTHS

    def __post_init__(self) -> None:
        _check(self.n, self.seed)
        if not self.moments or list(self.moments) != sorted({t for t in self.moments if 0 < t <= 1}, reverse=True):
            raise InputError(f"states are noised to falling times above 0 and up to 1, not to {self.moments}")

    @property
    def times(self) -> tuple[float, ...]:
        return self.moments

    @property
    def evaluations(self) -> int:
        return len(self.moments)

    @property
    def label(self) -> str:
        at = "" if self.moments == TENTHS else f" at t = {', '.join(f'{t:g}' for t in self.moments)}"
        return f"{self.routing} on noised held-out states{at}, n = {self.n}"

    @property
    def identity(self) -> dict[str, object]:
        everything = super().identity
        usual = self.moments == TENTHS
        return {k: v for k, v in everything.items() if k != "moments"} if usual else everything

    def walk(self, field: VelocityField, block: range, all_experts: Container[int] = ()) -> Iterator[Visit]:
        pool = field.pool
        clean = pool.measures.real_states(block.stop)[0][block.start :]
        if len(clean) < len(block):
            available = block.start + len(clean)
            raise InputError(f"{pool.name} has {available} held-out real states, not {self.n}; choose a smaller n")
        noise, samples = start(pool, sample_seeds(self.seed, len(block), block.start))
        rows = torch.arange(block.start, block.stop)
        samples = replace(samples, condition=pool.measures.real_condition(block.stop).select(rows))
        clean, target, calls = clean.to(noise), velocity_target(clean.to(noise), noise), torch.zeros(len(clean))
        evaluation: Evaluation | None = None
        for step, t in enumerate(self.moments):
            x = interpolate(clean, noise, _times(t, clean))
            evaluation = field.evaluate(x, _times(t, x), samples, step, all_experts=step in all_experts)
            calls = calls + evaluation.calls
            yield Visit(x, t, evaluation, samples, field, calls, step, len(self.moments), step, target)
        assert evaluation is not None
        last = len(self.moments)
        yield Visit(clean, 0.0, evaluation, samples, field, calls, last, last, last - 1, target)


def start(pool: ExpertPool, seeds: Tensor) -> tuple[Tensor, Samples]:
    """Start states ``(B, *state_shape)`` at ``t = 1`` for the samples of these seeds, and the samples themselves."""
    noise = pool.noise_scale * initial_noise(seeds, pool.state_shape).to(pool.device)
    return noise, Samples(seeds, pool.condition(seeds))


def trajectory(
    field: VelocityField,
    solver: Solver,
    grid: StepGrid,
    x: Tensor,
    samples: Samples,
    all_experts: Container[int] = (),
) -> Iterator[Visit]:
    """Integrate from ``t = 1`` to ``t = 0`` and yield each visited state with the field's evaluation there.

    On a device a number that is not finite ends it at the next evaluation, so that nothing waits for the look.

    Args:
        field: what to integrate.
        solver: how.
        grid: the times.
        x: start states ``(B, *state_shape)``.
        samples: whose states they are; its memory is changed along the way.
        all_experts: numbers of the visited states at which all experts are evaluated.
    """
    evaluation, before, watch = None, None, Watch()
    calls = torch.zeros(len(x))
    for step in range(grid.size):
        t, t_next, interval = grid.time(step), grid.time(step + 1), grid.interval(step)
        evaluation = field.evaluate(x, _times(t, x), samples, interval, all_experts=step in all_experts, watch=watch)
        calls = calls + evaluation.calls
        yield Visit(x, t, evaluation, samples, field, calls, step, grid.size, interval)
        later: list[Tensor] = []

        def velocity(state: Tensor, time: float, interval: int = interval, later: list[Tensor] = later) -> Tensor:
            there = field.evaluate(state, _times(time, state), samples, interval, watch=watch)
            later.append(there.calls)
            return there.velocity

        def noise(step: int = step, like: Tensor = x) -> Tensor:
            return normals(samples.seeds, tuple(like.shape[1:]), Purpose.CHURN, step).to(like)

        x = solver.step(velocity, x, t, t_next, evaluation.velocity, before, noise)
        before = Slope(t, evaluation.velocity)
        calls = sum(later, calls)
    watch.close()
    assert evaluation is not None  # a grid has at least one step
    yield Visit(x, 0.0, evaluation, samples, field, calls, grid.size, grid.size, grid.steps - 1)


def _times(t: float, x: Tensor) -> Tensor:
    return torch.full((len(x),), t, dtype=x.dtype, device=x.device)
