"""Intervals for trajectories: the unit that is resampled is always a whole sample, never a single state.

States of one trajectory are not independent, so an interval that treats them as such is too narrow. Everything here
takes one number (or one row) for each sample.

Each kind of interval was chosen by its measured coverage (`tests/coverage`, `docs/statistics.md`). One that would miss
too often is not given: its ends are NaN, and the judge leaves open what rests on it.

References:
    Clopper, Pearson (1934), The use of confidence or fiducial limits illustrated in the case of the binomial.
    Bonett, Wright (2000), Sample size requirements for estimating Pearson, Kendall and Spearman correlations.
    DeLong, DeLong, Clarke-Pearson (1988), Comparing the areas under two or more correlated ROC curves.
    Newcombe (2006), Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2.
    Hall (1983), Inverting an Edgeworth expansion.
    Hesterberg (2015), What teachers should know about the bootstrap, section 4.
    Hoeffding (1963), Probability inequalities for sums of bounded random variables.
    Cochran (1977), Sampling techniques, section 2.15: how many samples a normal interval needs by their skewness.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_ddm.core.noise import Purpose, generator
from mnist_ddm.errors import InputError
from mnist_ddm.stats.quantiles import beta_quantile, normal_quantile, normal_share, student_quantile
from mnist_ddm.stats.tests import auc, rounded, spearman

Array = NDArray[np.float64]
RESAMPLES = 2000
_AT_ONCE = 100
LEVEL = 0.95
MIN_POSITIVES = 10
"""With fewer events an area under the ROC curve says nothing."""
_COCHRAN = 2
"""So many samples for each unit of squared skewness."""
_SHORT = 2
"""How far a sample's skewness falls short of that of what it was drawn from, about, where that is skew: the rarest
values, which make it so, are rarely in it."""
_NORMAL = normal_quantile((1 + LEVEL) / 2)
_SEED = 20260202
"""Bootstrap intervals are the same every time; the seed only has to be fixed."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95% interval; the ends are NaN where none is given.

    Attributes:
        value: of the statistic.
        low: lower end.
        high: upper end.
        freedom: degrees of freedom of Student's distribution by which the interval has another level, or a p-value;
            infinite, as by default, for those of a normal one. Few trainings have few, and their p-values are larger.
    """

    value: float
    low: float
    high: float
    freedom: float = math.inf


def bootstrap_batched(statistic: Callable[..., Array], *columns: NDArray[Any]) -> Estimate:
    """A statistic of samples with its expanded percentile interval over resampled samples (Hesterberg 2015).

    For statistics that have no interval of their own here, such as a range of quantiles; never for heavy tails.

    Args:
        statistic: of many resamples at once, columns ``(R, n, ...)`` to ``(R,)``.
        columns: arrays whose first axis is the sample, of equal length; their rows are resampled together.

    Returns:
        The estimate; its interval is NaN for fewer than two samples.
    """
    (estimate,) = bootstrap_several(lambda *drawn: statistic(*drawn)[None], *columns)
    return estimate


def bootstrap_several(statistic: Callable[..., Array], *columns: NDArray[Any]) -> tuple[Estimate, ...]:
    """Several statistics of the same samples, each as in `bootstrap_batched`, from the same resamples.

    Args:
        statistic: of many resamples at once, columns ``(R, n, ...)`` to ``(S, R)``.
        columns: arrays whose first axis is the sample, of equal length.
    """
    values, n = statistic(*(column[None] for column in columns))[:, 0], len(columns[0])
    if n < 2:
        return tuple(Estimate(float(value), float("nan"), float("nan")) for value in values)
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # equal resamples: the interval is a point
        drawn = stats.bootstrap(
            (np.arange(n),),
            lambda rows, axis: statistic(*(column[rows] for column in columns)),
            n_resamples=RESAMPLES,
            batch=_AT_ONCE,
            vectorized=True,
            method="percentile",
            rng=generator(_SEED, Purpose.RESAMPLE, n),
        )
    draws = np.asarray(drawn.bootstrap_distribution, dtype=np.float64)
    return tuple(_interval(float(value), row, n) for value, row in zip(values, draws, strict=True))


def _interval(value: float, draws: Array, n: int) -> Estimate:
    if np.isnan(draws).all():
        return Estimate(value, float("nan"), float("nan"))
    # Resamples of few samples vary too little: as much farther out as Student's quantile is, and the divisor n.
    reach = student_quantile((1 + LEVEL) / 2, n - 1) * math.sqrt(n / (n - 1))
    low, high = (float(np.nanquantile(draws, normal_share(side))) for side in (-reach, reach))
    return Estimate(value, low, high)


def mean_estimate(values: Array) -> Estimate:
    """The mean over samples of one number each, with the interval of `mean_moves`.

    The interval is not given where the samples are too few for their skewness; see `enough_for`.
    """
    value = float(np.mean(values))
    if not enough_for(values):
        return Estimate(value, float("nan"), float("nan"))
    low, high = mean_moves(values)
    return Estimate(value, value + low, value + high)


def bounded_mean_estimate(values: Array, least: float, most: float) -> Estimate:
    """The mean of numbers that cannot be below ``least`` or above ``most``, with an interval in every case.

    Where that of `mean_estimate` is not given, or is a point, it is the exact one of a share, too wide for them:
    no numbers with these bounds and this mean vary more than events do (Hoeffding 1963).
    """
    estimate, n = mean_estimate(values), len(values)
    if not math.isfinite(estimate.value):
        return Estimate(estimate.value, float("nan"), float("nan"))
    if n < 2 or (not math.isnan(estimate.low) and estimate.low < estimate.high):
        return Estimate(estimate.value, max(estimate.low, least), min(estimate.high, most))
    span = most - least
    count = float(np.clip((values - least) / span, 0, 1).sum())
    low = beta_quantile((1 - LEVEL) / 2, count, n - count + 1) if count >= 1 else 0.0
    high = beta_quantile((1 + LEVEL) / 2, count + 1, n - count) if count <= n - 1 else 1.0
    return Estimate(estimate.value, least + span * low, least + span * high)


def ratio_estimate(a: Array, b: Array) -> Estimate:
    r"""The ratio of two means over the same samples, with the interval of its logarithm (delta method).

    Of :math:`\log(\bar a / \bar b)` sample i changes :math:`a_i / \bar a - b_i / \bar b`. Where some :math:`a_i` is
    negative, so that the ratio may be too, the interval is that of the ratio itself, which sample i changes by
    :math:`(a_i - b_i \bar a / \bar b) / \bar b`. NaN if the mean of ``b`` is not positive; the interval is not given
    where the samples are too few for the skewness of these, or ``a`` is nothing but 0.
    """
    above, below = float(np.mean(a)), float(np.mean(b))
    signed = bool((np.asarray(a) < 0).any())
    if below <= 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    value = above / below
    if above == 0 and not signed:
        return Estimate(value, float("nan"), float("nan"))
    changes = (a - value * b) / below if signed else a / above - b / below
    if not enough_for(changes):
        return Estimate(value, float("nan"), float("nan"))
    low, high = mean_moves(changes)
    ends = (value + low, value + high) if signed else (value * math.exp(low), value * math.exp(high))
    return Estimate(value, *ends)


def enough_for(values: Array) -> bool:
    """Whether samples are enough, for how skew they are, that the interval of their mean can be trusted.

    Cochran's rule n > c g^2 for the skewness g, with the c that coverage asked for. Of events that are too rare to be
    seen no sample can tell; where such can be, count what can be seen (`tails.heavy_mean_estimate`).
    """
    return len(values) > 1 and len(values) >= _COCHRAN * _skewness(values) ** 2


def mean_moves(values: Array) -> tuple[float, float]:
    """How far the ends of the interval of a mean are from it: the hull of two intervals.

    One is Student's, the other moved by the first correction for skewness (Hall 1983), of `_SHORT` times the sample's:
    of skew samples each misses on a side of its own.
    """
    n = len(values)
    largest = float(np.abs(values).max()) or 1.0
    error = largest * float((values / largest).std(ddof=1)) / math.sqrt(n)
    reach = student_quantile((1 + LEVEL) / 2, n - 1)
    moved = _SHORT * _skewness(values) / (6 * math.sqrt(n)) * (1 + 2 * reach**2)
    return error * (min(moved, 0.0) - reach), error * (max(moved, 0.0) + reach)


def _skewness(values: Array) -> float:
    """0 for values that are equal but for rounding; at any scale, such as total variations of 1e-170."""
    largest = float(np.abs(values).max())
    if largest == 0:
        return 0.0
    scaled = values / largest
    centred = scaled - scaled.mean()
    variance = float(np.mean(centred**2))
    return float(np.mean(centred**3)) / variance**1.5 if variance > 1e-24 else 0.0


def share_estimate(events: NDArray[np.bool_]) -> Estimate:
    """The share of samples with an event, with the exact interval (Clopper, Pearson 1934).

    Raises:
        InputError: if they are other numbers than 0 and 1.
    """
    if not np.isin(events, (0, 1)).all():
        raise InputError("a share is counted over events, yes or no, and was given other numbers")
    if len(events) < 2:
        return Estimate(float(np.mean(events)), float("nan"), float("nan"))
    return exact_share(int(events.sum()), len(events))


def exact_share(count: int, n: int) -> Estimate:
    """The share of ``count`` events among ``n`` tries, at least one, with the exact interval."""
    from scipy import stats

    interval = stats.binomtest(count, n).proportion_ci(LEVEL, method="exact")
    return Estimate(count / n, float(interval.low), float(interval.high))


def spearman_estimate(a: Array, b: Array) -> Estimate:
    r"""Spearman's rank correlation with the hull of two intervals; NaN where it is not defined.

    Both are of Fisher's :math:`z = \operatorname{artanh} \rho`. One has the variance :math:`(1 + \rho^2 / 2) / (n - 3)`
    of Bonett and Wright (2000), which is that of a normal pair. Where the two vary together without a correlation, as
    where some samples are far out in both, to either side, that is too small; the other has the variance of the
    samples' influence on the correlation, which supposes nothing, and is too small for few samples.
    """
    value, n = spearman(a, b), len(a)
    if np.isnan(value) or n < 4:
        return Estimate(value, float("nan"), float("nan"))
    # Perfect order has no finite z; it gets that of the next correlation that n ranks can have.
    largest = 1 - 12 / (n**3 - n)
    inside = min(max(value, -largest), largest)
    z = math.atanh(inside)
    influence = _rank_influence(rounded(a), rounded(b)) / (1 - inside**2)
    half = max(
        _NORMAL * math.sqrt((1 + inside**2 / 2) / (n - 3)),
        student_quantile((1 + LEVEL) / 2, n - 1) * float(influence.std(ddof=1)) / math.sqrt(n),
    )
    return Estimate(value, min(value, math.tanh(z - half)), max(value, math.tanh(z + half)))


def _rank_influence(a: Array, b: Array) -> Array:
    """How far each sample moves Spearman's correlation, times n: by its own ranks, and by those of the samples above.

    Shape ``(n,)``.
    """
    ranks = [_shares_below(values) - 0.5 for values in (a, b)]
    spreads = [float(rank.std()) for rank in ranks]
    value = float((ranks[0] * ranks[1]).mean()) / (spreads[0] * spreads[1])
    moved = ranks[0] * ranks[1] + _mean_above(a, ranks[1]) + _mean_above(b, ranks[0])
    return moved / (spreads[0] * spreads[1]) - 3 * value


def _shares_below(values: Array) -> Array:
    """The share of all values that lie below each, equal ones counted half."""
    from scipy import stats

    return np.asarray((stats.rankdata(values) - 0.5) / len(values), dtype=np.float64)


def _mean_above(values: Array, other: Array) -> Array:
    """For each value the mean over all samples of ``other`` where theirs is above it, equal ones counted half."""
    unique, place = np.unique(values, return_inverse=True)
    sums = np.bincount(place, weights=other, minlength=len(unique))
    above = sums[::-1].cumsum()[::-1] - sums
    return np.asarray((above + sums / 2)[place] / len(values), dtype=np.float64)


def auc_estimate(scores: Array, positive: NDArray[np.bool_]) -> Estimate:
    """The `auc` with the hull of two intervals; NaN under `MIN_POSITIVES` positives or negatives.

    DeLong's on the logit supposes no distribution, and is far too narrow where few positives are nearly always above
    the others; Newcombe's (2006, his method 5) is right there, for scores that are distributed about as normal ones.
    """
    positive = np.asarray(positive, dtype=bool)
    events, others = int(positive.sum()), int((~positive).sum())
    if min(events, others) < MIN_POSITIVES or np.isnan(scores).any():
        return Estimate(float("nan"), float("nan"), float("nan"))
    value = auc(scores, positive)
    if not 0 < value < 1:
        # Complete separation has no variance; as many rarer ones as there are would show no exception to a share.
        reach = ((1 - LEVEL) / 2) ** (1 / min(events, others))
        return Estimate(value, reach, 1.0) if value > 0.5 else Estimate(value, 0.0, 1 - reach)
    logit, half = math.log(value / (1 - value)), _logit_reach(scores, positive, value)
    low, high = _newcombe(value, events, others)
    return Estimate(value, min(low, 1 / (1 + math.exp(half - logit))), max(high, 1 / (1 + math.exp(-half - logit))))


def _logit_reach(scores: Array, positive: NDArray[np.bool_], value: float) -> float:
    """Half of DeLong's interval of the logit of an area."""
    from scipy import stats

    events, others = int(positive.sum()), int((~positive).sum())
    ranks = stats.rankdata(scores)
    above = (ranks[positive] - stats.rankdata(scores[positive])) / others
    below = 1 - (ranks[~positive] - stats.rankdata(scores[~positive])) / events
    parts = float(above.var(ddof=1)) / events, float(below.var(ddof=1)) / others
    if sum(parts) == 0:  # every score is the same
        return 0.0
    # Few positives decide how well the variance is known (Satterthwaite's degrees of freedom).
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (events - 1) + parts[1] ** 2 / (others - 1))
    return student_quantile((1 + LEVEL) / 2, freedom) * math.sqrt(sum(parts)) / (value * (1 - value))


def _newcombe(value: float, events: int, others: int) -> tuple[float, float]:
    """The areas from which this one is just as far as the interval's level allows (a score interval)."""
    from scipy import optimize

    about = (events + others) / 2 - 1

    def beyond(area: float) -> float:
        rest = 1 - area
        variance = area * rest * (1 + about * (rest / (1 + rest) + area / (1 + area))) / (events * others)
        return (value - area) ** 2 - _NORMAL**2 * variance

    return float(optimize.brentq(beyond, 0.0, value)), float(optimize.brentq(beyond, value, 1.0))
