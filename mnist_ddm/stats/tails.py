"""Means of what is nearly always nothing and now and then much, such as a refinement error.

If an event is rare enough to be missed by a sample, no interval that is made from the sample alone can cover: with a
share p of events 1 - (1 - p)^n of all samples of n see any. So the mean has an interval only if enough events were
seen. The share of events has an exact one always, and the median needs no tail.

References:
    Hall (1983), Inverting an Edgeworth expansion.
"""

import math

import numpy as np
from scipy import stats

from mnist_ddm.stats.intervals import LEVEL, Array, Estimate

MIN_EVENTS = 10
"""So many events must carry a mean before its interval is given."""


def heavy_mean_estimate(values: Array, event: float) -> Estimate:
    """The mean, with an interval only if at least `MIN_EVENTS` values are events, that is above ``event``.

    Student's interval, moved by its first correction for skewness (Hall 1983).
    """
    value, n = float(np.mean(values)), len(values)
    if not _carried(values, event):
        return Estimate(value, float("nan"), float("nan"))
    return Estimate(value, *(value + move for move in _moves(values - value, n)))


def heavy_ratio_estimate(a: Array, b: Array, event: float) -> Estimate:
    """The ratio of two means over the same samples, with an interval only if events carry both.

    As `heavy_mean_estimate`, of the ratio's logarithm (delta method).
    """
    above, below, n = float(np.mean(a)), float(np.mean(b)), len(a)
    if min(above, below) <= 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    if not (_carried(a, event) and _carried(b, event)):
        return Estimate(above / below, float("nan"), float("nan"))
    low, high = _moves(a / above - b / below, n)
    return Estimate(above / below, above / below * math.exp(low), above / below * math.exp(high))


def median_estimate(values: Array) -> Estimate:
    """The median with the exact interval of order statistics; no interval where all n together cover too little."""
    n, value = len(values), float(np.median(values))
    below = int(stats.binom.ppf((1 - LEVEL) / 2, n, 0.5)) - 1
    if below < 0:
        return Estimate(value, float("nan"), float("nan"))
    ordered = np.sort(values)
    return Estimate(value, float(ordered[below]), float(ordered[n - 1 - below]))


def _moves(centred: Array, n: int) -> tuple[float, float]:
    """How far the ends of the interval of a mean are from it; equal values have no reach."""
    spread = float(centred.std(ddof=1))
    if spread == 0:
        return 0.0, 0.0
    reach, error = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)), spread / math.sqrt(n)
    skew = float(np.mean(centred**3)) / float(np.mean(centred**2)) ** 1.5
    moved = skew / (6 * math.sqrt(n)) * (1 + 2 * reach**2)
    return error * (moved - reach), error * (moved + reach)


def _carried(values: Array, event: float) -> bool:
    return int((values > event).sum()) >= MIN_EVENTS
