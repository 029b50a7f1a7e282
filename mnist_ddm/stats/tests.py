"""Statistics of association and tests of differences; the unit is always a whole sample."""

import math
import warnings

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
DIGITS = 5
"""Significant digits that count for ranks. Norms of pixels that never vary are equal but for rounding (1/t), and a rank
that rounding decides says nothing."""


def rounded(values: Array) -> Array:
    """To `DIGITS` significant digits, so that what only rounding tells apart is a tie."""
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.floor(np.log10(np.abs(values)))
    power = 10.0 ** np.where(np.isfinite(exponent), exponent, 0.0)
    return np.asarray(np.round(values / power, DIGITS - 1) * power, dtype=np.float64)


def spearman(a: Array, b: Array) -> float:
    """Spearman's rank correlation of `rounded` values; NaN if a column is constant or has fewer than three samples."""
    a, b = rounded(a), rounded(b)
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    from scipy import stats

    return float(stats.spearmanr(a, b).statistic)


def spearman_p(a: Array, b: Array) -> float:
    """Two-tailed p-value of Spearman's rank correlation; NaN where the correlation is not defined.

    By Student's distribution, and never below that of perfect order, which 2 of the n! orders of n samples have.
    """
    if np.isnan(spearman(a, b)):
        return float("nan")
    from scipy import stats

    return max(float(stats.spearmanr(rounded(a), rounded(b)).pvalue), 2 / math.gamma(min(len(a), 170) + 1))


def auc(scores: Array, positive: NDArray[np.bool_]) -> float:
    """The area under the ROC curve of a score for an event: the chance that a positive has the larger score.

    Ties count half (Mann-Whitney); NaN if there is no positive or no negative.
    """
    with_event, without = scores[positive], scores[~positive]
    if min(len(with_event), len(without)) == 0:
        return float("nan")
    from scipy import stats

    u = stats.mannwhitneyu(with_event, without, method="asymptotic").statistic
    return float(u / (len(with_event) * len(without)))


def paired_p(a: Array, b: Array) -> float:
    """Two-tailed p-value of the paired t-test."""
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # equal differences: the p-value is then 0 or NaN, as it says
        return float(stats.ttest_rel(a, b).pvalue) if len(a) > 1 else float("nan")


def independent_p(a: Array, b: Array) -> float:
    """Two-tailed p-value of Welch's independent t-test."""
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ttest_ind(a, b, equal_var=False).pvalue) if min(len(a), len(b)) > 1 else float("nan")
