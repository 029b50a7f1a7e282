"""Points of the plane as pictures: scatter and trajectories with axes, and small tiles for pages."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from mnist_ddm.figures.draw import look
from mnist_ddm.figures.palette import SURFACES
from mnist_ddm.storage.files import replacing

_INCHES: Final = 6.0
_DPI: Final = 150
_ROOM: Final = 1.08
"""The side of a picture beyond what it shows."""
_MOST_REAL: Final = 1000


def save_scatter(
    places: Tensor, axes: tuple[str, str], real: Tensor | None, path: Path, description: Mapping[str, str]
) -> None:
    """Write points ``(B, 2)`` over real ones ``(N, 2)`` as a PNG, replaced atomically.

    Args:
        places: of the samples.
        axes: names of the two coordinates.
        real: what is drawn pale below, if there is anything.
        path: of the PNG.
        description: texts kept in the file's header.
    """

    def draw(plot: Axes) -> None:
        plot.plot(*_columns(places), "o", color=SURFACES["accent"].light, markersize=4, alpha=0.7, label=_count(places))

    _save(draw, [places], axes, real, path, description)


def save_courses(
    courses: Tensor, axes: tuple[str, str], real: Tensor | None, path: Path, description: Mapping[str, str]
) -> None:
    """Write the trajectories of points ``(n, T, 2)``, from noise (hollow) to sample (full), like `save_scatter`."""
    accent = SURFACES["accent"].light

    def draw(plot: Axes) -> None:
        for course in courses:
            plot.plot(*_columns(course), "-", color=accent, linewidth=1, alpha=0.6)
        plot.plot(
            *_columns(courses[:, 0]), "o", markerfacecolor="none", markeredgecolor=accent, markersize=5, label="t = 1"
        )
        plot.plot(*_columns(courses[:, -1]), "o", color=accent, markersize=5, label="t = 0")

    _save(draw, [courses.flatten(0, 1)], axes, real, path, description)


def _save(
    draw: Callable[[Axes], None],
    shown: Sequence[Tensor],
    axes: tuple[str, str],
    real: Tensor | None,
    path: Path,
    description: Mapping[str, str],
) -> None:
    with look(), replacing(path) as temporary:
        figure = Figure((_INCHES, _INCHES), layout="constrained")
        FigureCanvasAgg(figure)
        plot = figure.add_subplot()
        if real is not None:
            real = real[:_MOST_REAL]
            plot.plot(*_columns(real), "o", color=SURFACES["edge"].light, markersize=2.5, alpha=0.35, label="real data")
        draw(plot)
        side = extent([*shown, *([real] if real is not None else [])])
        plot.set(xlim=(-side, side), ylim=(-side, side), xlabel=axes[0], ylabel=axes[1])
        plot.set_aspect("equal")
        plot.grid(visible=True, axis="both")
        figure.legend(loc="outside lower center", ncols=4)
        figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": None, **description})


def _columns(places: Tensor) -> tuple[list[float], list[float]]:
    x, y = places.detach().cpu().double().T.tolist()
    return x, y


def _count(places: Tensor) -> str:
    return f"{len(places)} sample{'s' if len(places) != 1 else ''}"


def extent(shown: Sequence[Tensor]) -> float:
    """Half the side of a square around 0 that holds points ``(..., 2)``, with a little room; at least 0.1."""
    finite = [float(places[places.isfinite()].abs().max()) for places in shown if places.isfinite().any()]
    return max([0.1, *finite]) * _ROOM


def point_tiles(places: Tensor, side: float, real: Tensor | None, pixels: int) -> Tensor:
    """Each point as a small picture of its own: a dot, the axes through 0, and real points pale behind.

    Args:
        places: shape ``(B, 2)``; a point beyond the frame is drawn at its edge.
        side: half the side of the square that is shown.
        real: shape ``(N, 2)``, or nothing.
        pixels: of a side.

    Returns:
        Images ``(B, 3, pixels, pixels)`` in ``[0, 1]``.
    """
    ground = torch.ones(3, pixels, pixels)
    middle = pixels // 2
    ground[:, middle, :] = ground[:, :, middle] = _rgb(SURFACES["line"].light)[:, None]
    if real is not None:
        column, row = _pixels(real[:_MOST_REAL].float().cpu(), side, pixels).round().long().unbind(dim=1)
        ground[:, row, column] = _rgb(SURFACES["edge"].light)[:, None] * 0.5 + 0.5
    at = _pixels(places.detach().float().cpu().nan_to_num(0.0), side, pixels)
    grid = torch.arange(pixels, dtype=torch.float32)
    far = torch.hypot(grid[None, None, :] - at[:, 0, None, None], grid[None, :, None] - at[:, 1, None, None])
    covered = (pixels / 22 + 0.5 - far).clamp(0, 1)[:, None]  # a soft edge of one pixel
    return covered * _rgb(SURFACES["accent"].light)[None, :, None, None] + (1 - covered) * ground


def _pixels(places: Tensor, side: float, pixels: int) -> Tensor:
    """Column and row of points, y upwards; shape ``(B, 2)``."""
    scaled = (places.clamp(-side, side) / side + 1) / 2 * (pixels - 1)
    return torch.stack([scaled[:, 0], pixels - 1 - scaled[:, 1]], dim=1)


def _rgb(colour: str) -> Tensor:
    return torch.tensor([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
