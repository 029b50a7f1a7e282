"""Plots as pictures: matplotlib draws each of them once, and it leaves as files or as part of a page.

A picture in a file, PNG and SVG, stands alone, so it has a title and a legend. In a page, which has both, it is an SVG
whose text is in the page's type and whose colours are the palette's CSS variables, so that it follows light and dark.
The look is set for the moment of drawing alone; what a user has chosen for matplotlib is neither used nor changed.
"""

import io
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Literal, final

import numpy as np
from markupsafe import Markup
from matplotlib import style as mpl_style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from mnist_ddm.figures.names import Name, place_names
from mnist_ddm.figures.palette import SURFACES, Dash, Style, routing_family, routing_style, series_styles
from mnist_ddm.figures.plot import Plot, Series, drawable
from mnist_ddm.figures.symbols import as_mathtext
from mnist_ddm.figures.themed import themed
from mnist_ddm.figures.ticks import set_ticks
from mnist_ddm.storage.files import replacing

WIDTH: Final = 460
"""Of every plot in points; narrow, so that its type is still large enough on a telephone."""
_HEIGHT: Final = 300
_ROW, _GAP, _CELL = 15, 10, 34
"""Heights in points: of one bar, of the room between groups of bars, of a row of a map."""
_UNDER: Final = 44
"""Points that the axis below bars and maps takes."""
_TYPE: Final = 12
_SMALL: Final = 10
"""Sizes of type; nothing is smaller, since a page on a telephone shrinks all of it."""
_LETTER: Final = 6.5
_WIDEST_LETTER: Final = 7.2
"""About the width in points of a letter, on average and in lines of wide ones."""
_LEGEND_COLUMNS: Final = 5
_POINTS_PER_INCH: Final = 72
_PNG_DPI: Final = 150
_MOST_POINTS: Final = 4000
"""Of larger clouds a random part is drawn: more would not be seen, and a page would become large."""

_INK: Final = {name: colour.light for name, colour in SURFACES.items()}
_LOOK: Final[Mapping[str, Any]] = {
    "figure.facecolor": _INK["surface"],
    "savefig.facecolor": _INK["surface"],
    "axes.facecolor": "none",
    "axes.edgecolor": _INK["edge"],
    "axes.labelcolor": _INK["muted"],
    "axes.linewidth": 1.0,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": _TYPE,
    "grid.color": _INK["line"],
    "grid.linewidth": 1.0,
    "legend.fontsize": _TYPE - 1,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": _INK["text"],
    "text.parse_math": False,
    "xtick.color": _INK["edge"],
    "xtick.labelcolor": _INK["muted"],
    "ytick.color": _INK["edge"],
    "ytick.labelcolor": _INK["muted"],
    "ytick.major.size": 0,
}


def save_plot(plot: Plot, files: Sequence[Path], description: Mapping[str, str]) -> None:
    """Draw a plot into files, each replaced atomically; ``description`` is kept in their headers.

    Args:
        plot: what is drawn.
        files: whose names end with `.png` or with `.svg`, in which text stays text, to be searched and changed.
        description: what is said of it, by name.
    """
    plot = plot.drawable()
    told = "\n".join(f"{name}: {drawable(value)}" for name, value in description.items())
    headers: Mapping[str, Mapping[str, str | None]] = {
        "png": {"Software": None, **description},
        "svg": {"Date": None, "Creator": None, "Title": plot.title, "Description": told},
    }
    with look(plot.name):
        figure = _drawn(plot, alone=True).figure
        for file in files:
            kind = file.suffix.removeprefix(".")
            with replacing(file) as temporary:
                figure.savefig(temporary, format=kind, dpi=_PNG_DPI, metadata=headers[kind])


def plot_svg(plot: Plot, ident: str) -> Markup:
    """The plot as an inline SVG of a page; ``ident`` makes its ids unique there."""
    text, plot = io.StringIO(), plot.drawable()
    with look(ident):
        drawing = _drawn(plot, alone=False)
        drawing.figure.savefig(text, format="svg", metadata={"Date": None})
    return themed(text.getvalue(), plot, ident, drawing.told)


def plot_legend(plot: Plot) -> list[tuple[str, Style]]:
    """The names and styles of a plot's series; empty if there is nothing to tell apart or the names stand inside."""
    named = plot.kind == "named points" or (plot.kind == "points" and all(len(s.x) == 1 for s in plot.series))
    if plot.kind == "map" or named or len(plot.series) < 2:
        return []
    return [(s.label, style) for s, style in zip(plot.series, _styles(plot), strict=True)]


