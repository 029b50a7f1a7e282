"""Interpolation and velocity target."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from mnist_ddm.core.flow import expand_time, interpolate, predicted_clean, velocity_target
from mnist_ddm.data import load_images, to_image, to_state
from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, call
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.material import normal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PARTS = ("x_t", "v")


@final
class Flow(ClosedExercise):
    """x_t and v of random states."""

    name = "flow"

    def cases(self) -> Iterable[Case]:
        inner = torch.tensor([0.1, 0.35, 0.6, 0.85], dtype=torch.float64)
        # As many rows as columns, so that times along the wrong axis do not stumble over the shape.
        yield _case("x_t and v of four 4 x 4 images at t = 0.1, 0.35, 0.6, 0.85", (4, 1, 4, 4), inner)
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        yield _case("the ends of the path, t = 0 and t = 1", (2, 3), ends)
        yield _case("states with other axes", (4, 2, 5), inner)

    mistakes = (
        Mistake(
            "t is reversed: x_t must be the clean state at t = 0 and the noise at t = 1",
            lambda clean, noise, t: (interpolate(clean, noise, 1 - t), velocity_target(clean, noise)),
        ),
        Mistake(
            "you let time run the other way: here t = 1 is noise and t = 0 is data, in x_t and in v",
            lambda clean, noise, t: (interpolate(clean, noise, 1 - t), clean - noise),
        ),
        Mistake(
            "the two results are swapped: return x_t first, then v",
            lambda clean, noise, t: (velocity_target(clean, noise), interpolate(clean, noise, t)),
        ),
        Mistake(
            "the sign of v: it points from data to noise, the way in which t grows",
            lambda clean, noise, t: (interpolate(clean, noise, t), clean - noise),
        ),
        Mistake(
            "t has shape (B,) and was stretched along the last axis; each row has a time of its own",
            lambda clean, noise, t: ((1 - t) * clean + t * noise, velocity_target(clean, noise)),
        ),
        Mistake(
            "t[:, None] has one axis more, which is enough for states of two axes; t needs as many as `clean` has",
            lambda clean, noise, t: (
                (1 - t[:, None]) * clean + t[:, None] * noise,
                velocity_target(clean, noise),
            ),
        ),
        Mistake(
            "that is a curved path with square roots; this flow is a straight line",
            lambda clean, noise, t: (_curved(clean, noise, t), velocity_target(clean, noise)),
        ),
        Mistake(
            "v is t times too small: that is x_t - x_0, the way gone so far, not the speed",
            lambda clean, noise, t: (interpolate(clean, noise, t), interpolate(clean, noise, t) - clean),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        clean = to_state(load_images().test_images[18:19]).double().expand(5, -1, -1, -1)
        t = torch.linspace(0, 1, 5, dtype=torch.float64)  # those that were asked about before
        x, v = function(clean, normal(0, 1, 1, 28, 28).expand(5, -1, -1, -1), t)
        rows = (x, predicted_clean(x, v, t))
        figure.set_size_inches(7.2, 3.2)
        axes = figure.subplots(2, 5)
        for row, images in enumerate(rows):
            for column, image in enumerate(to_image(images)[:, 0]):
                axes[row, column].imshow(image.numpy(), cmap="gray", vmin=0, vmax=1)
                axes[row, column].set_axis_off()
                if column == 0:
                    label = ("x_t", "x_t - t v")[row]
                    axes[row, 0].text(-0.1, 0.5, label, ha="right", va="center", transform=axes[row, 0].transAxes)
                if row == 0:
                    axes[row, column].set_title(f"t = {t[column]:.2f}", fontsize=9)


def _case(asked: str, shape: tuple[int, ...], t: Tensor) -> Case:
    clean, noise = normal(1, *shape), normal(2, *shape)
    expected = (interpolate(clean, noise, t), velocity_target(clean, noise))
    return Case(asked, lambda function: call(function, clean.clone(), noise.clone(), t.clone()), expected, _PARTS)


def _curved(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    t = expand_time(t, clean)
    return (1 - t).sqrt() * clean + t.sqrt() * noise
