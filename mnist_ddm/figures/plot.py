"""What a plot shows, without how it is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.tables.table import Value


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


def plot_from(value: Mapping[str, object]) -> Plot:
    """The plot that `dataclasses.asdict` made a JSON-like value of.

    Raises:
        KeyError, TypeError: if the value is none.
    """
    series: Sequence[Mapping[str, object]] = value["series"]  # type: ignore[assignment]  # checked by what follows
    return Plot(**{**value, "series": tuple(Series(**s) for s in series)})  # type: ignore[arg-type]  # likewise


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
