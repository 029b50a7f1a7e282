"""Fixed-step solvers for the sampling ODE :math:`dx/dt = v(x, t)`, integrated from ``t = 1`` down to ``t = 0``.

`StepGrid` owns the times and the loop's rule for the last step; a solver writes only `step` and declares its order.
`Churned` makes of a solver one for the stochastic equation with the same densities.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from torch import Tensor

from mnist_ddm.errors import InputError, unknown

Velocity = Callable[[Tensor, float], Tensor]
"""A velocity field: from states ``(B, ...)`` and one time for all of them to velocities of the same shape."""


Noise = Callable[[], Tensor]
"""Fresh standard normal numbers of the shape of the states, the same whenever the step is taken again."""

MOST_STEPS = 1_000_000
"""Of a grid: its times are listed, and nobody waits for more."""


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
        if self.steps * self.refine > MOST_STEPS:
            raise InputError(f"the number of steps must be at most {MOST_STEPS:,}, not {self.steps * self.refine:,}")

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


@dataclass(frozen=True)
class Slope:
    """A velocity that is known already.

    Attributes:
        t: when.
        velocity: of the field at the states there, shape ``(B, ...)``.
    """

    t: float
    velocity: Tensor


class Solver(ABC):
    """A method that steps from one time of a grid to the next."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name on the command line."""

    @property
    @abstractmethod
    def order(self) -> int:
        """p: the global error is of order h^p on a smooth field; of averages alone where a solver is stochastic."""

    @property
    def stochastic(self) -> bool:
        """Whether its steps take noise, so that a sample's states do not lie on one trajectory of the field."""
        return False

    @abstractmethod
    def evaluations(self, steps: int) -> int:
        """Velocity evaluations of one trajectory of so many steps, at least 1."""

    @abstractmethod
    def step(
        self,
        velocity: Velocity,
        x: Tensor,
        t: float,
        t_next: float,
        first: Tensor,
        before: Slope | None = None,
        noise: Noise | None = None,
    ) -> Tensor:
        """One step from ``t`` down to ``t_next``.

        Args:
            velocity: the field.
            x: states ``(B, ...)`` at ``t``.
            t: where the step starts.
            t_next: where it ends, below ``t``.
            first: ``velocity(x, t)``, which the caller has at hand.
            before: the velocity at the start of the step before, on the same trajectory; ``None`` at its start.
            noise: of this step, for solvers that are stochastic; those do not go without.
        """


@final
class Euler(Solver):
    r"""Euler's method, :math:`x_{t'} = x_t + (t' - t)\, v(x_t, t)`, of order 1."""

    name = "euler"
    order = 1

    def evaluations(self, steps: int) -> int:
        return steps

    def step(
        self,
        velocity: Velocity,
        x: Tensor,
        t: float,
        t_next: float,
        first: Tensor,
        before: Slope | None = None,
        noise: Noise | None = None,
    ) -> Tensor:
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

    def evaluations(self, steps: int) -> int:
        return 2 * steps - 1

    def step(
        self,
        velocity: Velocity,
        x: Tensor,
        t: float,
        t_next: float,
        first: Tensor,
        before: Slope | None = None,
        noise: Noise | None = None,
    ) -> Tensor:
        h = t_next - t
        guess = x + h * first
        if t_next <= 0:
            return guess
        return x + h / 2 * (first + velocity(guess, t_next))


@final
class AdamsBashforth(Solver):
    r"""The two-step Adams-Bashforth method, of order 2 with one evaluation for each step (Hairer et al. 1993, III.1).

    With :math:`h = t' - t` and the step before, :math:`h_- = t - t_-`, which may be of another size,

    .. math:: x_{t'} = x_t + h \left( v(x_t, t) + \frac{h}{2 h_-} (v(x_t, t) - v(x_{t_-}, t_-)) \right).

    The first step, which has none before it, is Heun's. The step into ``t = 0`` is Euler's as it is there. It takes the
    field for smooth along the trajectory: where the experts change from one step to the next, Heun's method sees both.
    """

    name = "ab2"
    order = 2

    def evaluations(self, steps: int) -> int:
        return steps + (steps > 1)

    def step(
        self,
        velocity: Velocity,
        x: Tensor,
        t: float,
        t_next: float,
        first: Tensor,
        before: Slope | None = None,
        noise: Noise | None = None,
    ) -> Tensor:
        if before is None:
            return Heun().step(velocity, x, t, t_next, first)
        h = t_next - t
        if t_next <= 0:
            return x + h * first
        return x + h * (first + h / (2 * (t - before.t)) * (first - before.velocity))


