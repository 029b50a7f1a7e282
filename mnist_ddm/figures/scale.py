"""From numbers to places in a picture: axes with round ticks, linear or logarithmic."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """A map from values to places along one side of a picture.

    Attributes:
        low: the least value.
        high: the largest value; larger than ``low``.
        start: where ``low`` is drawn.
        end: where ``high`` is drawn.
        logarithmic: equal factors have equal lengths.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value; one outside the axis is drawn at its end."""
        low, high, value = (self._scaled(v) for v in (self.low, self.high, min(max(value, self.low), self.high)))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def ticks(self, most: int = 6) -> list[float]:
        """Round values along the axis, about ``most`` of them at the most."""
        return _decades(self.low, self.high, most) if self.logarithmic else _steps(self.low, self.high, most)


def axis_for(
    values: Sequence[float], start: float, end: float, *, logarithmic: bool = False, from_zero: bool = False
) -> Axis:
    """An axis that holds the values, those that a logarithm does not have left out, with some room at its ends."""
    known = [v for v in values if math.isfinite(v) and (v > 0 or not logarithmic)]
    if not known:
        return Axis(1e-1, 1.0, start, end, logarithmic)
    low, high = min(known), max(known)
    if logarithmic:
        room = max((high / low) ** 0.06, 1.15)
        return Axis(low / room, high * room, start, end, logarithmic=True)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    room = 0.05 * (high - low) or abs(high) * 0.1 or 1.0
    pinned = from_zero and low == 0
    return Axis(low if pinned else low - room, high + room, start, end)


def tick_text(value: float) -> str:
    """A tick's value, short."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e5 or size < 1e-3:
        mantissa, _, exponent = f"{value:.0e}".partition("e")
        power = f"10{_raised(int(exponent))}"
        return power if mantissa == "1" else f"{mantissa}·{power}"
    return f"{value:.4g}"


def _raised(number: int) -> str:
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _steps(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float, most: int) -> list[float]:
    if high / low < 10:
        return _steps(low, high, most)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [d * 10.0**e for e in exponents for d in digits if low <= d * 10.0**e <= high]
        if len(found) <= most:
            return found
    every = math.ceil(len(found) / most)
    return found[::every]
