"""Intervals and tests, by hand and by what they must hold; `tests/coverage` measures how often they do."""

import math

import numpy as np
import pytest
from scipy import stats

from mnist_ddm.stats.differences import difference, log_ratio, p_of_sign, point, widened
from mnist_ddm.stats.intervals import (
    Estimate,
    auc_estimate,
    bounded_mean_estimate,
    mean_estimate,
    ratio_estimate,
    share_estimate,
    spearman_estimate,
)
from mnist_ddm.stats.permutation import ties, ties_of
from mnist_ddm.stats.shares import discordant_share, share_change, smaller_share
from mnist_ddm.stats.tails import (
    heavy_mean_estimate,
    heavy_ratio_estimate,
    median_estimate,
    median_ratio_estimate,
    norm_mean_estimate,
    norm_ratio_estimate,
)
from mnist_ddm.stats.tests import rounded, spearman


def rng(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def test_a_share_has_the_exact_interval():
    estimate = share_estimate(np.arange(50) < 0)
    assert (estimate.low, estimate.high) == pytest.approx((0.0, 1 - 0.025 ** (1 / 50)))


def test_the_interval_of_symmetric_samples_is_students():
    values = np.concatenate([rng().normal(size=30)] * 2) * np.repeat([1.0, -1.0], 30)
    half = stats.t.ppf(0.975, 59) * values.std(ddof=1) / math.sqrt(60)
    estimate = mean_estimate(values)
    assert (estimate.low, estimate.high) == pytest.approx((-half, half), abs=1e-9)


def test_too_skew_samples_have_no_interval_and_equal_ones_a_point():
    one_event = np.where(np.arange(50) == 0, 1.0, 1e-6)
    assert math.isnan(mean_estimate(one_event).low)
    assert mean_estimate(np.full(5, 0.1)) == Estimate(pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1))
    assert math.isnan(mean_estimate(np.array([1.0])).low)


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1.0, 1e200])
def test_the_interval_of_a_mean_scales(scale):
    values = rng(12).gamma(4.0, size=60)
    usual, scaled = mean_estimate(values), mean_estimate(scale * values)
    assert (scaled.low / scale, scaled.high / scale) == pytest.approx((usual.low, usual.high), rel=1e-6)


def test_a_bounded_mean_always_has_an_interval():
    nearly_all = np.where(np.arange(50) == 0, 0.0, 100.0)
    assert math.isnan(mean_estimate(nearly_all).low)
    exact = share_estimate(nearly_all > 0)
    bounded = bounded_mean_estimate(nearly_all, 0.0, 100.0)
    assert (bounded.low, bounded.high) == pytest.approx((100 * exact.low, 100 * exact.high))
    ranks = bounded_mean_estimate(1 + nearly_all / 50, 1.0, 3.0)
    assert (ranks.low, ranks.high) == pytest.approx((1 + 2 * exact.low, 1 + 2 * exact.high))
    everything = bounded_mean_estimate(np.full(50, 100.0), 0.0, 100.0)
    assert everything.low == pytest.approx(100 * 0.025 ** (1 / 50))
    assert everything.high == 100


def test_a_ratio_of_means_is_that_of_the_logarithm():
    a, b = rng(1).gamma(9.0, size=400), rng(2).gamma(9.0, size=400)
    estimate = ratio_estimate(2 * a, b)
    assert estimate.value == pytest.approx(2 * a.mean() / b.mean())
    assert estimate.low < 2 < estimate.high
    turned = ratio_estimate(b, 2 * a)
    assert (turned.low, turned.high) == pytest.approx((1 / estimate.high, 1 / estimate.low))
    assert math.isnan(ratio_estimate(a, b - 100).value)
    nothing = ratio_estimate(0 * a, b)
    assert nothing.value == 0
    assert math.isnan(nothing.low)
    assert ratio_estimate(a, a) == Estimate(1.0, 1.0, 1.0)


