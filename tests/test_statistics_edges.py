"""Intervals and tests where they are most easily wrong: ties, rare events, certainty, what has no interval."""

import math

import numpy as np
import pytest
import torch

from mnist_ddm.analyses.comparison import _apart, _chain
from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.claims.contrasts import NO_INTERVAL, Agreement, above, between, growth_to, near
from mnist_ddm.claims.rounds import predicted_power
from mnist_ddm.errors import InputError
from mnist_ddm.metrics.calibration import calibration_estimate
from mnist_ddm.metrics.frechet import KernelDistance, frechet_distance
from mnist_ddm.metrics.frechet_limit import LimitDistance
from mnist_ddm.metrics.manifold import manifold
from mnist_ddm.stats.differences import largest, log_ratio, p_of_sign
from mnist_ddm.stats.intervals import (
    Estimate,
    auc_estimate,
    bounded_mean_estimate,
    share_estimate,
    spearman_estimate,
)
from mnist_ddm.stats.levels import over_trainings
from mnist_ddm.stats.permutation import _among
from mnist_ddm.stats.shares import discordant_share
from mnist_ddm.stats.tails import heavy_ratio_estimate, norm_ratio_estimate
from mnist_ddm.stats.tests import spearman, spearman_p
from mnist_ddm.systems.gaussian import GaussianPool

NAN = math.nan
Z = 1.959963984540054


def rng(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def test_no_deal_has_a_p_value_below_the_share_of_deals_that_are_as_far():
    """Of skew deals too, of which one side alone is as far."""
    one_sided = np.zeros(100)
    one_sided[0], one_sided[1], one_sided[2:7] = 2.0, 3.0, -2.5
    cases = [one_sided, np.zeros(50), np.array([0.0, 1, -1, 2])]
    cases += [np.exp(1.5 * r.normal(size=200)) - 3 for r in map(rng, range(100))]
    for deals in cases:
        estimate, share = _among(deals), float((np.abs(deals) >= abs(deals[0])).mean())
        assert p_of_sign(estimate) >= min(share, 1 - 1 / len(deals)) - 1e-9
        assert share < 0.05 or estimate.low <= 0 <= estimate.high


def test_changes_of_norms_that_the_measurement_makes_are_ties():
    """Most samples' norms do not change; noise of the size to which norms are measured must not rank them."""
    r = rng()
    changed = np.where(r.random(400) < 0.4, r.normal(size=400), 0.0)
    error = np.exp(r.normal(size=(2, 400)))
    error[1] = error[0] - np.where(changed != 0, changed * 0.1, 0.0)
    exact = spearman_estimate(changed, _apart(error[0], error[1])).value

    def measured(noise):
        norms = {"expert": np.full((400, 1), 9.0), "denoiser": np.full((400, 1), 9.0)}
        whole = 10 * np.exp(np.stack([changed, np.zeros(400)]) + noise * rng(1).normal(size=(2, 400)))
        by_routing = {name: {**norms, "whole": whole[i][:, None]} for i, name in enumerate(("full", "top2"))}
        table = _chain([("full", "top2")], by_routing, {"full": error[0], "top2": error[1]}, 0.01)
        return table.rows[0]["spearman_change"].value

    assert measured(1e-5) == pytest.approx(exact, abs=1e-3)
    assert exact > 0.9


@pytest.mark.parametrize(("estimates", "power"), [([0.2] * 3, 0.8), ([0.2, 0.4], 0.8), ([0.2], 0.8)])
def test_the_samples_that_would_decide_several_comparisons_decide_all_of_them_together(estimates, power):
    """Each an independent mean of unit variance, of 50 samples now."""
    half = Z / math.sqrt(50)
    ratios = [r for mean in estimates for r in above("", Estimate(mean, mean - half, mean + half)).affirms]
    n = 50 * growth_to(ratios)
    drawn = rng().normal(size=(20_000, len(estimates))) / math.sqrt(n) + estimates
    assert np.mean((drawn > Z / math.sqrt(n)).all(axis=1)) == pytest.approx(power, abs=0.012)


@pytest.mark.parametrize("mean", [0.0, 0.1])
def test_the_samples_that_would_show_two_things_alike_do_so_on_both_sides(mean):
    half = Z / math.sqrt(50)
    contrast = near("", Estimate(mean, mean - half, mean + half), 0.0, 0.2)
    assert contrast.agreement is Agreement.OPEN
    n = 50 * growth_to(contrast.affirms)
    drawn, reach = rng().normal(size=20_000) / math.sqrt(n) + mean, Z / math.sqrt(n)
    assert np.mean((drawn + reach < 0.2) & (drawn - reach > -0.2)) == pytest.approx(0.8, abs=0.012)


def test_the_power_of_a_look_is_that_of_its_own_level():
    assert predicted_power(3.0, 3.0) == pytest.approx(0.8)
    assert predicted_power(3.0, 6.0) > 0.97


def test_a_ratio_of_norms_counts_the_events_of_each_by_its_own_median():
    """All of the first are above twice the median of the second: those are no events, and its rare ones were missed."""
    for i in range(50):
        r = rng(i)
        first = 25 * r.lognormal(0, 0.05, 200) * np.where(r.random(200) < 0.003, 20, 1)
        second = 10 * r.lognormal(0, 0.05, 200) * np.where(r.random(200) < 0.1, 4, 1)
        assert math.isnan(norm_ratio_estimate(first, second).low)
    spread = np.concatenate([np.full(60, 1.0), np.linspace(3, 8, 20)])
    alike, larger = (norm_ratio_estimate(unit * spread[::-1], spread) for unit in (1, 5))
    assert larger.low == pytest.approx(5 * alike.low)
    assert math.isnan(norm_ratio_estimate(np.zeros(40), spread[:40]).low)


@pytest.mark.parametrize(("mean", "n"), [(0.99, 64), (0.99, 200), (0.999, 1000), (0.7, 200)])
def test_a_perfect_router_that_is_nearly_sure_is_not_found_out_of_calibration(mean, n):
    """The interval held 0 in 47% of the tries at 0.99 and n = 64, where most bins see no error."""
    out = 0
    for i in range(300):
        r = rng(i)
        confidence = np.clip(1 - r.exponential(1 - mean, n), 0.1, 1)
        out += calibration_estimate(confidence, (r.random(n) < confidence).astype(float)).low > 0
    assert out <= 0.07 * 300


def test_where_nothing_is_wrong_something_may_be():
    estimate = calibration_estimate(np.ones(20), np.ones(20))
    assert (estimate.value, estimate.low) == (0, 0)
    assert estimate.high >= 1 - 0.025 ** (1 / 20)


def test_a_ratio_of_what_has_no_interval_has_none():
    bare = Estimate(1.0, NAN, NAN)
    for ratio in (log_ratio(bare, Estimate(2.0, NAN, NAN)), log_ratio(bare, Estimate(2.0, 1.9, 2.1))):
        assert math.isnan(ratio.low)
        assert between("", ratio, 0.1, bare).reason == NO_INTERVAL


def test_perfect_order_of_few_samples_is_not_certain():
    for n in (3, 4, 8):
        assert spearman_p(np.arange(float(n)), np.arange(float(n))) >= 2 / math.factorial(n)
    assert spearman_p(np.arange(300.0), np.arange(300.0)) < 1e-200


def test_one_pair_says_little_but_something():
    estimate = discordant_share(np.array([True, False, True]), np.array([False, False, True]))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1, 0.025, 1))


