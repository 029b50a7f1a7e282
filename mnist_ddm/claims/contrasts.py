r"""Differences and ratios of two estimates, from their intervals alone, and what those say of an expectation.

For estimates a in [l_a, u_a] and b in [l_b, u_b] the difference has the interval of the method of variance estimates
recovery (Zou and Donner, Statistics in Medicine 27, 2008)

.. math:: a - b - \sqrt{(a - l_a)^2 + (u_b - b)^2}, \quad a - b + \sqrt{(u_a - a)^2 + (b - l_b)^2},

exact for independent normal estimates. Samples of two routings start from the same noise, which only makes the true
interval narrower where they agree. Where a table has a paired difference or ratio, the ledger names that instead.
"""

import math
from dataclasses import dataclass
from enum import Enum

from scipy.stats import norm

from mnist_ddm.stats.intervals import LEVEL, Estimate

_QUANTILE = float(norm.ppf((1 + LEVEL) / 2))


class Outcome(Enum):
    """What one comparison says of the paper."""

    FOR = "as said"
    AGAINST = "the other way"
    OPEN = "open"


@dataclass(frozen=True)
class Contrast:
    """One comparison of two cells, or of one cell with a limit.

    Attributes:
        label: what is compared.
        outcome: what it says.
        p: two-sided, from the interval; ``None`` without one.
        shown: the difference, or the ratio, or the cell itself.
        reason: why it is open, or nothing.
    """

    label: str
    outcome: Outcome
    p: float | None
    shown: Estimate
    reason: str = ""


def point(value: float) -> Estimate:
    """A number that is no estimate."""
    return Estimate(value, value, value)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """The difference a - b with its interval."""
    value = a.value - b.value
    return Estimate(
        value,
        value - math.hypot(a.value - a.low, b.high - b.value),
        value + math.hypot(a.high - a.value, b.value - b.low),
    )


def log_ratio(a: Estimate, b: Estimate) -> Estimate | None:
    """The logarithm of a / b with its interval; ``None`` unless both are positive. Equal numbers have the ratio 1."""
    if a == b and a.low == a.high:
        return point(0.0)
    if min(a.value, b.value) <= 0:
        return None
    return difference(_logarithm(a), _logarithm(b))


def _logarithm(a: Estimate) -> Estimate:
    low = math.log(a.low) if a.low > 0 else -math.inf
    return Estimate(math.log(a.value), low, math.log(a.high))


def above(label: str, found: Estimate, limit: float = 0.0, shown: Estimate | None = None) -> Contrast:
    """Whether an estimate is above a limit: as said if its whole interval is."""
    if math.isnan(found.low):
        return Contrast(label, Outcome.OPEN, None, shown or found, "no interval is computed")
    moved = difference(found, point(limit))
    outcome = Outcome.FOR if moved.low > 0 else Outcome.AGAINST if moved.high < 0 else Outcome.OPEN
    reason = "the interval holds both outcomes" if outcome is Outcome.OPEN else ""
    return Contrast(label, outcome, _p_of_sign(moved), shown or found, reason)


def below(label: str, found: Estimate, limit: float = 0.0, shown: Estimate | None = None) -> Contrast:
    """Whether an estimate is below a limit: as said if its whole interval is."""
    return above(label, Estimate(-found.value, -found.high, -found.low), -limit, shown or found)


def between(label: str, found: Estimate | None, margin: float, shown: Estimate) -> Contrast:
    """Whether a log ratio is within ``log(1 + margin)`` of 0: as said if its whole interval is."""
    if found is None:
        return Contrast(label, Outcome.OPEN, None, shown, "a ratio needs positive numbers")
    if math.isnan(found.low):
        return Contrast(label, Outcome.OPEN, None, shown, "no interval is computed")
    limit = math.log1p(margin)
    if found.low >= -limit and found.high <= limit:
        outcome = Outcome.FOR
    elif found.low > limit or found.high < -limit:
        outcome = Outcome.AGAINST
    else:
        outcome = Outcome.OPEN
    sides = [_p_of_sign(difference(found, point(-limit))), _p_of_sign(difference(found, point(limit)))]
    p = max(sides) if abs(found.value) <= limit else min(sides) if outcome is Outcome.AGAINST else 1.0
    reason = "the interval holds both outcomes" if outcome is Outcome.OPEN else ""
    return Contrast(label, outcome, p, shown, reason)


def _p_of_sign(found: Estimate) -> float:
    """Two-sided p-value of 0, as if the end of the interval nearer to 0 were that of a normal estimate."""
    reach = found.value - found.low if found.value > 0 else found.high - found.value
    if reach <= 0:
        return 0.0 if found.value != 0 else 1.0
    return float(2 * norm.sf(_QUANTILE * abs(found.value) / reach))
