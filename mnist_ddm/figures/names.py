"""Names beside marks that cover neither each other nor a mark."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from mnist_ddm.figures.palette import SURFACES

_SIZE: Final = 11
_BESIDE: Final = 9
_SHIFTS: Final = (0, -11, 11, -22, 22, -33, 33)
_NEAR: Final = 12
"""Points from a name to a mark that are seen to belong together without a line."""


@dataclass(frozen=True)
class Name:
    """A name to be written beside a mark.

    Attributes:
        text: the name.
        x: of the mark, in data coordinates.
        y: of the mark, in data coordinates.
        needed: worth a place far from the mark, with a line to it.
    """

    text: str
    x: float
    y: float
    needed: bool = True


def place_names(
    figure: Figure, axes: Axes, names: Sequence[Name], whiskers: Sequence[tuple[float, float, float]]
) -> None:
    """Write each name where it covers no mark, no whisker and no name before it; one that fits nowhere is left out.

    This ends the layout of the figure: everything else must have its place.

    Args:
        figure: whose pixels are points.
        axes: the only ones in it.
        names: the most important first.
        whiskers: level lines, as start, end and height in data coordinates.
    """
    if not names:
        return
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    marks = [axes.transData.transform((name.x, name.y)) for name in names]
    taken = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for x, y in marks]
    for low, high, level in whiskers:
        (x0, y), (x1, _) = axes.transData.transform([(low, level), (high, level)])
        taken.append(Bbox.from_extents(min(x0, x1), y - 2, max(x0, x1), y + 2))
    inner = axes.get_window_extent()
    frame = Bbox.from_extents(inner.x0, inner.y0 - 2, figure.bbox.width, inner.y1 + 2)
    letters = FontProperties(size=_SIZE)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]  # it is Agg's, which has one
    for name, (x, y) in zip(names, marks, strict=True):
        wide, tall, _ = renderer.get_text_width_height_descent(name.text, letters, False)
        for left, middle in _places_beside(x, y, wide, frame if name.needed else None):
            box = Bbox.from_extents(left, middle - tall / 2, left + wide, middle + tall / 2)
            inside = frame.containsx(left) and frame.containsx(box.x1) and frame.containsy(box.y0)
            if inside and frame.containsy(box.y1) and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                _write(figure, name.text, box, (x, y))
                break


def _places_beside(x: float, y: float, wide: float, frame: Bbox | None) -> Iterator[tuple[float, float]]:
    """Left end and middle height of places for a name, the best first; within ``frame`` also far from the mark."""
    for shift in _SHIFTS:
        yield x + _BESIDE, y + shift
        yield x - _BESIDE - wide, y + shift
    if frame is not None:
        far = [
            (left, middle)
            for left in np.arange(frame.x0, frame.x1 - wide, 12.0)
            for middle in np.arange(frame.y0 + 8, frame.y1, 6.0)
        ]
        yield from sorted(far, key=lambda place: math.hypot(place[0] + wide / 2 - x, place[1] - y))


def _write(figure: Figure, text: str, box: Bbox, mark: tuple[float, float]) -> None:
    """Write a name into its box, with a thin line to its mark if that is far."""
    width, height = figure.bbox.width, figure.bbox.height
    middle = (box.y0 + box.y1) / 2
    figure.text(box.x0 / width, middle / height, text, fontsize=_SIZE, va="center_baseline")
    nearest = min(max(mark[0], box.x0), box.x1)
    if math.hypot(nearest - mark[0], middle - mark[1]) > _NEAR:
        end = box.y0 if middle > mark[1] else box.y1
        places = [mark[0] / width, nearest / width], [mark[1] / height, end / height]
        figure.add_artist(Line2D(*places, color=SURFACES["edge"].light, linewidth=0.6))
