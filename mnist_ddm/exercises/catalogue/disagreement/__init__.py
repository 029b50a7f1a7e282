"""Disagreement and its integral."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from mnist_ddm.core.observables import pairwise_disagreement
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Sampling
from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, call
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.material import normal
from mnist_ddm.figures.palette import COLOURS
from mnist_ddm.stats.summaries import integrate_over_time
from mnist_ddm.systems.gaussian import load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PARTS = ("D", "D_int")
_RECTANGLES = "that is the rectangle rule: between two times take the mean of D at both of them"
_TIMES = (1.0, 0.9, 0.6, 0.3, 0.1)


@final
class IntegratedDisagreement(ClosedExercise):
    """Random velocities, and two experts at a constant distance."""

    name = "disagreement"

    def cases(self) -> Iterable[Case]:
        yield _case("four experts on three trajectories of five times", normal(25, 3, 5, 4, 6), _TIMES)
        two = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
        two[:, :, 1, 0] = 3.0
        yield _case("two experts always 3 apart, whose integral is 3", two, (1.0, 0.5, 0.25))

    mistakes = (
        Mistake(
            "the pairs of an expert with itself were counted: divide by K (K - 1), not by K K",
            lambda v, t: _both(_mean(v) * (v.shape[2] - 1) / v.shape[2], t),
        ),
        Mistake("distances, not their squares", lambda v, t: _both(_mean_squares(v), t)),
        Mistake(
            "that is the sum over pairs; divide by their number, K (K - 1) / 2",
            lambda v, t: _both(_mean(v) * v.shape[2] * (v.shape[2] - 1) / 2, t),
        ),
        Mistake(
            "each pair was counted twice: the sum over all i and j is divided by K (K - 1)",
            lambda v, t: _both(2 * _mean(v), t),
        ),
        Mistake(
            "that is the distance to the mean of the experts, not between pairs of them",
            lambda v, t: _both((v - v.mean(dim=2, keepdim=True)).norm(dim=3).mean(dim=2), t),
        ),
        Mistake(
            "the sign of the integral: the times fall, so widths are times[i] - times[i + 1]",
            lambda v, t: (_mean(v), torch.trapezoid(_mean(v), t, dim=1)),
        ),
        Mistake(
            "the piece from the last time down to 0 is missing: add D[:, -1] * times[-1]",
            lambda v, t: (_mean(v), -torch.trapezoid(_mean(v), t, dim=1)),
        ),
        Mistake(
            "the sign of the last piece: what lies below the last time is added, not subtracted",
            lambda v, t: (_mean(v), -torch.trapezoid(_mean(v), t, dim=1) - _mean(v)[:, -1] * t[-1]),
        ),
        Mistake(_RECTANGLES, lambda v, t: (_mean(v), _rectangles(_mean(v)[:, :-1], _mean(v), t))),
        Mistake(_RECTANGLES, lambda v, t: (_mean(v), _rectangles(_mean(v)[:, 1:], _mean(v), t))),
        Mistake(
            "that is the mean over the recorded times; they are not equally spaced, so weight each with its width",
            lambda v, t: (_mean(v), _mean(v).mean(dim=1)),
        ),
        Mistake(
            "a sum over times without widths grows with their number: multiply by the distance between times",
            lambda v, t: (_mean(v), _mean(v).sum(dim=1)),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        recording = sample(load(), Sampling("full", n=24, seed=2, steps=40), observables=("velocities",))
        times = recording.times.double()
        curves, integrals = function(recording.observed["velocities"].double().flatten(3), times)
        axes, most = figure.add_subplot(), int(integrals.argmax())
        axes.plot(times, curves.T, color="#cccccc", linewidth=0.8)
        axes.plot(times, curves[most], color=COLOURS[0], label=f"largest D_int = {float(integrals[most]):.2f}")
        axes.fill_between(times, curves[most], alpha=0.15, color=COLOURS[0], linewidth=0)
        axes.invert_xaxis()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("t (1 = noise, 0 = data)")
        axes.set_ylabel("D, mean distance of two experts")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)


def _case(asked: str, velocities: Tensor, times: tuple[float, ...]) -> Case:
    t = torch.tensor(times, dtype=torch.float64)
    exact = torch.stack([pairwise_disagreement(velocities[:, i]) for i in range(len(t))], dim=1).double()
    integral = torch.from_numpy(integrate_over_time(exact.numpy(), t.numpy()))
    return Case(asked, lambda function: call(function, velocities.clone(), t.clone()), (exact, integral), _PARTS)


def _distances(velocities: Tensor) -> Tensor:
    """All distances, shape ``(B, T, K, K)``."""
    distances: Tensor = (velocities[:, :, :, None] - velocities[:, :, None]).norm(dim=4)
    return distances


def _mean(velocities: Tensor) -> Tensor:
    k = velocities.shape[2]
    return _distances(velocities).sum(dim=(2, 3)) / (k * (k - 1))


def _mean_squares(velocities: Tensor) -> Tensor:
    k = velocities.shape[2]
    return _distances(velocities).square().sum(dim=(2, 3)) / (k * (k - 1))


def _both(curve: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    return curve, -torch.trapezoid(curve, times, dim=1) + curve[:, -1] * times[-1]


def _rectangles(heights: Tensor, curve: Tensor, times: Tensor) -> Tensor:
    """The integral with one height for each interval."""
    return (heights * (times[:-1] - times[1:])).sum(dim=1) + curve[:, -1] * times[-1]
