"""Fixed-step solvers for the sampling ODE :math:`dx/dt = v(x, t)`, integrated from ``t = 1`` down to ``t = 0``.

`StepGrid` owns the times and the loop's rule for the last step; a solver writes only `step` and declares its order.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from torch import Tensor

from mnist_ddm.errors import InputError, unknown

Velocity = Callable[[Tensor, float], Tensor]
"""A velocity field: from states ``(B, ...)`` and one time for all of them to velocities of the same shape."""


@dataclass(frozen=True)
class StepGrid:
    """A uniform grid of times from 1 down to 0.

    Attributes:
        steps: N, the number of intervals that a random routing knows.
        refine: how many solver steps each of those intervals is cut into. The 2N-step run of a step refinement is
            ``StepGrid(N, refine=2)``, so that it sees the same random field as the N-step run.

    Raises:
        InputError: if either is less than 1.
    """

    steps: int
    refine: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1 or self.refine < 1:
            raise InputError(f"the number of steps must be at least 1, not {min(self.steps, self.refine)}")

    @property
    def size(self) -> int:
        """How many solver steps there are."""
        return self.steps * self.refine

    def time(self, step: int) -> float:
        """The time at which step ``step`` starts; ``time(size)`` is 0."""
        return (self.size - step) / self.size

    def interval(self, step: int) -> int:
        """The interval of the N-step grid that a step lies in."""
        return step // self.refine


class Solver(ABC):
    """A one-step method."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name on the command line."""

    @property
    @abstractmethod
    def order(self) -> int:
        """p: the global error is of order h^p on a smooth field."""

    @property
    @abstractmethod
    def stages(self) -> int:
        """Velocity evaluations in one step."""

    @abstractmethod
    def step(self, velocity: Velocity, x: Tensor, t: float, t_next: float, first: Tensor) -> Tensor:
        """One step from ``t`` down to ``t_next``.

        Args:
            velocity: the field.
            x: states ``(B, ...)`` at ``t``.
            t: where the step starts.
            t_next: where it ends, below ``t``.
            first: ``velocity(x, t)``, which the caller has at hand.
        """


@final
class Euler(Solver):
    r"""Euler's method, :math:`x_{t'} = x_t + (t' - t)\, v(x_t, t)`, of order 1."""

    name = "euler"
    order = 1
    stages = 1

    def step(self, velocity: Velocity, x: Tensor, t: float, t_next: float, first: Tensor) -> Tensor:
        return x + (t_next - t) * first


@final
class Heun(Solver):
    r"""Heun's method, of order 2 (Karras et al. 2022, Algorithm 1; the paper's sampler).

    :math:`\tilde x = x_t + h v(x_t, t)`, :math:`x_{t'} = x_t + \tfrac{h}{2} (v(x_t, t) + v(\tilde x, t'))` with
    :math:`h = t' - t`. The step into ``t = 0`` is Euler's, which returns the predicted clean image: at ``t = 0`` the
    velocity of a pixel that never varies is undefined.
    """

    name = "heun"
    order = 2
    stages = 2

    def step(self, velocity: Velocity, x: Tensor, t: float, t_next: float, first: Tensor) -> Tensor:
        h = t_next - t
        guess = x + h * first
        if t_next <= 0:
            return guess
        return x + h / 2 * (first + velocity(guess, t_next))


SOLVERS: Mapping[str, Solver] = {solver.name: solver for solver in (Euler(), Heun())}
"""The solvers by name."""


def solver_named(name: str) -> Solver:
    """The solver of that name.

    Raises:
        InputError: if there is none; the message lists those that exist.
    """
    if name not in SOLVERS:
        raise unknown("solver", name, list(SOLVERS))
    return SOLVERS[name]


def evaluations(solver: Solver, grid: StepGrid) -> int:
    """Velocity evaluations of one trajectory: the last step always costs one (Heun with 50 steps: 99)."""
    return solver.stages * (grid.size - 1) + 1
