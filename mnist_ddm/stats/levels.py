r"""Estimates over two levels: trainings of one recipe, and samples of each.

Retraining moves a result more than resampling does, so what is said of a recipe rests on trainings, not on samples.
Each training has samples of its own, so the J estimates are independent, and Student's interval of their mean

.. math:: \bar v \pm t_{J - 1} s / \sqrt J

holds both levels, whatever each of them is. Where all J happen to agree, as shares of rare events do, it would be a
point; it is never made narrower than that of the samples alone. `tests/coverage` measures it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnist_ddm.stats.intervals import LEVEL, Estimate
from mnist_ddm.stats.quantiles import chi_square_quantile, normal_quantile, student_quantile

_UNKNOWN = Estimate(math.nan, math.nan, math.nan)
_QUANTILE = normal_quantile((1 + LEVEL) / 2)


@dataclass(frozen=True)
class Levels:
    """What several trainings say of one number.

    Attributes:
        estimate: their mean, with the interval over trainings and samples; none from one training, or where one of them
            has none of its own.
        between: the standard deviation of the trainings' values, which holds both levels.
        within: the root mean square of their standard errors, which is what samples alone explain; NaN without.
        share: of the variance of a training's value, what samples do not explain, 0 to 1, with the interval that the
            chi-square distribution of a variance gives if ``within`` is right; NaN where that cannot be told. Of five
            trainings it is wide, and 0 where samples alone are said to do more than trainings are seen to.
    """

    estimate: Estimate
    between: float
    within: float
    share: Estimate


def over_trainings(estimates: Sequence[Estimate]) -> Levels:
    """The mean of what trainings say, each an estimate from samples of its own; ends may be NaN."""
    values = np.array([e.value for e in estimates])
    value, count = float(values.mean()), len(values)
    between = float(values.std(ddof=1)) if count > 1 else math.nan
    halves = np.array([[e.value - e.low, e.high - e.value] for e in estimates])
    errors = halves.mean(axis=1) / _QUANTILE
    within = float(np.sqrt(np.mean(errors**2)))
    if count < 2 or np.isnan(halves).any():
        return Levels(Estimate(value, math.nan, math.nan), between, within, _UNKNOWN)
    reach = student_quantile((1 + LEVEL) / 2, count - 1) * between / math.sqrt(count)
    alone = np.sqrt((halves**2).mean(axis=0) / count)
    low, high = (max(reach, float(side)) for side in alone)
    return Levels(Estimate(value, value - low, value + high), between, within, _share(between, within, count))


def _share(between: float, within: float, count: int) -> Estimate:
    """What is left of a variance, and of the ends of its interval, without that of the samples."""
    if between == 0 or not math.isfinite(between) or not math.isfinite(within):
        return _UNKNOWN
    freedom = count - 1
    ends = (freedom / chi_square_quantile(share, freedom) for share in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
    return Estimate(*(max(0.0, 1 - (within / between) ** 2 / factor) for factor in (1.0, *ends)))


def over_values(values: Sequence[float]) -> Levels:
    """The same for numbers that have no interval of their own, such as a FID of n samples."""
    count, value = len(values), float(np.mean(values))
    between = float(np.std(values, ddof=1)) if count > 1 else math.nan
    if count < 2 or between == 0:
        return Levels(Estimate(value, math.nan, math.nan), between, math.nan, _UNKNOWN)
    reach = student_quantile((1 + LEVEL) / 2, count - 1) * between / math.sqrt(count)
    return Levels(Estimate(value, value - reach, value + reach), between, math.nan, _UNKNOWN)
