"""Plots as Vega-Lite, for who wants to change one or to point at its marks: data and drawing in one JSON file."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mnist_ddm.figures.palette import SURFACES, Dash, series_styles
from mnist_ddm.figures.plot import Plot, Series

SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v5.json"
_DASHES: Final[Mapping[Dash, list[int]]] = {"-": [1, 0], "--": [6, 4], ":": [1, 3], "-.": [6, 3, 1, 3]}
_SHAPES: Final[Mapping[str, str]] = {
    "o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down", "P": "cross", "X": "cross",
}  # fmt: skip
_TOLD: Final = ("series", "name", "x", "y", "low", "high")

Json = dict[str, Any]


def to_vega_lite(plot: Plot) -> Json:
    """A plot as a Vega-Lite 5 specification, a JSON-like value.

    Numbers that are none are left out, with what would be drawn of them.
    """
    rows = [row for series in plot.series for row in _rows(plot, series)]
    return {
        "$schema": SCHEMA,
        "description": plot.title,
        "title": {"text": plot.title, "anchor": "start"},
        "width": 460,
        "config": {"background": SURFACES["surface"].light, "view": {"stroke": None}},
        "data": {"values": rows},
        "layer": _LAYERS[plot.kind](plot, {key for row in rows for key in row}),
    }


def _rows(plot: Plot, series: Series) -> list[Json]:
    """The points of a series, each with what is known of it."""
    rows = []
    for i, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
        known: Json = {"series": series.label, "x": x, "y": y}
        if series.names is not None:
            known["name"] = series.names[i]
        if series.low is not None and series.high is not None:
            known |= {"low": series.low[i], "high": series.high[i]}
        kept = {k: v for k, v in known.items() if not isinstance(v, float) or math.isfinite(v)}
        drawn = {"x", "y"} <= kept.keys()
        if drawn and plot.logarithmic and not all(isinstance(kept[k], int | float) and kept[k] > 0 for k in "xy"):
            drawn = False
        if drawn:
            rows.append(kept)
    return rows


def _axis(plot: Plot, axis: str, title: str) -> Json:
    scale: Json = {"type": "log"} if plot.logarithmic else {}
    if axis == "x" and plot.falling_x:
        scale["reverse"] = True
    return {"field": axis, "type": "quantitative", "title": title, "scale": {"zero": False, **scale}}


def _colour(plot: Plot) -> Json:
    labels = list(dict.fromkeys(series.label for series in plot.series))
    colours = [style.colour.light for style in series_styles(labels)]
    legend = {} if len(labels) > 1 else {"legend": None}
    return {
        "field": "series",
        "type": "nominal",
        "title": None,
        "scale": {"domain": labels, "range": colours},
        **legend,
    }


def _told(keys: set[str]) -> list[Json]:
    return [{"field": key} for key in _TOLD if key in keys]


def _lines(plot: Plot, keys: set[str]) -> list[Json]:
    styles = series_styles([series.label for series in plot.series])
    dashes = {"domain": [s.label for s in plot.series], "range": [_DASHES[style.dash] for style in styles]}
    place = {"x": _axis(plot, "x", plot.x_label), "color": _colour(plot)}
    y = _axis(plot, "y", plot.y_label)
    line: Json = {
        "mark": {"type": "line", "point": True, "strokeWidth": 2},
        "encoding": {
            **place,
            "y": y,
            "strokeDash": {"field": "series", "type": "nominal", "title": None, "scale": dashes},
            "tooltip": _told(keys),
        },
    }
    band: Json = {
        "mark": {"type": "area", "opacity": 0.18},
        "encoding": {**place, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
    }
    return [band, line] if "low" in keys else [line]


def _points(plot: Plot, keys: set[str]) -> list[Json]:
    styles = series_styles([series.label for series in plot.series])
    shapes = {
        "domain": [s.label for s in plot.series],
        "range": [_SHAPES.get(style.mark.marker, "circle") for style in styles],
    }
    place = {"x": _axis(plot, "x", plot.x_label), "y": _axis(plot, "y", plot.y_label), "color": _colour(plot)}
    mark: Json = {
        "mark": {"type": "point", "filled": True, "size": 60},
        "encoding": {
            **place,
            "shape": {"field": "series", "type": "nominal", "title": None, "scale": shapes},
            "tooltip": _told(keys),
        },
    }
    layers = [mark]
    if "low" in keys:  # they belong to x, the axis that has an interval
        reach = {**place, "x": {**place["x"], "field": "low"}, "x2": {"field": "high"}}
        layers = [{"mark": {"type": "rule", "opacity": 0.7}, "encoding": reach}, mark]
    if "name" in keys:
        named = {**place, "text": {"field": "name"}}
        layers.append({"mark": {"type": "text", "align": "left", "dx": 7, "dy": -5}, "encoding": named})
    return layers


def _bars(plot: Plot, keys: set[str]) -> list[Json]:
    """Bars lie, so that their names can be read."""
    place: Json = {
        "y": {"field": "x", "type": "nominal", "sort": None, "title": plot.x_label, "axis": {"labelLimit": 300}},
        "x": {"field": "y", "type": "quantitative", "title": plot.y_label},
    }
    if len(plot.series) > 1:
        place["yOffset"] = {"field": "series", "sort": [series.label for series in plot.series]}
    bar = {"mark": "bar", "encoding": {**place, "color": _colour(plot), "tooltip": _told(keys)}}
    reach = {**place, "x": {**place["x"], "field": "low"}, "x2": {"field": "high"}}
    return [bar, {"mark": "rule", "encoding": reach}] if "low" in keys else [bar]


def _map(plot: Plot, keys: set[str]) -> list[Json]:
    """Cells coloured by the logarithm of y, with 1 in the middle."""
    place: Json = {
        "x": {"field": "x", "type": "nominal", "sort": None, "title": plot.x_label},
        "y": {"field": "series", "type": "nominal", "sort": None, "title": plot.y_label},
    }
    logs = [abs(math.log2(y)) for series in plot.series for y in series.y if math.isfinite(y) and y > 0]
    most = 2 ** max([1.0, *logs])
    ends: Sequence[str] = [SURFACES[name].light for name in ("accent", "surface", "poor")]
    scale = {"type": "log", "domain": [1 / most, 1, most], "range": ends}
    colour = {"field": "y", "type": "quantitative", "title": None, "scale": scale}
    cell: Json = {
        "mark": {"type": "rect", "opacity": 0.55},
        "encoding": {**place, "color": colour, "tooltip": _told(keys)},
    }
    text: Json = {
        "mark": "text",
        "encoding": {**place, "text": {"field": "y", "type": "quantitative", "format": ".2g"}},
    }
    return [cell, text]


_LAYERS: Final = {"lines": _lines, "bars": _bars, "points": _points, "named points": _points, "map": _map}
