"""Step refinement."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from mnist_ddm.core.field import make_field
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.solvers import SOLVERS, StepGrid
from mnist_ddm.core.visits import start, trajectory
from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, call
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.pictures import label_more
from mnist_ddm.figures.palette import COLOURS
from mnist_ddm.systems.gaussian import load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STEPS = 6
_PARTS = ("Delta_refine", "the number of runs")


@final
class StepRefinement(ClosedExercise):
    """Two routings of the Gaussian system, one of which draws experts at random."""

    name = "refinement"

    def cases(self) -> Iterable[Case]:
        yield _case("Top-1 with 6 and 12 steps, eight samples", "top1", 8)
        yield _case("random experts, drawn once for each of the 6 intervals", "misaligned2", 8)

    mistakes = (
        Mistake(
            "N was halved: compare N with 2N steps",
            lambda run, x, n, distance: distance(run(x, n // 2, 1), run(x, n, 1)),
        ),
        Mistake(
            "a grid of 2N intervals lets a random routing draw anew: keep `steps` and use refine=2",
            lambda run, x, n, distance: distance(run(x, n, 1), run(x, 2 * n, 1)),
        ),
        Mistake(
            "both runs must start from the same noise, in the same order",
            lambda run, x, n, distance: distance(run(x, n, 1), run(x.flip(0), n, 2)),
        ),
        Mistake(
            "the same run was compared with itself: the second one needs refine=2",
            lambda run, x, n, distance: distance(run(x, n, 1), run(x, n, 1)),
        ),
        Mistake(
            "the second run must start from the noise again, not from the result of the first",
            lambda run, x, n, distance: distance(first := run(x, n, 1), run(first, n, 2)),
        ),
        Mistake(
            "return one number for each sample, not their mean: the mean hides the few that matter",
            lambda run, x, n, distance: distance(run(x, n, 1), run(x, n, 2)).mean(),
        ),
        Mistake(
            "use the distance that is given; yours is another one (L2, the root of the sum of squares)",
            lambda run, x, n, distance: _l2(run(x, n, 1), run(x, n, 2)),
        ),
        Mistake(
            "give `integrate` the whole batch: two runs are enough for all samples, not two for each of them",
            lambda run, x, n, distance: torch.cat([distance(run(row, n, 1), run(row, n, 2)) for row in x.split(1)]),
        ),
        Mistake(
            "N was compared with 4N steps (2N intervals, each cut in two): change only one of the two",
            lambda run, x, n, distance: distance(run(x, n, 1), run(x, 2 * n, 2)),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        axes = figure.add_subplot()
        for routing, colour in zip(("top1", "full"), COLOURS, strict=False):
            errors = function(_integrator(routing), _noise(200), 10, _l2).sort().values
            label = f"{routing}: mean {float(errors.mean()):.3f}, median {float(errors.median()):.3f}"
            axes.semilogy(torch.linspace(0, 100, len(errors)), errors, color=colour, label=label)
        label_more(axes.yaxis)
        axes.set_title("the gaussian system, 200 samples", fontsize=10)
        axes.set_xlabel("share of samples, %")
        axes.set_ylabel("Delta_refine, L2, 10 against 20 steps")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)


def _noise(n: int) -> Tensor:
    x, _ = start(load(), sample_seeds(5, n))
    return x.double()


def _l2(a: Tensor, b: Tensor) -> Tensor:
    distance: Tensor = (a - b).flatten(1).norm(dim=1)
    return distance


def _largest_change(a: Tensor, b: Tensor) -> Tensor:
    """The distance of the questions: one that nobody takes without being told."""
    return (a - b).abs().flatten(1).amax(dim=1)


def _integrator(routing: str) -> StudentFunction:
    """A sampler of the Gaussian system from a noise that the caller gives."""
    pool = load()

    def integrate(noise: Tensor, steps: int, refine: int = 1) -> Tensor:
        _, samples = start(pool, sample_seeds(5, len(noise)))
        field, grid = make_field(pool, routing), StepGrid(int(steps), int(refine))
        *_, last = trajectory(field, SOLVERS["heun"], grid, noise, replace(samples, memory={}))
        return last.x

    return integrate


def _case(asked: str, routing: str, n: int) -> Case:
    integrate = _integrator(routing)

    def ask(function: StudentFunction) -> tuple[object, int]:
        runs: list[int] = []

        def counted(noise: Tensor, steps: int, refine: int = 1) -> Tensor:
            runs.append(steps)
            end: Tensor = integrate(noise, steps, refine)
            return end

        return call(function, counted, _noise(n), _STEPS, _largest_change), len(runs)

    expected = (_largest_change(integrate(_noise(n), _STEPS, 1), integrate(_noise(n), _STEPS, 2)), 2)
    look = "the runs start from `noise`, one with (noise, steps, 1), the other with (noise, steps, 2)"
    return Case(asked, ask, expected, _PARTS, look=look)