@pytest.mark.parametrize("mean", [-2.0, 0.0, 1e-4, 0.5])
def test_a_ratio_of_either_sign_covers(mean):
    """A trace that the router's term may have with either sign has an interval of everything on a logarithmic scale."""
    numbers, held = rng(3), []
    for _ in range(400):
        below = numbers.gamma(9.0, size=50)
        estimate = ratio_estimate(mean * below + numbers.normal(size=50), below)
        assert estimate.high - estimate.low < 0.2
        held.append(estimate.low <= mean <= estimate.high)
    assert 0.92 < np.mean(held) < 0.99


@pytest.mark.parametrize(("events", "given"), [(0, False), (9, False), (10, True), (40, True)])
def test_a_mean_of_few_events_has_no_interval(events, given):
    errors = np.full(500, 3e-6)
    errors[:events] = np.linspace(0.05, 1.3, events)
    assert math.isnan(heavy_mean_estimate(errors, 0.01).low) is not given
    assert heavy_mean_estimate(errors, 0.01).value == pytest.approx(errors.mean())
    assert math.isnan(heavy_ratio_estimate(errors, errors[::-1], 0.01).low) is not given


@pytest.mark.parametrize(("differing", "given"), [(0, False), (9, False), (10, True)])
def test_a_ratio_of_errors_needs_pairs_that_differ(differing, given):
    errors = np.linspace(0.1, 1, 40)
    others = np.where(np.arange(40) < differing, errors + 0.5, errors)
    assert math.isnan(heavy_ratio_estimate(others, errors, 0.01).low) is not given


def test_a_median_has_the_interval_of_order_statistics():
    values = rng().permutation(np.arange(20.0))
    assert median_estimate(values) == Estimate(9.5, 5.0, 14.0)
    assert stats.binom.cdf(14, 20, 0.5) - stats.binom.cdf(5, 20, 0.5) >= 0.95
    assert math.isnan(median_estimate(np.arange(5.0)).low)


def test_pairs_decide_by_those_that_differ():
    first, second = np.array([1, 1, 1, 0, 1, 0]) > 0, np.array([0, 1, 0, 1, 0, 0]) > 0
    assert discordant_share(first, second) == share_estimate(np.array([True, True, True, False]))
    assert math.isnan(discordant_share(first, first).value)
    a, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 1.0])
    assert smaller_share(a, b) == share_estimate(np.array([True, False]))


def test_a_rank_correlation_of_what_varies_together_without_order_is_covered():
    """Some samples are far out in both, to either side: normal theory, which covers 0.9, knows nothing of it."""
    held = 0
    for i in range(400):
        r = rng(i)
        size = np.where(r.random(100) < 0.1, 8.0, 1.0)
        estimate = spearman_estimate(size * r.normal(size=100), size * r.normal(size=100))
        held += estimate.low <= 0 <= estimate.high
    assert held >= 0.93 * 400


@pytest.mark.parametrize("share", [0.02, 0.1, 0.45])
@pytest.mark.parametrize("n", [20, 100, 1000])
def test_a_difference_of_paired_shares_is_covered_where_they_exclude_each_other(share, n):
    held, r = 0, rng(n)
    for _ in range(500):
        first = r.random(n)
        estimate = share_change(first < share, first >= 1 - share)
        held += estimate.low <= 0 <= estimate.high
    assert held >= 0.92 * 500


def test_rounding_does_not_decide_a_pair():
    nearly = 10 + 1e-9 * np.arange(60.0)
    assert math.isnan(smaller_share(np.full(60, 10.0), nearly).value)


def test_norms_that_a_few_large_ones_carry_have_no_interval_of_their_mean_and_one_of_their_median():
    """Two in a hundred are several times as large: of fifty samples a third see none, and none knows of the others."""
    for i in range(200):
        r = rng(i)
        norms = np.where(r.random(50) < 0.02, r.uniform(20, 150, 50), 9.7 * r.lognormal(0, 0.05, 50))
        assert math.isnan(norm_mean_estimate(norms).low)
        assert math.isnan(norm_ratio_estimate(norms, np.full(50, 9.7)).low)
        assert median_ratio_estimate(norms, np.full(50, 9.7)).low > 0.9
    many = np.concatenate([np.full(40, 10.0), np.linspace(30, 90, 10)])
    assert norm_mean_estimate(many).low < many.mean() < norm_mean_estimate(many).high


