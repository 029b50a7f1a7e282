"""Plots as SVG that follows the page: its type, its colours in light and dark, and a description in words.

matplotlib draws the PNGs; here the picture belongs to a page, so colours are the palette's CSS variables and text stays
text. Every picture has a title and a description, and says nothing by colour alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Final

from markupsafe import Markup

from mnist_ddm.analyses.analysis import Plot, Series
from mnist_ddm.figures.describe import described
from mnist_ddm.figures.palette import Style, routing_family, routing_style, series_styles
from mnist_ddm.figures.scale import Axis, axis_for, tick_text

WIDTH, HEIGHT = 460, 300
"""Of the drawing; narrow, so that its type is still large enough on a telephone."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 10, 42
_ROW, _BAR_GAP = 15, 10
_DASHES: Final = {"-": "", "--": "6 4", ":": "1.5 4", "-.": "7 3 1.5 3"}
_MOST_POINTS = 4000
_LETTER = 6.2
"""About the width of a letter."""


def plot_svg(plot: Plot, ident: str) -> Markup:
    """The plot as an inline SVG; ``ident`` makes the ids of its title and description unique on the page."""
    body, height = _DRAW[plot.kind](plot)
    return Markup(
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="{ident}-t {ident}-d">'
        f'<title id="{ident}-t">{escape(plot.title)}</title><desc id="{ident}-d">{escape(described(plot))}</desc>'
        f"{body}</svg>"
    )


def plot_legend(plot: Plot) -> list[tuple[str, Style]]:
    """The names and styles of a plot's series; empty if there is nothing to tell apart or the names stand inside."""
    named = plot.kind == "named points" or (plot.kind == "points" and all(len(s.x) == 1 for s in plot.series))
    if plot.kind == "map" or named or len(plot.series) < 2:
        return []
    return [(s.label, style) for s, style in zip(plot.series, _styles(plot), strict=True)]


def _styles(plot: Plot) -> list[Style]:
    return series_styles([series.label for series in plot.series])


def _text(x: float, y: float, text: str, anchor: str = "middle", kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _frame(plot: Plot, x: Axis, y: Axis) -> str:
    parts = []
    for value in y.ticks():
        place = y(value)
        parts += [
            _line(_LEFT, place, WIDTH - _RIGHT, place, "grid"),
            _text(_LEFT - 6, place + 4, tick_text(value), "end"),
        ]
    for value in x.ticks():
        place = x(value)
        parts += [_line(place, y.start, place, y.start + 4, "axis"), _text(place, y.start + 17, tick_text(value))]
    parts.append(_line(_LEFT, y.start, WIDTH - _RIGHT, y.start, "axis"))
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, y.start + 35, plot.x_label, kind="label"))
    return "".join(parts)


def _axes(plot: Plot, from_zero: bool) -> tuple[Axis, Axis]:
    ends = [v for s in plot.series for part in (s.low or (), s.high or ()) for v in part]
    xs = [float(x) for s in plot.series for x in s.x] + (ends if plot.kind == "points" else [])
    ys = [y for s in plot.series for y in s.y] + (ends if plot.kind != "points" else [])
    if plot.kind == "lines" and len(plot.series) and not plot.logarithmic:
        x = (
            Axis(min(xs), max(xs), _LEFT, WIDTH - _RIGHT)
            if xs and min(xs) < max(xs)
            else axis_for(xs, _LEFT, WIDTH - _RIGHT)
        )
    else:
        x = axis_for(xs, _LEFT, WIDTH - _RIGHT, logarithmic=plot.logarithmic)
    if plot.falling_x:
        x = Axis(x.low, x.high, x.end, x.start, x.logarithmic)
    return x, axis_for(ys, HEIGHT - _BOTTOM, _TOP, logarithmic=plot.logarithmic, from_zero=from_zero)


def _drawable(series: Series, logarithmic: bool) -> list[int]:
    """The points that the axes have a place for."""
    places: list[tuple[float, float]] = [(float(series.x[i]), y) for i, y in enumerate(series.y)]
    return [i for i, (x, y) in enumerate(places) if math.isfinite(y) and (not logarithmic or min(x, y) > 0)]


def _mark(style: Style, x: float, y: float, size: float, title: str = "") -> str:
    told = f"<title>{escape(title)}</title>" if title else ""
    place = f"translate({x - size / 2:.1f} {y - size / 2:.1f}) scale({size / 10:g})"
    return f'<path d="{style.mark.path}" fill="{style.css}" transform="{place}">{told}</path>'