def look(salt: str = "") -> AbstractContextManager[None]:
    """Matplotlib's own defaults and ours, for the time of a drawing; ``salt`` makes the ids of an SVG repeatable."""
    context: AbstractContextManager[None] = mpl_style.context(["default", {**_LOOK, "svg.hashsalt": salt}])
    return context


def _styles(plot: Plot) -> list[Style]:
    return series_styles([series.label for series in plot.series])


@final
class _Drawing:
    """A plot on its way to a picture.

    Attributes:
        plot: what is drawn.
        alone: whether it is not a part of a page, which sets symbols itself.
        figure: of matplotlib, whose pixels are points.
        axes: its only ones.
        told: what parts of the picture say of themselves, by their `gid`.
        names: to be placed when everything else has its place.
        whiskers: level lines that names keep off, as start, end and height in data coordinates.
    """

    def __init__(self, plot: Plot, height: float, alone: bool) -> None:
        self.plot = plot
        self.alone = alone
        self.figure = Figure(
            (WIDTH / _POINTS_PER_INCH, height / _POINTS_PER_INCH), _POINTS_PER_INCH, layout="constrained"
        )
        FigureCanvasAgg(self.figure)
        self.axes: Axes = self.figure.add_subplot()
        self.told: dict[str, str] = {}
        self.names: list[Name] = []
        self.whiskers: list[tuple[float, float, float]] = []

    @property
    def series(self) -> Iterator[tuple[int, Series, Style]]:
        """The series with their numbers and styles."""
        return ((i, s, style) for i, (s, style) in enumerate(zip(self.plot.series, _styles(self.plot), strict=True)))

    def words(self, text: str) -> str:
        """A text for an artist with `parse_math` as `alone` is."""
        return as_mathtext(text) if self.alone else text

    def tell(self, artist: Artist, text: str) -> None:
        """Let a part of the picture say something when it is pointed at."""
        artist.set_gid(f"told-{len(self.told)}")
        self.told[f"told-{len(self.told)}"] = text


def _drawn(plot: Plot, *, alone: bool) -> _Drawing:
    """The plot with everything in its place; ``alone`` adds the title and the legend that a page has beside."""
    plot = plot.drawable()
    legend = plot_legend(plot) if alone else []
    title = textwrap.wrap(plot.title, int(WIDTH / _WIDEST_LETTER)) if alone else []
    longest = max((len(label) for label, _ in legend), default=0)
    columns = max(1, min(_LEGEND_COLUMNS, int(WIDTH / (_LETTER * (longest + 5)))))
    rows = math.ceil(len(legend) / columns)
    drawing = _Drawing(plot, _height(plot) + 18 * (len(title) + rows), alone)
    _DRAW[plot.kind](drawing)
    axes = drawing.axes
    if plot.logarithmic and any(len(_drawable(series, logarithmic=True)) for series in plot.series):
        axes.set_xscale("log")
        axes.set_yscale("log")
    if plot.kind != "map":
        set_ticks(axes.xaxis)
        if plot.kind != "bars":
            set_ticks(axes.yaxis)
    if plot.falling_x:
        axes.invert_xaxis()
    if title:
        told = drawing.words("\n".join(title))
        drawing.figure.suptitle(told, x=0.01, horizontalalignment="left", fontsize=_TYPE, parse_math=alone)
    if legend:
        handles = [_handle(plot, style) for _, style in legend]
        labels = [drawing.words(label) for label, _ in legend]
        shown = drawing.figure.legend(handles, labels, loc="outside lower center", ncols=columns)
        for label in shown.get_texts():
            label.set_parse_math(alone)
    if plot.kind == "map":  # which may be of one row: no room beside it
        text, size = _label(plot.y_label, WIDTH - 20)
        axes.set_title(drawing.words(text), loc="left", fontsize=size, color=_INK["muted"], parse_math=alone)
    elif plot.kind != "bars":
        text, size = _label(plot.y_label, _height(plot) - 20)
        axes.set_ylabel(drawing.words(text), fontsize=size, parse_math=alone)
    text, size = _label(plot.y_label if plot.kind == "bars" else plot.x_label, WIDTH - 60)
    axes.set_xlabel(drawing.words(text), fontsize=size, parse_math=alone)
    place_names(drawing.figure, axes, drawing.names, drawing.whiskers)
    return drawing