def test_a_p_value_of_few_trainings_is_students():
    """As if normal, 4.6 standard errors of five trainings would be one in 200,000 (two-sided); they are one in 100."""
    half = stats.t.ppf(0.975, 4)
    estimate = Estimate(4.6, 4.6 - half, 4.6 + half, freedom=4)
    assert p_of_sign(estimate) == pytest.approx(2 * stats.t.sf(4.6, 4))
    assert p_of_sign(difference(estimate, point(0.0))) == pytest.approx(2 * stats.t.sf(4.6, 4))
    wider = widened(estimate, 0.01)
    assert wider.high - wider.value == pytest.approx(stats.t.ppf(0.995, 4))
    assert log_ratio(estimate, Estimate(2.0, 1.0, 3.0, freedom=9)).freedom == 4


def test_a_test_by_dealing_has_no_smaller_p_value_than_its_deals_allow():
    selection = np.repeat(np.eye(10)[None, :1], 40, axis=0).reshape(40, 1, 10)
    tied = ties_of(lambda s: s[:, 0, 0] * 1e6, selection)
    assert p_of_sign(tied.beyond_deals) >= 1 / 500


def test_a_rank_correlation_has_the_interval_of_bonett_and_wright():
    a = rng(3).normal(size=100)
    b = a + rng(4).normal(size=100)
    estimate = spearman_estimate(a, b)
    half = 1.959964 * math.sqrt((1 + estimate.value**2 / 2) / 97)
    # The variance of the other interval, by leaving each sample out.
    left_out = np.array([spearman(np.delete(a, i), np.delete(b, i)) for i in range(100)])
    other = stats.t.ppf(0.975, 99) * 99 * left_out.std(ddof=1) / math.sqrt(100) / (1 - estimate.value**2)
    z = math.atanh(estimate.value)
    ends = math.tanh(z - max(half, other)), math.tanh(z + max(half, other))
    assert (estimate.low, estimate.high) == pytest.approx(ends, abs=2e-3)
    perfect = spearman_estimate(a, a)
    assert perfect.value == perfect.high == pytest.approx(1)
    assert perfect.low < 1
    assert math.isnan(spearman_estimate(a[:3], b[:3]).low)


def test_what_only_rounding_tells_apart_is_a_tie():
    """Pixels that never vary make many norms 1/t but for the last bits; the order of those bits is no rank."""
    noise, error = rng(5).normal(size=60), rng(6).random(60)
    nearly = np.where(np.arange(60) < 40, 10.0 * (1 + 1e-7 * noise), 11 + noise)
    tied = np.where(np.arange(60) < 40, 10.0, 11 + noise)
    assert spearman(nearly, error) == pytest.approx(spearman(tied, error), abs=1e-12)
    assert rounded(np.array([0.0, -123456.7, 3.00001e-6])).tolist() == pytest.approx([0, -123460, 3e-6])


@pytest.mark.parametrize(("events", "apart", "wider"), [(25, 1.0, 0), (10, 2.5, 1)])
def test_an_area_has_the_hull_of_delongs_interval_on_the_logit_and_of_newcombes(events, apart, wider):
    others = 100 - events
    scores = np.concatenate([rng(7).normal(apart, size=events), rng(8).normal(size=others)])
    positive = np.arange(100) < events
    estimate = auc_estimate(scores, positive)
    above = np.array([[x > y for y in scores[~positive]] for x in scores[positive]], dtype=float)
    area = above.mean()
    parts = above.mean(axis=1).var(ddof=1) / events, above.mean(axis=0).var(ddof=1) / others
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (events - 1) + parts[1] ** 2 / (others - 1))
    half = stats.t.ppf(0.975, freedom) * math.sqrt(sum(parts)) / (area * (1 - area))
    delong = [1 / (1 + math.exp(-math.log(area / (1 - area)) + side * half)) for side in (1, -1)]
    areas = np.linspace(1e-6, 1 - 1e-6, 2_000_001)
    about = 49 * ((1 - areas) / (2 - areas) + areas / (1 + areas))
    variance = areas * (1 - areas) * (1 + about) / (events * others)
    inside = areas[(area - areas) ** 2 <= stats.norm.ppf(0.975) ** 2 * variance]
    assert estimate.value == pytest.approx(area)
    assert estimate.low == pytest.approx(min(delong[0], inside.min()), abs=1e-6)
    assert estimate.high == pytest.approx(max(delong[1], inside.max()), abs=1e-6)
    assert [delong[0], inside.min()][wider] < [delong[0], inside.min()][1 - wider], "each of them counts somewhere"


