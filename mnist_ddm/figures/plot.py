"""What a plot shows, without how it is drawn."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, final

import msgspec

from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.storage.files import read_json
from mnist_ddm.storage.typed import as_kind
from mnist_ddm.tables.table import Value

_NO_TEXT: Final = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Control characters, halves of pairs, and what Unicode keeps for nobody."""


@dataclass(frozen=True)
class Series:
    """One line, set of bars, cloud of points or row of a map.

    ``low`` and ``high`` are a band or error bars, ``names`` are written beside points.
    """

    label: str
    x: Sequence[float] | Sequence[str]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    names: Sequence[str] | None = None


@dataclass(frozen=True)
class Plot:
    """What a plot shows, without how it is drawn.

    Attributes:
        name: of its file.
        kind: `lines`, `bars`, `points`, `named points`, or `map`: one row for each series, one column for each x, the
            colour by log y around 1.
        title: what it says.
        x_label: with unit.
        y_label: with unit.
        series: what is drawn.
        falling_x: draw x from high to low, as time runs in sampling.
        logarithmic: both axes.
    """

    name: str
    kind: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    falling_x: bool = False
    logarithmic: bool = False

    def drawable(self) -> "Plot":
        """The same with characters replaced that no font draws and no XML can hold; names that people gave may."""
        series = (
            replace(
                s,
                label=drawable(s.label),
                x=_drawable_places(s.x),
                names=None if s.names is None else [drawable(name) for name in s.names],
            )
            for s in self.series
        )
        return replace(
            self,
            title=drawable(self.title),
            x_label=drawable(self.x_label),
            y_label=drawable(self.y_label),
            series=tuple(series),
        )

    @property
    def shows_something(self) -> bool:
        """Whether any of its numbers can be drawn."""
        return any(math.isfinite(value) for series in self.series for value in series.y)


def _drawable_places(x: Sequence[float] | Sequence[str]) -> Sequence[float] | Sequence[str]:
    names = [drawable(place) for place in x if isinstance(place, str)]
    return names or x


def drawable(text: str) -> str:
    """A text with the characters replaced that no font draws and no XML can hold."""
    return _NO_TEXT.sub("\ufffd", text)


def read_plot(path: Path) -> Plot:
    """A plot as the JSON file of `dataclasses.asdict` has it.

    Raises:
        InputError: if the file is missing or is no plot.
    """
    return plot_from(read_json(path), str(path))


def plot_from(value: object, name: str) -> Plot:
    """The plot that `dataclasses.asdict` made a JSON-like value of.

    Raises:
        InputError: if the value is none; the message begins with ``name``.
    """
    stored = as_kind(value, _Stored, name, "a plot of this program; restore or delete it")
    plain = {field: getattr(stored, field) for field in _Stored.__struct_fields__ if field != "series"}
    return Plot(**plain, series=tuple(Series(**{f: getattr(s, f) for f in s.__struct_fields__}) for s in stored.series))


@final
class _StoredSeries(msgspec.Struct, frozen=True):
    label: str
    x: list[float | str]
    y: list[float]
    low: list[float] | None = None
    high: list[float] | None = None
    names: list[str] | None = None

    def __post_init__(self) -> None:
        if len({isinstance(value, str) for value in self.x}) > 1:
            raise ValueError("x holds both numbers and words")
        beside = (values for values in (self.y, self.low, self.high, self.names) if values is not None)
        if any(len(values) != len(self.x) for values in beside):
            raise ValueError("columns of a series differ in length")


@final
class _Stored(msgspec.Struct, frozen=True):
    name: str
    kind: Literal["lines", "bars", "points", "named points", "map"]
    title: str
    x_label: str
    y_label: str
    series: list[_StoredSeries]
    falling_x: bool = False
    logarithmic: bool = False


def banded(label: str, x: Sequence[float], values: Sequence[Value]) -> Series:
    """A line, and the band of its intervals, through those values that are estimates."""
    known = [(place, value) for place, value in zip(x, values, strict=True) if isinstance(value, Estimate)]
    estimates = [value for _, value in known]
    return Series(
        label,
        [place for place, _ in known],
        [e.value for e in estimates],
        [e.low for e in estimates],
        [e.high for e in estimates],
    )
