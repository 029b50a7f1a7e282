"""Means of what is nearly always nothing and now and then much, such as a refinement error.

If an event is rare enough to be missed by a sample, no interval that is made from the sample alone can cover: with a
share p of events 1 - (1 - p)^n of all samples of n see any. So the mean has an interval only if enough events were
seen. The share of events has an exact one always, and the median needs no tail.
"""

import math

import numpy as np

from mnist_ddm.stats.intervals import LEVEL, Array, Estimate, mean_moves

MIN_EVENTS = 10
"""So many events must carry a mean before its interval is given."""
LARGE = 2.0
"""A norm of more than so many medians is an event: a Jacobian at a switch of experts, which few samples meet."""


def heavy_mean_estimate(values: Array, event: float) -> Estimate:
    """The mean, with an interval only if at least `MIN_EVENTS` values are events, that is above ``event``."""
    value = float(np.mean(values))
    if not _carried(values, event):
        return Estimate(value, float("nan"), float("nan"))
    return Estimate(value, *(value + move for move in mean_moves(values)))


def heavy_ratio_estimate(a: Array, b: Array, event: float) -> Estimate:
    """The ratio of two means over the same samples, as `ratio_estimate`, with an interval only if events carry it.

    They carry both means, and enough pairs differ by an event: two routings that are the same for nearly every sample
    have a ratio near 1 until the sample comes that decides it.
    """
    above, below = float(np.mean(a)), float(np.mean(b))
    if below <= 0 or above < 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    if not (_carried(a, event) and _carried(b, event) and _carried(np.abs(a - b), event)):
        return Estimate(above / below, float("nan"), float("nan"))
    low, high = mean_moves(a / above - b / below)
    return Estimate(above / below, above / below * math.exp(low), above / below * math.exp(high))


def norm_mean_estimate(values: Array) -> Estimate:
    """The mean of norms, which a few large ones may carry: an event is one above `LARGE` times their median.

    Where hardly any is, it has no interval: those that were missed may be several times as large as the rest.
    """
    return heavy_mean_estimate(values, LARGE * float(np.median(values)))


def norm_ratio_estimate(a: Array, b: Array) -> Estimate:
    """The ratio of two such means over the same samples; see `norm_mean_estimate`, `heavy_ratio_estimate`.

    Each in units of its own median, so that the larger norms of one routing are not all events.
    """
    units = float(np.median(a)), float(np.median(b))
    if min(units) <= 0:
        return heavy_ratio_estimate(a, b, math.inf)
    scaled, unit = heavy_ratio_estimate(a / units[0], b / units[1], LARGE), units[0] / units[1]
    return Estimate(unit * scaled.value, unit * scaled.low, unit * scaled.high)


def median_estimate(values: Array) -> Estimate:
    """The median with the exact interval of order statistics; no interval where all n together cover too little."""
    from scipy import stats

    n, value = len(values), float(np.median(values))
    below = int(stats.binom.ppf((1 - LEVEL) / 2, n, 0.5)) - 1
    if below < 0:
        return Estimate(value, float("nan"), float("nan"))
    ordered = np.sort(values)
    return Estimate(value, float(ordered[below]), float(ordered[n - 1 - below]))


def median_ratio_estimate(a: Array, b: Array) -> Estimate:
    """The median of the ratios of paired numbers of one sample each, where ``b`` is not 0; see `median_estimate`.

    It has an interval where that of the ratio of means is not given because a few samples carry it; it is about the
    typical sample, and says nothing of the few.
    """
    known = b != 0
    if not known.any():
        return Estimate(float("nan"), float("nan"), float("nan"))
    return median_estimate(a[known] / b[known])


def _carried(values: Array, event: float) -> bool:
    return int((values > event).sum()) >= MIN_EVENTS
