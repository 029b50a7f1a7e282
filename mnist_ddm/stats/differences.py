r"""Differences and ratios of two estimates, from their intervals alone.

For estimates a in [l_a, u_a] and b in [l_b, u_b] the difference has the interval of the method of variance estimates
recovery (Zou and Donner, Statistics in Medicine 27, 2008)

.. math:: a - b - \sqrt{(a - l_a)^2 + (u_b - b)^2}, \quad a - b + \sqrt{(u_a - a)^2 + (b - l_b)^2},

exact for independent normal estimates. Samples of two routings start from the same noise, which only makes the true
interval narrower where they agree. It has the fewer of their two degrees of freedom.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from mnist_ddm.stats.intervals import LEVEL, Estimate
from mnist_ddm.stats.quantiles import student_quantile, student_share


def point(value: float) -> Estimate:
    """A number that is no estimate."""
    return Estimate(value, value, value)


def widened(estimate: Estimate, level: float) -> Estimate:
    """The same with an interval of a smaller error rate than 5%, by the quantiles of its distribution."""
    factor = -student_quantile(level / 2, estimate.freedom) / student_quantile((1 + LEVEL) / 2, estimate.freedom)
    value, low, high = estimate.value, estimate.low, estimate.high
    return replace(estimate, low=value - factor * (value - low), high=value + factor * (high - value))


def difference(a: Estimate, b: Estimate) -> Estimate:
    """The difference a - b with its interval."""
    value = a.value - b.value
    return Estimate(
        value,
        value - math.hypot(a.value - a.low, b.high - b.value),
        value + math.hypot(a.high - a.value, b.value - b.low),
        min(a.freedom, b.freedom),
    )


def largest(estimates: Sequence[Estimate]) -> Estimate:
    """The largest of several numbers, with an interval that knows that it was chosen by its estimate.

    It is above the lower end of each, of intervals that share the level (Bonferroni), and not above all upper ends.
    No interval unless each has one.
    """
    value, level = max(e.value for e in estimates), (1 - LEVEL) / len(estimates)
    if any(math.isnan(e.low) or math.isnan(e.high) for e in estimates):
        return Estimate(value, math.nan, math.nan)
    return Estimate(value, max(widened(e, level).low for e in estimates), max(e.high for e in estimates))


def log_ratio(a: Estimate, b: Estimate) -> Estimate | None:
    """The logarithm of a / b with its interval; ``None`` unless both are positive. Equal numbers have the ratio 1."""
    if a == b and a.low == a.high:
        return point(0.0)
    if min(a.value, b.value) <= 0:
        return None
    return difference(_logarithm(a), _logarithm(b))


def _logarithm(a: Estimate) -> Estimate:
    if math.isnan(a.low) or math.isnan(a.high):
        return Estimate(math.log(a.value), math.nan, math.nan, a.freedom)
    low = math.log(a.low) if a.low > 0 else -math.inf
    return Estimate(math.log(a.value), low, math.log(a.high), a.freedom)


def p_of_sign(estimate: Estimate) -> float:
    """Two-sided p-value of 0, as if the end of the interval nearer to 0 were that of Student's or a normal estimate."""
    reach = estimate.value - estimate.low if estimate.value > 0 else estimate.high - estimate.value
    if reach <= 0:
        return 0.0 if estimate.value != 0 else 1.0
    quantile = student_quantile((1 + LEVEL) / 2, estimate.freedom)
    return 2 * student_share(-quantile * abs(estimate.value) / reach, estimate.freedom)
