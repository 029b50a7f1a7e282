"""The exact interval of a share, and how often it holds the truth."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, final

import numpy as np

from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, call
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.material import SOFT
from mnist_ddm.figures.palette import COLOURS
from mnist_ddm.stats.quantiles import beta_quantile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_N = 50
_ENDS = ("the lower end", "the upper end")


@final
class ExactInterval(ClosedExercise):
    """Few events, none, and all."""

    name = "interval"

    def cases(self) -> Iterable[Case]:
        for events, n in ((3, 50), (0, 50), (20, 20), (250, 500), (1, 1)):
            yield _case(events, n)

    mistakes = (
        Mistake(
            "that is the textbook's p +- 1.96 sqrt(p (1 - p) / n), which is what must be replaced",
            lambda events, n: _textbook(events, n),
        ),
        Mistake(
            "that is the textbook's formula, cut off at 0 and 1; what must be replaced is the formula",
            lambda events, n: tuple(min(max(end, 0.0), 1.0) for end in _textbook(events, n)),
        ),
        Mistake(
            "each end has a tail of 5%: that is an interval of 90%. Give 2.5% to each",
            lambda events, n: _exact(events, n, 0.05),
        ),
        Mistake(
            "that is Wilson's interval, good on average over shares; the exact one never covers less than 95%",
            lambda events, n: _wilson(events, n),
        ),
        Mistake(
            "that is Jeffreys' interval, beta(events + 1/2, n - events + 1/2); the exact one is wider",
            lambda events, n: tuple(beta_quantile(q, events + 0.5, n - events + 0.5) for q in (0.025, 0.975)),
        ),
        Mistake(
            "these are events: divide by n to have shares",
            lambda events, n: tuple(n * end for end in _exact(events, n, 0.025)),
        ),
        Mistake(
            "an end is NaN: with no event the lower end is 0, and if all have it the upper one is 1",
            lambda events, n: tuple(end if 0 < end < 1 else math.nan for end in _exact(events, n, 0.025)),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        from scipy.stats import binom

        axes, truths = figure.add_subplot(), np.linspace(0.002, 0.3, 150)
        for label, answer, colour in (("textbook", _textbook, SOFT), ("yours", function, COLOURS[0])):
            ends = np.array([answer(events, _N) for events in range(_N + 1)])
            holds = (ends[:, 0, None] <= truths) & (truths <= ends[:, 1, None])
            seen = binom.pmf(np.arange(_N + 1)[:, None], _N, truths)
            axes.plot(truths, (holds * seen).sum(axis=0), color=colour, label=label)
        axes.axhline(0.95, color="black", linewidth=0.8, linestyle=":")
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("true share")
        axes.set_ylabel(f"intervals of n = {_N} that hold it")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)


def _case(events: int, n: int) -> Case:
    return Case(f"{events} of {n} samples with an event", lambda f: call(f, events, n), _exact(events, n, 0.025), _ENDS)


def _exact(events: int, n: int, tail: float) -> tuple[float, float]:
    low = beta_quantile(tail, events, n - events + 1) if events > 0 else 0.0
    high = beta_quantile(1 - tail, events + 1, n - events) if events < n else 1.0
    return low, high


def _wilson(events: int, n: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    low, high = binomtest(events, n).proportion_ci(0.95, method="wilson")
    return float(low), float(high)


def _textbook(events: int, n: int) -> tuple[float, float]:
    share = events / n
    half = 1.96 * math.sqrt(share * (1 - share) / n)
    return share - half, share + half