def test_errors_that_are_all_0_are_none_of_the_others():
    assert heavy_ratio_estimate(np.zeros(40), np.ones(40), 0.01).value == 0
    assert math.isnan(heavy_ratio_estimate(np.ones(40), np.zeros(40), 0.01).value)


def test_one_field_under_two_names_has_no_distance_to_itself():
    draw = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, 600, 8, generator=draw, dtype=torch.float64)
    again = fake * (1 + 1e-7 * torch.randn(600, 8, generator=draw, dtype=torch.float64))
    limit = LimitDistance(real)
    apart = limit(fake).minus(limit(again))
    assert apart.value != 0
    assert apart.low <= 0 <= apart.high
    moved = limit(fake).minus(limit(fake + 0.5))
    assert not moved.low <= 0 <= moved.high


def test_what_is_no_number_or_no_event_is_refused_or_has_no_interval():
    with pytest.raises(InputError, match="yes or no"):
        share_estimate(np.array([0.2, 0.7, 1.0]))
    with pytest.raises(InputError, match="scale them"):
        frechet_distance(1e160 * torch.randn(20, 3, dtype=torch.float64), torch.randn(20, 3, dtype=torch.float64))
    with pytest.raises(InputError, match="not finite"):
        manifold(torch.randn(20, 3), torch.full((4, 3), NAN))
    with pytest.raises(InputError, match="finite means"):
        GaussianPool(torch.full((2, 3), NAN), torch.ones(2), torch.ones(2))
    scores, events = rng().normal(size=60), np.arange(60) % 3 == 0
    assert auc_estimate(scores, events.astype(int)) == auc_estimate(scores, events)
    for estimate in (
        auc_estimate(np.where(events, NAN, scores), events),
        bounded_mean_estimate(np.array([NAN, 1.0]), 0, 1),
    ):
        assert math.isnan(estimate.low)
        assert math.isnan(estimate.high)
    assert spearman(np.array([1e-306, 2e-306, 4e-306]), np.arange(3.0)) == pytest.approx(1)
    few = KernelDistance(torch.randn(3, 4))(torch.randn(300, 4))
    assert math.isnan(few.low)


def test_what_no_number_bounds_has_no_share_of_a_variance():
    ratios = [Estimate(1.0, 0.5, 2.0), Estimate(1.2, 0.6, math.inf)]
    assert math.isnan(over_trainings(ratios).share.value)


def test_the_largest_of_several_is_not_above_what_chance_makes_it():
    """Two distances that are 0: the larger one is above 0 in most tries, and may exclude it in few."""
    drawn = rng().normal(size=(4000, 2))
    found = [largest([Estimate(x, x - Z, x + Z) for x in pair]) for pair in drawn.tolist()]
    assert np.mean([e.low > 0 for e in found]) <= 0.027
    assert np.mean([e.high < 0 for e in found]) <= 0.002
    assert math.isnan(largest([Estimate(1, 0, 2), Estimate(0, NAN, NAN)]).low)


def test_ratios_are_averaged_as_logarithms_in_every_table():
    """A mean of 1/2 and 2 is 1, whichever of the two was divided by the other."""
    for analysis in ANALYSES.values():
        for schema in (*analysis.tables, *analysis.own_tables):
            for column in schema.columns:
                divided = " / " in column.title and " / ln K" not in column.title
                is_ratio = divided or ", ratio" in column.title or column.key in ("factor", "ratio")
                if is_ratio and column.role != "key":
                    assert column.kind.as_logarithms, (schema.name, column.key)
