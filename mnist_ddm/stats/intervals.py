"""Intervals for trajectories: the unit that is resampled is always a whole sample, never a single state.

States of one trajectory are not independent, so an interval that treats them as such is too narrow. Everything here
takes one number (or one row) for each sample.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mnist_ddm.core.noise import Purpose, generator
from mnist_ddm.stats.tests import auc, spearman

Array = NDArray[np.float64]
RESAMPLES = 2000
_AT_ONCE = 100
_REMEMBERED = 1000
"""For up to this many samples the resamples are kept in memory (16 MB)."""
LEVEL = 0.95
MIN_POSITIVES = 10
"""With fewer events an area under the ROC curve says nothing."""
_SEED = 20260202
"""Bootstrap intervals are the same every time; the seed only has to be fixed."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95% bootstrap interval.

    Attributes:
        value: of the statistic.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float


def bootstrap(statistic: Callable[..., float], *columns: Array) -> Estimate:
    """A statistic of samples with its percentile interval over resampled samples.

    Args:
        statistic: of the columns; called with the same columns, their rows resampled together.
        columns: arrays whose first axis is the sample, of equal length.

    Returns:
        The estimate; its interval is NaN for fewer than two samples.
    """
    value = float(statistic(*columns))
    return _bootstrap(value, lambda rows: statistic(*(column[rows] for column in columns)), len(columns[0]), False)


def bootstrap_batched(statistic: Callable[..., Array], *columns: NDArray[Any]) -> Estimate:
    """A statistic of samples with its interval; equals `bootstrap`, only faster.

    Args:
        statistic: of many resamples at once, columns ``(R, n, ...)`` to ``(R,)``.
        columns: arrays whose first axis is the sample, of equal length.
    """
    value = float(statistic(*(column[None] for column in columns))[0])

    def of_rows(rows: NDArray[np.int64], axis: int) -> Array:
        return statistic(*(column[rows] for column in columns))

    return _bootstrap(value, of_rows, len(columns[0]), True)


def _bootstrap(value: float, statistic: Callable[..., Any], n: int, vectorized: bool) -> Estimate:
    """Resample row numbers, so that columns of any shape go together."""
    if n < 2:
        return Estimate(value, float("nan"), float("nan"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # equal resamples: the interval is a point
        drawn = stats.bootstrap(
            (np.arange(n),),
            statistic,
            n_resamples=RESAMPLES,
            batch=_AT_ONCE,
            vectorized=vectorized,
            method="percentile",
            rng=generator(_SEED, Purpose.RESAMPLE, n),
        )
    return _interval(value, np.asarray(drawn.bootstrap_distribution, dtype=np.float64))


def _interval(value: float, draws: Array) -> Estimate:
    if np.isnan(draws).all():
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def mean_estimate(values: Array) -> Estimate:
    """The mean over samples of one number each, with its interval; equals `bootstrap` of the mean, only faster."""
    n, value = len(values), float(np.mean(values))
    if n < 2:
        return Estimate(value, float("nan"), float("nan"))
    return _interval(value, _resampled_means(values))


def share_estimate(events: NDArray[np.bool_]) -> Estimate:
    """The share of samples with an event, with Wilson's interval, which has a width even for none or all of them."""
    if len(events) < 2:
        return Estimate(float(np.mean(events)), float("nan"), float("nan"))
    interval = stats.binomtest(int(events.sum()), len(events)).proportion_ci(LEVEL, method="wilson")
    return Estimate(float(np.mean(events)), float(interval.low), float(interval.high))


def _resamples(n: int) -> Iterator[NDArray[np.int64]]:
    """Row numbers of resampled samples, many resamples at once; the same as those of `bootstrap`."""
    rng = generator(_SEED, Purpose.RESAMPLE, n)
    for _ in range(RESAMPLES // _AT_ONCE):
        yield rng.integers(0, n, (_AT_ONCE, n))


def _resampled_means(values: Array) -> Array:
    """The mean of ``values`` ``(n, ...)`` in each resample, shape ``(RESAMPLES, ...)``."""
    n = len(values)
    if n <= _REMEMBERED:
        return np.asarray(_all_counts(n) @ values / n, dtype=np.float64)
    return np.concatenate([_counts(rows, n) @ values / n for rows in _resamples(n)])


@lru_cache(maxsize=4)
def _all_counts(n: int) -> Array:
    return np.concatenate([_counts(rows, n) for rows in _resamples(n)])


def _counts(rows: NDArray[np.int64], n: int) -> Array:
    """How often each sample is in each resample, shape ``(R, n)``."""
    return np.stack([np.bincount(row, minlength=n) for row in rows]).astype(np.float64)


def bootstrap_of_sums(statistic: Callable[[Array], Array], values: Array) -> Estimate:
    """A statistic of the mean of rows, with its interval; equals `bootstrap`, only faster.

    Args:
        statistic: of means ``(R, B)``, to ``(R,)``.
        values: one row for each sample, shape ``(n, B)``.
    """
    n, value = len(values), float(statistic(values.mean(axis=0)[None])[0])
    if n < 2:
        return Estimate(value, float("nan"), float("nan"))
    return _interval(value, statistic(_resampled_means(values)))


def spearman_estimate(a: Array, b: Array) -> Estimate:
    """Spearman's rank correlation with its interval; NaN where it is not defined."""
    value = spearman(a, b)
    if np.isnan(value):
        return Estimate(value, float("nan"), float("nan"))
    return bootstrap_batched(_rank_correlations, a, b)


def _rank_correlations(a: Array, b: Array) -> Array:
    """Spearman's rank correlation of each row, NaN where a row is constant; ``(R, n)`` to ``(R,)``."""
    x, y = (stats.rankdata(values, axis=1) for values in (a, b))
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    scale = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.where(scale > 0, (x * y).sum(axis=1) / np.where(scale > 0, scale, 1), np.nan)


def auc_estimate(scores: Array, positive: NDArray[np.bool_]) -> Estimate:
    """The `auc` with its interval; not defined (NaN) under `MIN_POSITIVES` positives or negatives."""
    if min(int(positive.sum()), int((~positive).sum())) < MIN_POSITIVES:
        return Estimate(float("nan"), float("nan"), float("nan"))
    interval = bootstrap_batched(_areas, scores, positive)
    return Estimate(auc(scores, positive), interval.low, interval.high)


def _areas(scores: Array, positive: NDArray[np.bool_]) -> Array:
    """The area under the ROC curve of each row, NaN without both kinds; ``(R, n)`` to ``(R,)``."""
    ranks, n = stats.rankdata(scores, axis=1), positive.sum(axis=1)
    pairs = n * (positive.shape[1] - n)
    above = np.where(positive, ranks, 0).sum(axis=1) - n * (n + 1) / 2
    return np.where(pairs > 0, above / np.maximum(pairs, 1), np.nan)