def test_an_area_of_scores_that_are_apart_or_all_the_same_has_an_interval():
    apart = auc_estimate(np.arange(100.0), np.arange(100) >= 90)
    assert (apart.value, apart.high) == (1, 1)
    assert 0.6 < apart.low < 0.8
    same = auc_estimate(np.ones(100), np.arange(100) < 20)
    assert same.value == 0.5
    assert same.low < 0.4 < 0.6 < same.high


# Nulls of a selection


def selections(picks, k):
    return np.eye(k)[picks]


def test_the_null_of_swapped_selections_is_the_mean_over_all_other_samples():
    generator = rng(9)
    picks, values = generator.integers(0, 4, (12, 2)), generator.random((12, 2, 4))
    chosen = selections(picks, 4)
    swapped = [
        values[i, t] @ chosen[j, t] for i in range(12) for j in range(12) if i != j for t in range(2)
    ]  # fmt: skip
    tied = ties(chosen, values)
    observed = (values * chosen).sum(axis=2).mean()
    assert tied.null.value == pytest.approx(np.mean(swapped))
    assert tied.beyond.value == pytest.approx(observed - np.mean(swapped))
    assert tied.beyond_deals.value == pytest.approx(observed - values.mean())


def test_a_favourite_that_is_good_everywhere_is_no_alignment():
    """The mean rank is far below (K + 1) / 2 and all of it is the null."""
    generator = rng(10)
    ranks = np.tile(np.arange(1.0, 11.0), (400, 1, 1))
    picks = np.where(generator.random((400, 1)) < 0.9, 0, 5)
    tied = ties(selections(picks, 10), ranks)
    observed = tied.null.value + tied.beyond.value
    assert observed < 2
    assert tied.beyond.low <= 0 <= tied.beyond.high
    assert tied.beyond_deals.low <= 0 <= tied.beyond_deals.high


def test_a_router_that_looks_at_the_state_but_not_at_the_data_is_found_out_by_dealing():
    """Both follow the state, so swapping finds a tie in most such systems, of either sign; dealing in one of twenty."""
    swapped, dealt = 0, 0
    for seed in range(60):
        generator = rng(100 + seed)
        states, router, clusters = (generator.normal(size=shape) for shape in ((200, 5), (5, 8), (5, 8)))
        ranks = 1.0 + (states @ clusters).argsort(axis=1).argsort(axis=1)
        tied = ties(selections((states @ router).argmax(axis=1), 8)[:, None], ranks[:, None])
        swapped += not tied.beyond.low <= 0 <= tied.beyond.high
        dealt += not tied.beyond_deals.low <= 0 <= tied.beyond_deals.high
    assert swapped > 20
    assert dealt <= 7


def test_a_router_that_knows_the_clusters_passes_both():
    generator = rng(11)
    states, clusters = generator.normal(size=(200, 5)), generator.normal(size=(5, 8))
    ranks = 1.0 + (-states @ clusters).argsort(axis=1).argsort(axis=1)
    tied = ties(selections((states @ clusters).argmax(axis=1), 8)[:, None], ranks[:, None])
    assert tied.beyond.high < 0
    assert tied.beyond_deals.high < 0
