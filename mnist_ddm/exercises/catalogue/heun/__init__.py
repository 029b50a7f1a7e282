"""Heun's method."""

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

_HEUN = SOLVERS["heun"]


def euler(velocity: Velocity, x: Tensor, times: Sequence[float]) -> Tensor:
    """Euler's method, to compare with."""
    return integrate(SOLVERS["euler"], velocity, x, times)


@final
class HeunSteps(ClosedExercise):
    """A linear field with and without a step into t = 0, and the measured order on an exact flow."""

    name = "heun"

    def cases(self) -> Iterable[Case]:
        yield steps_case("two unequal steps, t = 1, 0.7, 0.2", _HEUN, (1.0, 0.7, 0.2))
        yield steps_case("three steps, the last one into 0, t = 1, 0.7, 0.2, 0", _HEUN, (1.0, 0.7, 0.2, 0.0))
        yield order_case(_HEUN)

    mistakes = (
        Mistake("that is Euler's method: a second slope, at the end of the guess, is missing", euler),
        Mistake(
            "the step into t = 0 must be Euler's: the velocity is not looked at there",
            lambda velocity, x, times: _stepping(velocity, x, times, _everywhere),
        ),
        Mistake(
            "the second slope belongs to the end of the step: velocity(guess, t_next), not velocity(guess, t)",
            lambda velocity, x, times: _stepping(
                velocity, x, times, lambda v, x, guess, t, u: (v(x, t) + v(guess, t)) / 2
            ),
        ),
        Mistake(
            "the second slope belongs to the guess: velocity(guess, t_next), not velocity(x, t_next)",
            lambda velocity, x, times: _stepping(velocity, x, times, lambda v, x, guess, t, u: (v(x, t) + v(x, u)) / 2),
        ),
        Mistake(
            "the slopes were added, not averaged: h / 2, not h, times their sum",
            lambda velocity, x, times: _stepping(velocity, x, times, lambda v, x, guess, t, u: v(x, t) + v(guess, u)),
        ),
        Mistake(
            "the step goes on from the old x, not from the guess: the guess is only where one looks",
            lambda velocity, x, times: _from_guess(velocity, x, times),
        ),
        Mistake(
            "that is the midpoint method: Heun looks a second time at the end of the step, not in its middle",
            lambda velocity, x, times: _stepping(
                velocity, x, times, lambda v, x, guess, t, u: v((x + guess) / 2, (t + u) / 2)
            ),
        ),
        Mistake(
            "three looks in a step: keep the first slope in a variable instead of asking for it again",
            lambda velocity, x, times: _looking_again(velocity, x, times),
        ),
        Mistake(
            "the sign of the step: sampling goes down in t, so h = t_next - t is negative",
            lambda velocity, x, times: _stepping(velocity, x, times, _everywhere, sign=-1),
        ),
        Mistake(
            "only the second slope was used (that is another method): take the mean of both",
            lambda velocity, x, times: _stepping(velocity, x, times, lambda v, x, guess, t, u: v(guess, u)),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        draw_order(figure, {"Euler": euler, "your Heun": function})


Slope = Callable[[Velocity, Tensor, Tensor, float, float], Tensor]
"""From the field, x, the guess, t and the next t to the slope of the step."""


def _everywhere(v: Velocity, x: Tensor, guess: Tensor, t: float, t_next: float) -> Tensor:
    return (v(x, t) + v(guess, t_next)) / 2


def _stepping(velocity: Velocity, x: Tensor, times: Sequence[float], slope: Slope, sign: int = 1) -> Tensor:
    """Steps with another slope, into t = 0 as well; the first slope is looked at once."""
    for t, t_next in pairwise(times):
        h, first = sign * (t_next - t), velocity(x, t)
        start = x

        def field(state: Tensor, time: float, start: Tensor = start, t: float = t, first: Tensor = first) -> Tensor:
            return first if state is start and time == t else velocity(state, time)

        x = x + h * slope(field, x, x + h * first, t, t_next)
    return x


def _looking_again(velocity: Velocity, x: Tensor, times: Sequence[float]) -> Tensor:
    """Right, but the first slope is computed for the guess and once more for the mean."""
    for t, t_next in pairwise(times):
        h = t_next - t
        guess = x + h * velocity(x, t)
        x = guess if t_next <= 0 else x + h / 2 * (velocity(x, t) + velocity(guess, t_next))
    return x


def _from_guess(velocity: Velocity, x: Tensor, times: Sequence[float]) -> Tensor:
    for t, t_next in pairwise(times):
        first = velocity(x, t)
        guess = x + (t_next - t) * first
        x = guess if t_next <= 0 else guess + (t_next - t) / 2 * (first + velocity(guess, t_next))
    return x
