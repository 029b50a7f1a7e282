"""Statistics for trajectories: the unit that is resampled is always a whole sample, never a single state.

States of one trajectory are not independent, so an interval that treats them as such is too narrow. Everything here
takes one number (or one row) for each sample.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.integrate import trapezoid

from mnist_ddm.core.noise import generator

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
    n = len(columns[0])
    value = float(statistic(*columns))
    if n < 2:
        return Estimate(value, float("nan"), float("nan"))
    rng = generator(_SEED, n)
    draws = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, n, n)
        draws.append(float(statistic(*(column[rows] for column in columns))))
    return _interval(value, np.asarray(draws))


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
    rng = generator(_SEED, n)
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


def bootstrap_batched(statistic: Callable[..., Array], *columns: Array) -> Estimate:
    """A statistic of samples with its interval; equals `bootstrap`, only faster.

    Args:
        statistic: of many resamples at once, columns ``(R, n, ...)`` to ``(R,)``.
        columns: arrays whose first axis is the sample, of equal length.
    """
    n, value = len(columns[0]), float(statistic(*(column[None] for column in columns))[0])
    if n < 2:
        return Estimate(value, float("nan"), float("nan"))
    draws = [statistic(*(column[rows] for column in columns)) for rows in _resamples(n)]
    return _interval(value, np.concatenate(draws))


def spearman(a: Array, b: Array) -> float:
    """Spearman's rank correlation; NaN if a column is constant or has fewer than three samples."""
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(stats.spearmanr(a, b).statistic)


def spearman_estimate(a: Array, b: Array) -> Estimate:
    """Spearman's rank correlation with its interval; equals `bootstrap` of `spearman`, only faster."""
    n, value = len(a), spearman(a, b)
    if np.isnan(value):
        return Estimate(value, float("nan"), float("nan"))
    return _interval(value, np.concatenate([_rank_correlations(a[rows], b[rows]) for rows in _resamples(n)]))


def _rank_correlations(a: Array, b: Array) -> Array:
    """Spearman's rank correlation of each row, NaN where a row is constant; ``(R, n)`` to ``(R,)``."""
    x, y = (stats.rankdata(values, axis=1) for values in (a, b))
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    scale = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.where(scale > 0, (x * y).sum(axis=1) / np.where(scale > 0, scale, 1), np.nan)


def spearman_p(a: Array, b: Array) -> float:
    """Two-tailed p-value of Spearman's rank correlation; NaN where the correlation is not defined."""
    if np.isnan(spearman(a, b)):
        return float("nan")
    return float(stats.spearmanr(a, b).pvalue)


def auc(scores: Array, positive: NDArray[np.bool_]) -> float:
    """The area under the ROC curve of a score for an event: the chance that a positive has the larger score.

    Ties count half (Mann-Whitney); NaN if there is no positive or no negative.
    """
    n, m = int(positive.sum()), int((~positive).sum())
    if n == 0 or m == 0:
        return float("nan")
    ranks = stats.rankdata(scores)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def auc_estimate(scores: Array, positive: NDArray[np.bool_]) -> Estimate:
    """The `auc` with its interval; not defined (NaN) under `MIN_POSITIVES` positives or negatives."""
    if min(int(positive.sum()), int((~positive).sum())) < MIN_POSITIVES:
        return Estimate(float("nan"), float("nan"), float("nan"))
    return bootstrap(lambda s, p: auc(s, p > 0), scores, positive.astype(np.float64))


def paired_p(a: Array, b: Array) -> float:
    """Two-tailed p-value of the paired t-test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # equal differences: the p-value is then 0 or NaN, as it says
        return float(stats.ttest_rel(a, b).pvalue) if len(a) > 1 else float("nan")


def independent_p(a: Array, b: Array) -> float:
    """Two-tailed p-value of Welch's independent t-test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ttest_ind(a, b, equal_var=False).pvalue) if min(len(a), len(b)) > 1 else float("nan")


def quartile(values: Array) -> NDArray[np.int64]:
    """The quartile 0 .. 3 of each sample by rank; sizes differ by at most one, ties go by position."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.arange(len(values))
    return ranks * 4 // max(len(values), 1)


def integrate_over_time(values: Array, times: Array) -> Array:
    """The integral over ``t`` in ``[0, 1]`` of what was recorded at falling times, shape ``(n,)``.

    The trapezoid rule between recorded times; below the last one, down to ``t = 0``, the last value is held, because
    the field is never evaluated at ``t = 0``.

    Args:
        values: shape ``(n, T)``.
        times: falling from 1, shape ``(T,)``.
    """
    inside = trapezoid(values[:, ::-1], times[::-1], axis=1) if len(times) > 1 else np.zeros(len(values))
    return np.asarray(inside + values[:, -1] * times[-1], dtype=np.float64)
