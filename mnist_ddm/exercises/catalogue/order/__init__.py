"""The measured order of convergence."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, final

import numpy as np

from mnist_ddm.core.solvers import SOLVERS
from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, call
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.integration import STEPS, errors, integrate
from mnist_ddm.exercises.material import SOFT
from mnist_ddm.exercises.pictures import label_more
from mnist_ddm.figures.palette import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@final
class MeasuredOrder(ClosedExercise):
    """Power laws, exact and with noise."""

    name = "order"

    def cases(self) -> Iterable[Case]:
        from scipy.stats import linregress

        h = (0.2, 0.1, 0.05)
        yield _case("errors 3 h^2 at h = 0.2, 0.1, 0.05", h, [3 * x**2 for x in h], 2.0)
        yield _case("errors 0.5 h, smallest step first", h[::-1], [0.5 * x for x in h[::-1]], 1.0)
        uneven, measured = (0.4, 0.1, 0.08, 0.01), (0.31, 0.017, 0.015, 0.00012)
        fit = linregress(np.log(uneven), np.log(measured)).slope
        yield _case("four measurements that lie on no line", uneven, measured, float(fit))

    mistakes = (
        Mistake("the sign: errors grow with h, so the order is positive", lambda h, e: -_slope(np.log(h), np.log(e))),
        Mistake("take the logarithm of both, step sizes and errors", lambda h, e: _slope(np.asarray(h), np.log(e))),
        Mistake("without logarithms the slope is not the order", lambda h, e: _slope(np.asarray(h), np.asarray(e))),
        Mistake(
            "that is the slope of log h against log error; turn it over", lambda h, e: _slope(np.log(e), np.log(h))
        ),
        Mistake(
            "that is the intercept, log C; the order is the slope, which numpy.polyfit returns first",
            lambda h, e: float(np.polyfit(np.log(h), np.log(e), 1)[1]),
        ),
        Mistake(
            "that uses the first and the last point alone; fit a line through all of them",
            lambda h, e: float(np.log(e[-1] / e[0]) / np.log(h[-1] / h[0])),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        axes, h = figure.add_subplot(), [0.8 / n for n in STEPS]
        for solver, colour in zip(SOLVERS.values(), COLOURS, strict=False):
            measured = errors(lambda v, x, times, solver=solver: integrate(solver, v, x, times))
            p = float(function(h, measured))
            centre = np.exp(np.mean(np.log(measured))) / np.exp(np.mean(np.log(h))) ** p
            axes.loglog(h, measured, "o", color=colour)
            axes.loglog(h, centre * np.asarray(h) ** p, color=colour, label=f"{solver.name}: your order {p:.2f}")
        axes.set_xticks(h, [f"0.8/{n}" for n in STEPS])
        axes.minorticks_off()
        label_more(axes.yaxis)
        axes.set_xlabel("step size h")
        axes.set_ylabel("error at t = 0.2")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3, color=SOFT)
        axes.legend(frameon=False)


def _case(asked: str, h: Sequence[float], measured: Sequence[float], expected: float) -> Case:
    return Case(asked, lambda function: call(function, list(h), list(measured)), expected, ("the order",))


def _slope(
    x: "np.ndarray[tuple[int], np.dtype[np.float64]]", y: "np.ndarray[tuple[int], np.dtype[np.float64]]"
) -> float:
    return float(np.polyfit(x, y, 1)[0])
