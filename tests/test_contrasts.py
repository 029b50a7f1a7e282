"""Contrasts: what an interval of a difference or a ratio decides."""

import math

import numpy as np
import pytest
from scipy import stats

from mnist_ddm.claims.contrasts import Agreement, above, below, between
from mnist_ddm.stats.differences import difference, log_ratio, point
from mnist_ddm.stats.intervals import Estimate

NAN = float("nan")


def test_the_interval_of_a_difference_is_the_exact_one_for_normal_estimates():
    a, b = Estimate(3.0, 3 - 1.96 * 0.3, 3 + 1.96 * 0.3), Estimate(1.0, 1 - 1.96 * 0.4, 1 + 1.96 * 0.4)
    found = difference(a, b)
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2 - 1.96 * 0.5, 2 + 1.96 * 0.5))
    assert above("a", found).p == pytest.approx(2 * stats.norm.sf(2 / 0.5), rel=1e-3)


def test_the_interval_of_a_difference_covers_what_it_should():
    rng = np.random.Generator(np.random.Philox(3))
    covered, tries, n = 0, 400, 40
    for _ in range(tries):
        x, y = rng.exponential(1.0, n), rng.exponential(2.0, n)
        ends = []
        for values in (x, y):
            half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)
            ends.append(Estimate(values.mean(), values.mean() - half, values.mean() + half))
        covered += (d := difference(ends[1], ends[0])).low <= 1.0 <= d.high
    assert covered / tries > 0.92


@pytest.mark.parametrize(
    ("estimate", "agreement"),
    [
        (Estimate(1, 0.5, 2), Agreement.FOR),
        (Estimate(1, -0.5, 2), Agreement.OPEN),
        (Estimate(-1, -2, -0.5), Agreement.AGAINST),
        (Estimate(1, NAN, NAN), Agreement.OPEN),
        (Estimate(0, 0, 0), Agreement.OPEN),
    ],
)
def test_an_interval_decides_or_leaves_open(estimate, agreement):
    assert above("x", estimate).agreement is agreement
    mirrored = Estimate(-estimate.value, -estimate.high, -estimate.low)
    assert below("x", mirrored).agreement is agreement
    contrast = above("x", estimate)
    if contrast.p is not None and agreement is not Agreement.OPEN:
        assert contrast.p < 0.05
    assert bool(contrast.reason) == (agreement is Agreement.OPEN)


def test_two_things_are_alike_only_if_the_interval_of_their_ratio_says_so():
    def alike(a, b, within=0.1):
        return between("x", log_ratio(a, b), within, a).agreement

    assert alike(Estimate(1.02, 1.0, 1.04), point(1.0)) is Agreement.FOR
    assert alike(Estimate(1.02, 0.7, 1.4), point(1.0)) is Agreement.OPEN
    assert alike(Estimate(1.5, 1.4, 1.6), point(1.0)) is Agreement.AGAINST
    assert alike(point(0.0), point(0.0)) is Agreement.FOR
    assert alike(Estimate(0.0, 0.0, 0.1), point(1.0)) is Agreement.OPEN
    assert alike(Estimate(1.0, 0.95, NAN), Estimate(1.0, NAN, NAN)) is Agreement.OPEN
