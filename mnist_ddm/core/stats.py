"""Statistics for trajectories: the unit that is resampled is always a whole sample, never a single state.

States of one trajectory are not independent, so an interval that treats them as such is too narrow. Everything here
takes one number (or one row) for each sample.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.integrate import trapezoid

from mnist_ddm.core.noise import generator

Array = NDArray[np.float64]
RESAMPLES = 2000
_AT_ONCE = 100
LEVEL = 0.95
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
    rng = generator(_SEED, n)
    draws = [values[rng.integers(0, n, (_AT_ONCE, n))].mean(axis=1) for _ in range(RESAMPLES // _AT_ONCE)]
    return _interval(value, np.concatenate(draws))


def spearman(a: Array, b: Array) -> float:
    """Spearman's rank correlation; NaN if a column is constant or has fewer than three samples."""
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(stats.spearmanr(a, b).statistic)


def spearman_estimate(a: Array, b: Array) -> Estimate:
    """Spearman's rank correlation with its interval."""
    return bootstrap(spearman, a, b)


def spearman_p(a: Array, b: Array) -> float:
    """Two-tailed p-value of Spearman's rank correlation; NaN where the correlation is not defined."""
    if np.isnan(spearman(a, b)):
        return float("nan")
    return float(stats.spearmanr(a, b).pvalue)


def paired_p(a: Array, b: Array) -> float:
    """Two-tailed p-value of the paired t-test."""
    return float(stats.ttest_rel(a, b).pvalue) if len(a) > 1 else float("nan")


def independent_p(a: Array, b: Array) -> float:
    """Two-tailed p-value of Welch's independent t-test."""
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