def _lines(plot: Plot) -> tuple[str, float]:
    x, y = _axes(plot, from_zero=True)
    parts = [_frame(plot, x, y)]
    for number, (series, style) in enumerate(zip(plot.series, _styles(plot), strict=True)):
        shown = _drawable(series, plot.logarithmic)
        places = [(x(float(series.x[i])), y(series.y[i])) for i in shown]
        if series.low is not None and series.high is not None and shown:
            above = [f"{x(float(series.x[i])):.1f},{y(series.high[i]):.1f}" for i in shown]
            below = [f"{x(float(series.x[i])):.1f},{y(series.low[i]):.1f}" for i in reversed(shown)]
            parts.append(f'<polygon class="band" points="{" ".join([*above, *below])}" fill="{style.css}"/>')
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        dash = f' stroke-dasharray="{_DASHES[style.dash]}"' if _DASHES[style.dash] else ""
        parts.append(f'<polyline class="series" points="{points}" stroke="{style.css}"{dash}/>')
        if len(plot.series) > 1:
            every = max(1, len(places) // 5)
            first = number % every
            parts += [_mark(style, a, b, 8) for a, b in places[first::every]]
    return "".join(parts) + _vertical(plot), HEIGHT


def _vertical(plot: Plot) -> str:
    middle = (_TOP + HEIGHT - _BOTTOM) / 2
    # A label that is longer than the picture is high gets smaller letters.
    fitting = min(1.0, (HEIGHT - 8) / (_LETTER * len(plot.y_label) or 1))
    size = f' style="font-size:{12 * fitting:.1f}px"' if fitting < 1 else ""
    return (
        f'<text class="label" transform="translate(12 {middle:g}) rotate(-90)" text-anchor="middle"{size}>'
        f"{escape(plot.y_label)}</text>"
    )


def _points(plot: Plot) -> tuple[str, float]:
    x, y = _axes(plot, from_zero=False)
    parts, alone, intervals = [_frame(plot, x, y)], [], []
    share = max(1, sum(len(s.x) for s in plot.series) // _MOST_POINTS)
    for series, style in zip(plot.series, _styles(plot), strict=True):
        shown = _drawable(series, plot.logarithmic)
        if len(series.x) == 1:
            for i in shown:
                place = (x(float(series.x[i])), y(series.y[i]))
                if series.low is not None and series.high is not None:
                    # `low` and `high` belong to the axis that has an interval, x.
                    start, end, level = x(series.low[i]), x(series.high[i]), place[1]
                    intervals.append((start, end, level))
                    ends = f'x1="{start:.1f}" x2="{end:.1f}" y1="{level:.1f}" y2="{level:.1f}"'
                    parts.append(f'<line class="whisker" {ends} stroke="{style.css}"/>')
                parts.append(_mark(style, *place, 14, f"{series.label}: {series.x[i]:.3g}, {series.y[i]:.3g}"))
                alone.append((series.label, *place))
        else:
            dots = "".join(f"M{x(float(series.x[i])):.1f},{y(series.y[i]):.1f}h0" for i in shown[::share])
            parts.append(f'<path class="dots" d="{dots}" stroke="{style.css}"/>')
    names = _Names([(a, b) for _, a, b in alone], intervals)
    parts += [names.place(label, a, b, 10) for label, a, b in alone]
    return "".join(parts) + _vertical(plot), HEIGHT


class _Names:
    """Names beside marks, each where it covers no other one."""

    def __init__(
        self, marks: Sequence[tuple[float, float]], intervals: Sequence[tuple[float, float, float]] = ()
    ) -> None:
        """Keep off these marks, and off level lines from x to x at y."""
        self._taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in marks]
        self._taken += [(start, y - 2, end, y + 2) for start, end, y in intervals]

    def place(self, name: str, x: float, y: float, gap: float, *, needed: bool = True) -> str:
        """The name as text near a mark, or nothing if it is not needed and there is no room."""
        wide = _LETTER * len(name)
        for shift in (0, -11, 11, -22, 22, -33, 33):
            for left in (x + gap, x - gap - wide):
                box = (left, y + shift - 6, left + wide, y + shift + 6)
                if left >= _LEFT and left + wide <= WIDTH and self._free(box):
                    self._taken.append(box)
                    return _text(left, y + shift + 4, name, "start", "name")
        return _text(x + gap, y + 4, name, "start", "name") if needed else ""

    def _free(self, box: tuple[float, float, float, float]) -> bool:
        a, b, c, d = box
        inside = b >= _TOP - 4 and d <= HEIGHT - _BOTTOM + 2
        return inside and all(c <= x0 or a >= x1 or d <= y0 or b >= y1 for x0, y0, x1, y1 in self._taken)


def _named_points(plot: Plot) -> tuple[str, float]:
    x, y = _axes(plot, from_zero=False)
    marks, parts = [], [_frame(plot, x, y)]
    for series, style in zip(plot.series, _styles(plot), strict=True):
        for i in _drawable(series, plot.logarithmic):
            name = (series.names or [series.label] * len(series.x))[i]
            place = (x(float(series.x[i])), y(series.y[i]))
            own = routing_style(name) if routing_family(name) else style
            parts.append(_mark(own, *place, 9, f"{name}: {series.x[i]:.3g}, {series.y[i]:.3g}"))
            marks.append((name, *place, series.label))
    names = _Names([(a, b) for _, a, b, _ in marks])
    parts.append(_joined([(a, b) for _, a, b, label in marks if label == plot.series[-1].label], plot.series[-1].label))
    # The last series is what the plot is about: its names go first.
    marks.sort(key=lambda mark: mark[3] != plot.series[-1].label)
    parts += [names.place(name, a, b, 7, needed=label == plot.series[-1].label) for name, a, b, label in marks]
    return "".join(parts) + _vertical(plot), HEIGHT


def _joined(places: Sequence[tuple[float, float]], label: str) -> str:
    """The points of the last series joined by a line, which says what it is."""
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in sorted(places))
    told = _text(WIDTH - _RIGHT, _TOP + 8, f"line: {label}", "end")
    return f'<polyline class="joined" points="{points}"/>{told}' if len(places) > 1 else ""


