"""Which of two routings fails more often, from the same noise: tests of paired events, as shares.

References:
    McNemar (1947), Note on the sampling error of the difference between correlated proportions or percentages.
    Bonett, Price (2012), Adjusted Wald confidence interval for a difference of binomial proportions based on paired
        data.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mnist_ddm.stats.intervals import LEVEL, Array, Estimate, exact_share
from mnist_ddm.stats.quantiles import normal_quantile
from mnist_ddm.stats.tests import rounded


def in_percent(share: Estimate) -> Estimate:
    """A share in percent."""
    return replace(share, value=100 * share.value, low=100 * share.low, high=100 * share.high)


def discordant_share(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Estimate:
    """Of the pairs in which only one has the event, the share in which the first has it (McNemar's exact test).

    Above a half the first has the event more often. NaN if there is no such pair.
    """
    return _of_decided(first & ~second, second & ~first)


def share_change(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Estimate:
    r"""The share of samples with the first event minus that with the second, of the same samples.

    Only samples with one of the two count, of which there are a and b among n. The interval of Bonett and Price (2012)
    adds one to each: with :math:`p = (a + 1) / (n + 2)` and :math:`q = (b + 1) / (n + 2)` it is

    .. math:: p - q \pm 1.96 \sqrt{(p + q - (p - q)^2) / (n + 2)},

    which knows that a sample with one of the two has not the other. NaN for fewer than two samples.
    """
    n, a, b = len(first), int((first & ~second).sum()), int((second & ~first).sum())
    value = (a - b) / n
    if n < 2:
        return Estimate(value, float("nan"), float("nan"))
    middle = (a - b) / (n + 2)
    half = normal_quantile((1 + LEVEL) / 2) * math.sqrt(((a + b + 2) / (n + 2) - middle**2) / (n + 2))
    return Estimate(value, max(-1.0, min(value, middle - half)), min(1.0, max(value, middle + half)))


def smaller_share(first: Array, second: Array) -> Estimate:
    """Of the pairs that differ, the share in which the first is the smaller one (sign test); NaN if none differs.

    Numbers that only rounding tells apart do not differ (`rounded`).
    """
    first, second = rounded(first), rounded(second)
    return _of_decided(first < second, first > second)


def _of_decided(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> Estimate:
    decided = ours | theirs
    if not decided.any():
        return Estimate(float("nan"), float("nan"), float("nan"))
    return exact_share(int(ours.sum()), int(decided.sum()))