def _height(plot: Plot) -> float:
    if plot.kind == "map":
        return _CELL * len(plot.series) + _UNDER + 2 * _TYPE
    if plot.kind == "bars":
        return _group(plot) * len(plot.series[0].x) + _UNDER
    return _HEIGHT


def _handle(plot: Plot, style: Style) -> Artist:
    colour = style.colour.light
    if plot.kind == "bars":
        return Patch(color=colour)
    dash: Dash | Literal[""] = style.dash if plot.kind == "lines" else ""
    return Line2D([], [], color=colour, linestyle=dash, marker=style.mark.marker, markersize=6, markeredgewidth=0)


def _label(text: str, room: float) -> tuple[str, float]:
    """A label in lines that have room, and the size of its type: smaller where two lines would not do."""
    for size in (_TYPE, _SMALL):
        lines = textwrap.wrap(text, max(1, int(room / _LETTER * _TYPE / size)))
        if len(lines) <= 2:
            break
    return "\n".join(lines), size


# What is drawn


def _lines(drawing: _Drawing) -> None:
    axes, logarithmic, count = drawing.axes, drawing.plot.logarithmic, len(drawing.plot.series)
    for number, series, style in drawing.series:
        shown = _drawable(series, logarithmic)
        x, y = np.asarray(series.x, dtype=float)[shown], np.asarray(series.y, dtype=float)[shown]
        # Marks at other places of each line, so that lines can be told apart without their colours.
        every = max(1, len(x) // 5)
        axes.plot(
            x,
            y,
            style.dash,
            color=style.colour.light,
            linewidth=2,
            marker=style.mark.marker if count > 1 or len(x) == 1 else "",
            markersize=7,
            markeredgewidth=0,
            markevery=(number % every, every),
            clip_on=False,
        )
        if series.low is not None and series.high is not None:
            low, high = (np.asarray(ends, dtype=float)[shown] for ends in (series.low, series.high))
            axes.fill_between(x, low, high, color=(style.colour.light, 0.18), linewidth=0)
    if not logarithmic:
        axes.margins(x=0.02)
        axes.set_ylim(*_with_zero(axes.get_ylim(), axes.dataLim.intervaly))


def _points(drawing: _Drawing) -> None:
    clouds = sum(len(s.x) for s in drawing.plot.series if len(s.x) > 1)
    for _, series, style in drawing.series:
        shown = _drawable(series, drawing.plot.logarithmic)
        if len(series.x) == 1 and len(shown):
            _single_point(drawing, series, style)
            continue
        if clouds > _MOST_POINTS:
            # At random, since rows may come in an order that a regular choice would fall in step with.
            part = math.ceil(len(shown) * _MOST_POINTS / clouds)
            shown = np.sort(np.random.Generator(np.random.Philox(0)).choice(shown, part, replace=False))
        x, y = np.asarray(series.x, dtype=float)[shown], np.asarray(series.y, dtype=float)[shown]
        drawing.axes.plot(x, y, **_marker(style, 5, 0.5))


def _single_point(drawing: _Drawing, series: Series, style: Style) -> None:
    """A point that stands for its series: large enough to find, with the interval of its x and its name beside."""
    x, y = float(series.x[0]), series.y[0]
    if series.low is not None and series.high is not None:
        # `low` and `high` belong to the axis that has an interval, x.
        low, high = series.low[0], series.high[0]
        if math.isfinite(low) and math.isfinite(high):
            drawing.axes.plot([low, high], [y, y], color=(style.colour.light, 0.7), linewidth=2)
            drawing.whiskers.append((low, high, y))
    (mark,) = drawing.axes.plot(x, y, **_marker(style, 10))
    drawing.tell(mark, f"{series.label}: {x:.3g}, {y:.3g}")
    drawing.names.append(Name(series.label, x, y))


def _named_points(drawing: _Drawing) -> None:
    axes, last = drawing.axes, len(drawing.plot.series) - 1
    for number, series, style in drawing.series:
        places = []
        for i in _drawable(series, drawing.plot.logarithmic):
            name, x, y = (series.names or [series.label] * len(series.x))[i], float(series.x[i]), series.y[i]
            (mark,) = axes.plot(x, y, **_marker(routing_style(name) if routing_family(name) else style, 7))
            drawing.tell(mark, f"{name}: {x:.3g}, {y:.3g}")
            drawing.names.append(Name(name, x, y, needed=number == last))
            places.append((x, y))
        if number == last and len(places) > 1:
            # The last series is what the plot is about.
            x_places, y_places = zip(*sorted(places), strict=True)
            axes.plot(x_places, y_places, "--", color=_INK["edge"], linewidth=1.5, zorder=1)
            axes.set_title(f"line: {series.label}", loc="right", fontsize=_TYPE, color=_INK["muted"])
    drawing.names.sort(key=lambda name: not name.needed)


def _group(plot: Plot) -> float:
    """The height that the bars of one name take."""
    lines = max((len(_wrapped(str(label)).split("\n")) for label in plot.series[0].x), default=1)
    return max(_ROW * len(plot.series), 13 * lines) + _GAP


def _wrapped(name: str) -> str:
    return textwrap.fill(name, int(0.4 * WIDTH / _LETTER))


def _bars(drawing: _Drawing) -> None:
    """Bars lie, so that their names can be read."""
    axes, plot = drawing.axes, drawing.plot
    names = [str(label) for label in plot.series[0].x]
    group, count = _group(plot), len(plot.series)
    for number, series, style in drawing.series:
        for row, (name, value) in enumerate(zip(names, series.y, strict=True)):
            if not math.isfinite(value):
                continue
            own = routing_style(name) if count == 1 and routing_family(name) else style
            place = group * (row + 0.5) + _ROW * (number - (count - 1) / 2)
            (bar,) = axes.barh(place, value, _ROW - 2, color=own.colour.light)
            drawing.tell(bar, f"{series.label} {name}: {value:.3g}".strip())
            if series.low is not None and series.high is not None and math.isfinite(series.low[row]):
                axes.plot([series.low[row], series.high[row]], [place, place], color=_INK["text"], linewidth=1.5)
    axes.set_ylim(group * len(names), 0)
    rows = [group * (row + 0.5) for row in range(len(names))]
    axes.set_yticks(rows, [drawing.words(_wrapped(name)) for name in names], parse_math=drawing.alone)
    axes.tick_params(axis="y", labelcolor=_INK["text"])
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="x", length=0)
    axes.spines.bottom.set_visible(False)
    axes.set_xlim(*_with_zero(axes.get_xlim(), axes.dataLim.intervalx))
    axes.axvline(0, color=_INK["edge"], linewidth=1)


