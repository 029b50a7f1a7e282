"""Angular deviation."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from mnist_ddm.core.observables import angle_degrees
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Sampling
from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, call
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.material import normal
from mnist_ddm.figures.palette import COLOURS
from mnist_ddm.systems.gaussian import load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TOO_NARROW = "the bounds are too narrow: the cosine of parallel vectors is 1, so clamp to [-1, 1] exactly"
_OTHER_AXIS = "the cosine ran along another axis: flatten the images first and sum over their pixels, the last axis"


@final
class AngularDeviation(ClosedExercise):
    """Random images, and vectors that are parallel, opposite or at a known angle."""

    name = "angle"

    def cases(self) -> Iterable[Case]:
        yield _case("angles between three experts and a reference, four 1 x 3 x 3 states", *_random())
        reference = normal(24, 200, 1, 3, 3)
        parallel = torch.stack([reference, -2 * reference], dim=1)
        straight = torch.tensor([0.0, 180.0], dtype=torch.float64).expand(200, 2)
        look = "rounding can take a cosine beyond 1, and its arccos is not a number: clamp it to [-1, 1] first"
        yield _case("200 parallel and 200 opposite vectors", parallel, reference, straight, look)

    mistakes = (
        Mistake("these are radians: torch.rad2deg makes degrees of them", lambda v, r: torch.deg2rad(_angles(v, r))),
        Mistake("this is the cosine; its arccos is the angle", lambda v, r: torch.deg2rad(_angles(v, r)).cos()),
        Mistake(
            "the absolute value of the cosine loses the direction: opposite vectors have 180 degrees",
            lambda v, r: torch.minimum(_angles(v, r), 180 - _angles(v, r)),
        ),
        Mistake(
            "divide by both lengths: a dot product alone is no cosine",
            lambda v, r: torch.rad2deg(torch.arccos(_dots(v, r).clamp(-1, 1))),
        ),
        Mistake(
            "the lengths are roots of sums of squares: divide by |a| |b|, not by their squares",
            lambda v, r: torch.rad2deg(torch.arccos((_dots(v, r) / _squares(v, r)).clamp(-1, 1))),
        ),
        *(Mistake(_TOO_NARROW, lambda v, r, margin=10.0**-n: _angles_within(v, r, margin)) for n in range(2, 12)),
        *(Mistake(_OTHER_AXIS, lambda v, r, dim=dim: _along(v, r, dim)) for dim in (1, 2)),
        Mistake(_OTHER_AXIS, lambda v, r: _along(v.flatten(2), r.flatten(1), dim=1)),
        Mistake(
            "that is the mean of angles within rows of pixels: flatten a whole image into one vector first",
            lambda v, r: _by_rows(v, r),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        wanted = ("velocities", "velocity", "weights")
        recording = sample(load(), Sampling("top2", n=48, seed=1, steps=20), observables=wanted)
        velocities, routed, weights = (recording.observed[name].double() for name in wanted)
        angles = torch.stack([function(velocities[:, i], routed[:, i]) for i in range(len(recording.times))], dim=1)
        axes = figure.add_subplot()
        for label, chosen, colour in (("selected", weights > 0, COLOURS[0]), ("others", weights == 0, COLOURS[1])):
            mean = torch.where(chosen, angles, torch.nan).nanmean(dim=(0, 2))
            axes.plot(recording.times, mean, color=colour, label=label)
        axes.invert_xaxis()
        axes.set_xlabel("t (1 = noise, 0 = data)")
        axes.set_ylabel("angle to the routed velocity, degrees")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)


def _random() -> tuple[Tensor, Tensor, Tensor]:
    velocities, reference = normal(22, 4, 3, 1, 3, 3), normal(23, 4, 1, 3, 3)
    velocities[:, 0] += 1.5 * reference
    return velocities, reference, _angles(velocities, reference)


def _case(asked: str, velocities: Tensor, reference: Tensor, exact: Tensor, look: str = "") -> Case:
    def ask(function: StudentFunction) -> object:
        return call(function, velocities.clone(), reference.clone())

    return Case(asked, ask, exact, ("the angles",), 1e-6, look)


def _angles(velocities: Tensor, reference: Tensor) -> Tensor:
    return angle_degrees(velocities, reference[:, None]).double()


def _dots(velocities: Tensor, reference: Tensor) -> Tensor:
    return (velocities * reference[:, None]).flatten(2).sum(dim=2)


def _squares(velocities: Tensor, reference: Tensor) -> Tensor:
    return velocities.flatten(2).square().sum(dim=2) * reference.flatten(1).square().sum(dim=1)[:, None]


def _by_rows(velocities: Tensor, reference: Tensor) -> Tensor:
    cosine = torch.nn.functional.cosine_similarity(velocities, reference[:, None], dim=-1)
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))).flatten(2).mean(dim=2)


def _angles_within(velocities: Tensor, reference: Tensor, margin: float) -> Tensor:
    """Angles whose cosines keep a distance from -1 and 1."""
    cosine = _dots(velocities, reference) / _squares(velocities, reference).sqrt()
    return torch.rad2deg(torch.arccos(cosine.clamp(-1 + margin, 1 - margin)))


def _along(velocities: Tensor, reference: Tensor, dim: int) -> Tensor:
    """Angles with the sums over one axis."""
    cosine = torch.nn.functional.cosine_similarity(velocities, reference[:, None], dim=dim)
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))
