"""Which of two routings fails more often, from the same noise: exact tests of paired events, as shares."""

import numpy as np
from numpy.typing import NDArray

from mnist_ddm.stats.differences import difference
from mnist_ddm.stats.intervals import Array, Estimate, share_estimate


def in_percent(share: Estimate) -> Estimate:
    """A share in percent."""
    return Estimate(100 * share.value, 100 * share.low, 100 * share.high)


def discordant_share(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Estimate:
    """Of the pairs in which only one has the event, the share in which the first has it (McNemar's exact test).

    Above a half the first has the event more often. NaN if there is no such pair.
    """
    return _of_decided(first & ~second, second & ~first)


def share_change(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Estimate:
    """The share of samples with the first event minus that with the second, of the same samples.

    Only samples with one of the two count: the difference of two exact shares (`stats/differences.py`).
    """
    return difference(share_estimate(first & ~second), share_estimate(second & ~first))


def smaller_share(first: Array, second: Array) -> Estimate:
    """Of the pairs that differ, the share in which the first is the smaller one (sign test); NaN if none differs."""
    return _of_decided(first < second, first > second)


def _of_decided(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> Estimate:
    decided = ours | theirs
    if not decided.any():
        return Estimate(float("nan"), float("nan"), float("nan"))
    return share_estimate(ours[decided])
