"""Few round ticks in plain numbers."""

import itertools
import math
from collections.abc import Sequence
from typing import Final, final

from matplotlib.axis import Axis
from matplotlib.ticker import Formatter, LogLocator, MaxNLocator, NullLocator

_ROUND: Final = (1, 2, 2.5, 5, 10)
"""What ticks may be apart, but for powers of ten."""
_RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def set_ticks(axis: Axis) -> None:
    """Give an axis its ticks, when it has its scale and its limits."""
    axis.set_major_locator(MaxNLocator(6, steps=_ROUND))
    if axis.get_scale() == "log":
        low, high = sorted(axis.get_view_interval())
        decades = math.log10(high / low)
        if decades >= 1:
            subs = next((subs for most, subs in ((1.7, (1, 2, 5)), (3, (1, 3))) if decades <= most), (1,))
            axis.set_major_locator(LogLocator(subs=subs, numticks=7))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(_Plain())


@final
class _Plain(Formatter):
    """Ticks as plain numbers, with as many digits as tell them apart; very large and small ones with a power of ten."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return tick_text(x)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        places = sorted({abs(float(value)) for value in values})
        apart = min((b - a for a, b in itertools.pairwise(places)), default=0.0)
        digits = math.ceil(math.log10(places[-1] / apart)) + 1 if apart > 0 else 0
        return [tick_text(value, min(max(4, digits), 12)) for value in values]


def tick_text(value: float, digits: int = 4) -> str:
    """A tick's value with up to so many significant digits."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    power = "10" + str(int(exponent)).translate(_RAISED)
    sign = "\N{MINUS SIGN}" if value < 0 else ""
    return f"{sign}{power}" if mantissa in ("1", "-1") else f"{sign}{mantissa.lstrip('-')}·{power}"
