"""Calibration: does a probability of 0.8 come true in 80% of the cases?

References:
    Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks: bins of the confidence.
    Kumar, Liang, Ma (2019), Verified uncertainty calibration: the debiased squared error, in bins of equally many.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_ddm.stats.intervals import LEVEL, Array, Estimate
from mnist_ddm.stats.quantiles import normal_quantile

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """What became of the predictions in each bin of confidence; bins without predictions are left out.

    Attributes:
        confidence: mean confidence of each bin, rising.
        accuracy: the share of right predictions in it.
        count: how many there are.
    """

    confidence: Array
    accuracy: Array
    count: NDArray[np.int64]


def reliability(confidence: Array, right: Array, bins: int = BINS) -> Reliability:
    """Predictions by confidence, in bins of equal width.

    Args:
        confidence: probability of the predicted class, in ``[0, 1]``, shape ``(N,)``.
        right: 1 where the prediction is right, else 0, shape ``(N,)``.
        bins: how many.
    """
    place = _bin(confidence, bins)
    count = np.bincount(place, minlength=bins)
    used = count > 0
    sums = (np.bincount(place, weights=values, minlength=bins)[used] / count[used] for values in (confidence, right))
    mean_confidence, accuracy = sums
    return Reliability(mean_confidence, accuracy, count[used])


def calibration_estimate(confidence: Array, right: Array, bins: int = BINS) -> Estimate:
    r"""The root of the debiased squared calibration error with its interval, in ``[0, 1]``.

    :math:`\sum_b \frac{n_b}{n} \left( (acc_b - conf_b)^2 - \frac{s_b^2}{n_b} \right)` over bins of equally many
    predictions by confidence, with the variance :math:`s_b^2` of right minus confidence in the bin: without it even a
    perfect router has an error, which only measures the number of samples. At least as large as the mean absolute gap
    of the same bins. The interval is normal, of the squared error, from the variance of its terms; a negative end is 0.
    In it the variance of a bin is at least what its confidence implies, and that of Laplace's share of wrong
    predictions (one wrong and one right more than were seen): where nothing is wrong something may be.

    Args:
        confidence: as in `reliability`.
        right: likewise.
        bins: at most so many, of at least two predictions each.
    """
    n = len(confidence)
    bins = min(bins, n // 2)
    if bins == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    order = np.argsort(confidence, kind="stable")
    squared, variance = 0.0, 0.0
    for rows in np.array_split(order, bins):
        gaps, size = (right - confidence)[rows], len(rows)
        noise = float(gaps.var(ddof=1))
        term = float(gaps.mean()) ** 2 - noise / size
        squared += size / n * term
        wrong = float(1 - right[rows].mean()) * size
        unseen = (wrong + 1) * (size - wrong + 1) / (size + 2) ** 2
        noise = max(noise, float((confidence[rows] * (1 - confidence[rows])).mean()), unseen)
        variance += (size / n) ** 2 * (2 * noise**2 / (size * (size - 1)) + 4 * max(term, 0.0) * noise / size)
    half = normal_quantile((1 + LEVEL) / 2) * math.sqrt(variance)
    return Estimate(*(math.sqrt(max(end, 0.0)) for end in (squared, squared - half, squared + half)))


def _bin(confidence: Array, bins: int) -> NDArray[np.int64]:
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
