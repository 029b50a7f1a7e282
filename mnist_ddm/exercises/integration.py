"""What the exercises on solvers share: a linear field, the exact flow of a Gaussian expert, and the measured order."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mnist_ddm.core.solvers import Slope, Solver, Velocity
from mnist_ddm.exercises.answers import Case, StudentFunction, call
from mnist_ddm.exercises.material import SOFT, nobody, normal, triangle
from mnist_ddm.exercises.pictures import label_more
from mnist_ddm.figures.palette import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = (8, 16, 32, 64)
_LAST = 0.2
"""Where the order is measured: before the step into t = 0, which is Euler's for every solver."""


def integrate(solver: Solver, velocity: Velocity, x: Tensor, times: Sequence[float]) -> Tensor:
    """The package's solver along falling times."""
    before = None
    for t, t_next in pairwise(times):
        now = Slope(t, velocity(x, t))
        x, before = solver.step(velocity, x, t, t_next, now.velocity, before), now
    return x


def steps_case(asked: str, solver: Solver, times: tuple[float, ...]) -> Case:
    """The end of a few steps through a linear field, and how often the velocity was looked at."""

    def ask(function: StudentFunction) -> tuple[object, int]:
        looked: list[float] = []

        def velocity(x: Tensor, t: float) -> Tensor:
            looked.append(float(t))
            return _linear(x, float(t))

        return call(function, velocity, normal(3, 4, 2), times), len(looked)

    expected = ask(lambda velocity, x, times: integrate(solver, velocity, x, times))
    return Case(asked, ask, expected, ("x at the last time", "the number of looks at the velocity"))


def _linear(x: Tensor, t: float) -> Tensor:
    """A field that turns, grows with t and has a constant part."""
    turn = torch.tensor([[0.3, -1.2], [0.9, 0.4]], dtype=x.dtype)
    return x @ turn * (1 + 2 * t) + torch.tensor([0.5, -1.0], dtype=x.dtype) * t


def order_case(solver: Solver) -> Case:
    """The slope of error against step size on a log-log plot, where the exact end is known."""
    return Case(
        f"the error falls with the step size h like h^{solver.order}",
        lambda function: fitted_order(errors(function)),
        float(solver.order),
        ("the measured order",),
        tolerance=0.1,
        look="compare one of your steps with the formula, by hand",
    )


def errors(function: StudentFunction) -> list[float]:
    """The mean error at t = 0.2 against the exact flow of an expert, for each of `STEPS`."""
    pool, noise = triangle(), normal(4, 32, 1, 1, 2)
    exact = pool.exact_flow(1, noise, torch.full((len(noise),), _LAST, dtype=noise.dtype))
    distances = []
    for n in STEPS:
        times = tuple(1 - (1 - _LAST) * i / n for i in range(n + 1))
        end = function(_expert, noise.clone(), times)
        distances.append(float((end - exact).flatten(1).norm(dim=1).mean()))
    return distances


def _expert(x: Tensor, t: float) -> Tensor:
    return triangle().velocity(1, x, torch.full((len(x),), t, dtype=x.dtype), nobody(len(x)))


def fitted_order(measured: Sequence[float]) -> float:
    """The slope of log error against log step size, by least squares."""
    if not all(np.isfinite(measured)) or min(measured) <= 0:
        return float("nan")
    slope, _ = np.polyfit(np.log([1 / n for n in STEPS]), np.log(measured), 1)
    return float(slope)


def draw_order(figure: "Figure", answers: dict[str, StudentFunction]) -> None:
    """Errors against step size on logarithmic axes, with the fitted order beside each."""
    axes = figure.add_subplot()
    h = [(1 - _LAST) / n for n in STEPS]
    for (label, function), colour in zip(answers.items(), COLOURS, strict=False):
        measured = errors(function)
        axes.loglog(h, measured, "o-", color=colour, label=f"{label}: order {fitted_order(measured):.2f}")
    axes.set_xticks(h, [f"0.8/{n}" for n in STEPS])
    axes.minorticks_off()
    label_more(axes.yaxis)
    axes.set_xlabel("step size h")
    axes.set_ylabel("mean error at t = 0.2")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3, color=SOFT)
    axes.legend(frameon=False)