def _bars(plot: Plot) -> tuple[str, float]:
    """Bars lie, so that their names can be read."""
    labels = [str(label) for label in plot.series[0].x]
    left = min(WIDTH * 0.4, 14 + _LETTER * max(len(label) for label in labels))
    group = _ROW * len(plot.series) + _BAR_GAP
    bottom = _TOP + group * len(labels)
    values = [v for s in plot.series for part in (s.y, s.low or (), s.high or ()) for v in part]
    x = axis_for(values, left, WIDTH - _RIGHT - 8, from_zero=True)
    parts = []
    for value in x.ticks(5):
        parts += [_line(x(value), _TOP, x(value), bottom, "grid"), _text(x(value), bottom + 16, tick_text(value))]
    for row, label in enumerate(labels):
        parts.append(
            _text(left - 6, _TOP + group * row + (group - _BAR_GAP) / 2 + _BAR_GAP / 2 + 4, label, "end", "name")
        )
    for number, (series, style) in enumerate(zip(plot.series, _styles(plot), strict=True)):
        for row, (label, value) in enumerate(zip(labels, series.y, strict=False)):
            if not math.isfinite(value):
                continue
            own = routing_style(label) if len(plot.series) == 1 and routing_family(label) else style
            top = _TOP + _BAR_GAP / 2 + group * row + _ROW * number
            a, b = sorted((x(0.0), x(value)))
            told = f"<title>{escape(f'{series.label} {label}: {value:.3g}'.strip())}</title>"
            shape = f'x="{a:.1f}" y="{top + 1:.1f}" width="{max(b - a, 0.5):.1f}" height="{_ROW - 2}"'
            parts.append(f'<rect class="bar" {shape} fill="{own.css}">{told}</rect>')
            if series.low is not None and series.high is not None and math.isfinite(series.low[row]):
                middle = top + _ROW / 2
                parts.append(_line(x(series.low[row]), middle, x(series.high[row]), middle, "error"))
    parts.append(_line(x(0.0), _TOP, x(0.0), bottom, "axis"))
    parts.append(_text((left + WIDTH - _RIGHT) / 2, bottom + 34, plot.y_label, kind="label"))
    return "".join(parts), bottom + 42


def _map(plot: Plot) -> tuple[str, float]:
    columns = [str(x) for x in plot.series[0].x]
    left = min(WIDTH * 0.35, 30 + _LETTER * max(len(s.label) for s in plot.series))
    wide, tall = (WIDTH - _RIGHT - left) / len(columns), 34
    logs = [[math.log2(v) if math.isfinite(v) and v > 0 else math.nan for v in s.y] for s in plot.series]
    limit = max([1.0, *(abs(v) for row in logs for v in row if math.isfinite(v))])
    bottom = _TOP + tall * len(plot.series)
    parts = []
    for row, (series, values) in enumerate(zip(plot.series, logs, strict=True)):
        y = _TOP + tall * row
        parts.append(_text(left - 6, y + tall / 2 + 4, series.label, "end", "name"))
        for column, value in enumerate(values):
            x, known = left + wide * column, math.isfinite(value)
            colour, share = ("var(--poor)" if value > 0 else "var(--accent)"), 0.55 * abs(value) / limit if known else 0
            shape = f'x="{x:.1f}" y="{y:.1f}" width="{wide - 1:.1f}" height="{tall - 1}"'
            parts.append(f'<rect class="cell" {shape} fill="{colour}" fill-opacity="{share:.2f}"/>')
            text = f"{series.y[column]:.2g}" if known else "-"
            parts.append(_text(x + wide / 2, y + tall / 2 + 4, text, kind="value"))
    for column, label in enumerate(columns):
        parts.append(_text(left + wide * (column + 0.5), bottom + 15, label))
    parts.append(_text((left + WIDTH - _RIGHT) / 2, bottom + 34, plot.x_label, kind="label"))
    middle = (_TOP + bottom) / 2
    turned = f'transform="translate(12 {middle:g}) rotate(-90)" text-anchor="middle"'
    parts.append(f'<text class="label" {turned}>{escape(plot.y_label)}</text>')
    return "".join(parts), bottom + 42


_DRAW: Final[Mapping[str, Callable[[Plot], tuple[str, float]]]] = {
    "lines": _lines,
    "bars": _bars,
    "points": _points,
    "named points": _named_points,
    "map": _map,
}