@final
class Churned(Solver):
    r"""Another solver, which replaces a part of a state's noise by fresh noise after each of its steps.

    A velocity of the linear path tells the score of its density,

    .. math:: \nabla \log p_t(x) = -\frac{\hat\varepsilon}{t} = -\frac{x + (1 - t)\, v(x, t)}{t},

    so there is a family of stochastic equations whose densities are those of the sampling ODE. With a rate c and
    :math:`s = 1 - t` this is, in the limit of small steps,

    .. math:: dx = (-v + c\, t^2\, \nabla \log p_t)\, ds + \sqrt{2 c}\, t\, dW.

    A step from t to t' with :math:`\kappa = e^{-c (t - t')}` goes by the other solver to a lower time, where
    the ratio of noise to signal is :math:`\kappa` times that of t'; then noise brings it to t':

    .. math:: t_- = \frac{\kappa t'}{1 - t' + \kappa t'}, \qquad
        x_{t'} = (1 - t' + \kappa t')\, x_{t_-} + \sqrt{1 - \kappa^2}\, t'\, \xi.

    The noise in the state keeps the correlation :math:`\kappa` with what it was: a sample forgets its start at the
    rate c, and as c grows it is made anew from the predicted clean state in each step. As the second part is exact,
    densities are wrong by the other solver's error alone, and averages have its order (Karras et al. 2022, Algorithm 2,
    has the same for another path, with the noise before the step; Song et al. 2021 the equation).
    """

    stochastic = True

    def __init__(self, base: Solver, rate: float) -> None:
        """Churn another solver.

        Raises:
            InputError: if the rate is not positive, or the solver remembers a step that the noise cuts off.
        """
        if not 0 < rate < math.inf:
            raise InputError(f"a churn is spelled heun@churn=2 with a positive number, not '@churn={rate:g}'")
        if isinstance(base, AdamsBashforth):
            raise InputError("ab2 goes by the step before, from which churn cuts a state off; churn heun or euler")
        self.base, self.rate = base, rate

    @property
    def name(self) -> str:
        return f"{self.base.name}@churn={self.rate:.12g}"

    @property
    def order(self) -> int:
        return self.base.order

    def evaluations(self, steps: int) -> int:
        return self.base.evaluations(steps)

    def step(
        self,
        velocity: Velocity,
        x: Tensor,
        t: float,
        t_next: float,
        first: Tensor,
        before: Slope | None = None,
        noise: Noise | None = None,
    ) -> Tensor:
        kept = math.exp(-self.rate * (t - t_next))
        share = 1 - t_next + kept * t_next
        below = self.base.step(velocity, x, t, kept * t_next / share, first)
        if t_next <= 0:
            return below
        if noise is None:
            raise ValueError(f"a step of {self.name} takes noise")
        return share * below + math.sqrt(1 - kept**2) * t_next * noise()


SOLVERS: Mapping[str, Solver] = {solver.name: solver for solver in (Euler(), Heun(), AdamsBashforth())}
"""The solvers by name, without noise."""


def solver_named(name: str) -> Solver:
    """The solver of that spelling: `heun`, or `heun@churn=2` with noise.

    Raises:
        InputError: if there is none; the message lists those that exist.
    """
    base, at, option = name.partition("@")
    if base not in SOLVERS:
        raise unknown("solver", name, [*SOLVERS, "heun@churn=2"])
    if not at:
        return SOLVERS[base]
    key, _, value = option.partition("=")
    if key != "churn":
        raise unknown("option of a solver", f"@{option}", ["@churn=2"])
    try:
        rate = float(value)
    except ValueError:
        raise InputError(f"a churn is spelled heun@churn=2 with a positive number, not '@{option}'") from None
    return Churned(SOLVERS[base], rate)


def evaluations(solver: Solver, grid: StepGrid) -> int:
    """Velocity evaluations of one trajectory: the last step always costs one (Heun with 50 steps: 99)."""
    return solver.evaluations(grid.size)