def _map(drawing: _Drawing) -> None:
    axes, rows = drawing.axes, drawing.plot.series
    columns = [str(x) for x in rows[0].x]
    logs = [[math.log2(v) if math.isfinite(v) and v > 0 else math.nan for v in series.y] for series in rows]
    limit = max([1.0, *(abs(v) for row in logs for v in row if math.isfinite(v))])
    for row, (series, values) in enumerate(zip(rows, logs, strict=True)):
        for column, value in enumerate(values):
            known = math.isfinite(value)
            colour = (_INK["poor"] if value > 0 else _INK["accent"], 0.55 * abs(value) / limit if known else 0.0)
            cell = Rectangle((column, row), 1, 1, facecolor=colour, edgecolor=_INK["line"], linewidth=1)
            axes.add_patch(cell)
            text = f"{series.y[column]:.2g}" if known else "-"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center")
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
    axes.set_xticks([i + 0.5 for i in range(len(columns))], columns)
    axes.set_yticks([i + 0.5 for i in range(len(rows))], [series.label for series in rows])
    axes.tick_params(axis="y", labelcolor=_INK["text"])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines.bottom.set_visible(False)


_DRAW: Final[Mapping[str, Callable[[_Drawing], None]]] = {
    "lines": _lines,
    "bars": _bars,
    "points": _points,
    "named points": _named_points,
    "map": _map,
}


def _marker(style: Style, size: float, opacity: float = 1.0) -> dict[str, Any]:
    """How points are drawn: without lines between."""
    return {
        "linestyle": "",
        "marker": style.mark.marker,
        "markersize": size,
        "markerfacecolor": (style.colour.light, opacity),
        "markeredgewidth": 0,
        "markeredgecolor": "none",
        "clip_on": False,
        "zorder": 3,
    }


def _drawable(series: Series, logarithmic: bool) -> Any:
    """The numbers of the points that the axes have a place for."""
    x, y = np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float)
    known = np.isfinite(x) & np.isfinite(y)
    return np.flatnonzero(known & (x > 0) & (y > 0) if logarithmic else known)


def _with_zero(limits: tuple[float, float], data: Sequence[float]) -> tuple[float, float]:
    """The limits of an axis that holds 0, and ends there where nothing is beyond it."""
    low, high = limits
    if not all(map(math.isfinite, data)):
        return 0.0, 1.0
    return 0.0 if data[0] >= 0 else low, 0.0 if data[1] <= 0 < -data[0] else high
