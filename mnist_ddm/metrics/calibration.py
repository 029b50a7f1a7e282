"""Calibration: does a probability of 0.8 come true in 80% of the cases?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_ddm.stats.intervals import Array, Estimate, bootstrap_of_sums

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
    r"""The expected calibration error with its interval over resampled predictions.

    :math:`\sum_b \frac{n_b}{n} |acc_b - conf_b|` (Guo et al. 2017), in ``[0, 1]``; arguments as in `reliability`.
    """
    return bootstrap_of_sums(_total_gap, _gaps(confidence, right, bins))


def _total_gap(means: Array) -> Array:
    return np.asarray(np.abs(means).sum(axis=1), dtype=np.float64)


def _gaps(confidence: Array, right: Array, bins: int) -> Array:
    """For each prediction its ``right - confidence`` in the column of its bin, shape ``(N, bins)``."""
    gaps = np.zeros((len(confidence), bins))
    gaps[np.arange(len(confidence)), _bin(confidence, bins)] = right - confidence
    return gaps


def _bin(confidence: Array, bins: int) -> NDArray[np.int64]:
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
