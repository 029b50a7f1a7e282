"""Euler's method."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, final

from torch import Tensor

from mnist_ddm.core.solvers import SOLVERS, Velocity
from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.integration import draw_order, integrate, order_case, steps_case

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EULER = SOLVERS["euler"]


@final
class EulerSteps(ClosedExercise):
    """A linear field, and the measured order on an exact flow."""

    name = "euler"

    def cases(self) -> Iterable[Case]:
        yield steps_case("three unequal steps, t = 1, 0.7, 0.2, 0", _EULER, (1.0, 0.7, 0.2, 0.0))
        yield steps_case("a single step from 1 to 0.5", _EULER, (1.0, 0.5))
        yield order_case(_EULER)

    mistakes = (
        Mistake(
            "the sign of the step: sampling goes down in t, so h = t_next - t is negative",
            lambda velocity, x, times: _stepping(velocity, x, times, lambda t, t_next: t - t_next),
        ),
        Mistake(
            "the steps are not equally long: use t_next - t of each pair, not 1 / N",
            lambda velocity, x, times: _stepping(
                velocity, x, times, lambda t, t_next: (times[-1] - times[0]) / (len(times) - 1)
            ),
        ),
        Mistake(
            "a step uses the velocity where it starts: velocity(x, t), not velocity(x, t_next)",
            lambda velocity, x, times: _stepping(lambda x, t: velocity(x, _after(times, t)), x, times, _down),
        ),
        Mistake(
            "the last step is missing: there are len(times) - 1 steps, the last one ends at times[-1]",
            lambda velocity, x, times: integrate(_EULER, velocity, x, times[:-1]),
        ),
        Mistake(
            "only the first step was taken: is the `return` inside of the loop?",
            lambda velocity, x, times: integrate(_EULER, velocity, x, times[:2]),
        ),
        Mistake(
            "all slopes were taken at the first x: look at the velocity at the x that the last step reached",
            lambda velocity, x, times: _stepping(lambda _, t: velocity(x, t), x, times, _down),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        draw_order(figure, {"your Euler": function})


def _stepping(velocity: Velocity, x: Tensor, times: Sequence[float], length: Callable[[float, float], float]) -> Tensor:
    """Euler's method with steps of another length."""
    for t, t_next in pairwise(times):
        x = x + length(t, t_next) * velocity(x, t)
    return x


def _down(t: float, t_next: float) -> float:
    return t_next - t


def _after(times: Sequence[float], t: float) -> float:
    """The time after t."""
    return times[list(times).index(t) + 1]
