"""Plots as PNG, drawn from plot data without any global matplotlib state."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mnist_ddm.analyses.analysis import Plot, Series
from mnist_ddm.figures.palette import Style, routing_family, routing_style, series_styles
from mnist_ddm.storage.files import replacing

_LEGEND_COLUMNS = 5
_ROOM = 70
"""Letters that fit side by side under the axis."""


def save_plot(plot: Plot, path: Path, description: Mapping[str, str]) -> None:
    """Draw a plot into a PNG file, replaced atomically; ``description`` is kept in its header."""
    figure = Figure(figsize=(7.2, 4.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if plot.kind == "map":
        _map(axes, plot)
    drawn = plot.series if plot.kind != "map" else ()
    styles = series_styles([series.label for series in drawn])
    for number, (series, style) in enumerate(zip(drawn, styles, strict=True)):
        _DRAW[plot.kind](axes, series, style, number, len(drawn))
    axes.set_title(plot.title, fontsize=10.5, loc="left")
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    axes.spines[["top", "right"]].set_visible(False)
    if plot.kind != "map":
        axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    if plot.falling_x:
        axes.invert_xaxis()
    if plot.logarithmic and any(y > 0 for series in plot.series for y in series.y):
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            _plain_ticks(axis)
    elif plot.kind in ("lines", "bars"):
        axes.set_ylim(bottom=0)
    if len(plot.series) > 1 and plot.kind != "map":
        figure.legend(loc="outside lower center", ncols=_LEGEND_COLUMNS, frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None, **description})


def _plain_ticks(axis: Axis) -> None:
    """Plain numbers (0.5, 1, 2) on a logarithmic axis of few decades, where powers of ten would say too little."""
    low, high = axis.get_view_interval()
    if high < 100 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _lines(axes: Axes, series: Series, style: Style, number: int, count: int) -> None:
    x = np.asarray(series.x, dtype=float)
    colour = style.colour.light
    # Marks at other places of each line, so that lines can be told apart without their colours.
    every = max(1, len(x) // 8)
    marker = style.mark.marker if count > 1 else ""
    axes.plot(
        x,
        series.y,
        style.dash,
        color=colour,
        label=series.label,
        linewidth=1.8,
        marker=marker,
        markersize=5,
        markevery=(number % every, every),
    )
    if series.low is not None and series.high is not None:
        axes.fill_between(x, series.low, series.high, color=colour, alpha=0.18, linewidth=0)


def _bars(axes: Axes, series: Series, style: Style, number: int, count: int) -> None:
    width = 0.7 / count
    positions = np.arange(len(series.x)) + (number - (count - 1) / 2) * width
    names = [str(label) for label in series.x]
    axes.bar(
        positions,
        series.y,
        width,
        color=_colours(names, style) if count == 1 else style.colour.light,
        label=series.label,
    )
    if series.low is not None and series.high is not None:
        y = np.asarray(series.y)
        errors = np.stack([y - np.asarray(series.low), np.asarray(series.high) - y])
        axes.errorbar(positions, y, errors, fmt="none", ecolor="#333333", capsize=4)
    axes.set_xticks(np.arange(len(names)), names)
    if sum(len(name) + 2 for name in names) > _ROOM:
        axes.tick_params(axis="x", labelrotation=30)
        for text in axes.get_xticklabels():
            text.set_horizontalalignment("right")


def _colours(names: Sequence[str], style: Style) -> list[str]:
    """For each name its own colour if it is a strategy's, else the one of the series."""
    return [(routing_style(name) if routing_family(name) else style).colour.light for name in names]


def _points(axes: Axes, series: Series, style: Style, number: int, count: int) -> None:
    alone = len(series.x) == 1  # a point that stands for its series is large enough to find
    size, alpha = (70, 1.0) if alone else (14, 0.55)
    x = np.asarray(series.x, dtype=float)
    axes.scatter(
        x,
        series.y,
        s=size,
        marker=style.mark.marker,
        color=style.colour.light,
        alpha=alpha,
        label=series.label,
        linewidths=0,
    )


def _named_points(axes: Axes, series: Series, style: Style, number: int, count: int) -> None:
    x = np.asarray(series.x, dtype=float)
    axes.scatter(
        x, series.y, s=30, marker=style.mark.marker, color=style.colour.light, label=series.label, linewidths=0
    )
    for place, name in zip(zip(x, series.y, strict=True), series.names or (), strict=True):
        axes.annotate(name, place, xytext=(4, 3), textcoords="offset points", fontsize=7, color="#333333")


def _map(axes: Axes, plot: Plot) -> None:
    values = np.log2(np.asarray([series.y for series in plot.series], dtype=float))
    known = np.abs(values[np.isfinite(values)])
    limit = max(1.0, float(known.max(initial=0.0)))
    axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_xticks(np.arange(values.shape[1]), [str(x) for x in plot.series[0].x])
    axes.set_yticks(np.arange(len(plot.series)), [series.label for series in plot.series])
    for row, column in np.ndindex(*values.shape):
        strong = abs(values[row, column]) > limit / 2
        text = f"{2 ** values[row, column]:.2g}" if np.isfinite(values[row, column]) else "-"
        axes.text(column, row, text, ha="center", va="center", color="white" if strong else "black")


_DRAW: Final = {"lines": _lines, "bars": _bars, "points": _points, "named points": _named_points}
