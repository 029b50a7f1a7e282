"""Distances with the classes' shares put right: oracles of weights, and what they tell apart."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mnist_ddm.analyses import within
from mnist_ddm.analyses.quality import Quality, QualitySettings
from mnist_ddm.analyses.systems import distance_named, features_named
from mnist_ddm.analyses.within import ClassesApart, told
from mnist_ddm.errors import InputError
from mnist_ddm.metrics import real
from mnist_ddm.metrics.frechet import KernelDistance, frechet_distance
from mnist_ddm.metrics.strata import (
    balancing_weights,
    class_shares,
    classes_of,
    effective_number,
    imbalance,
    imbalance_floor,
    recall_within,
)
from mnist_ddm.metrics.weighted import WeightedDistance, balanced_kernel_distance
from mnist_ddm.stats.differences import difference
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.systems.gaussian import GaussianMeasures, load

CENTRES = torch.tensor([[0.0, 0, 0, 0], [4, 0, 0, 0], [0, 3, 0, 2]], dtype=torch.float64)
WIDTHS = torch.tensor([0.5, 1.0, 0.3], dtype=torch.float64)


def rng(seed):
    return np.random.Generator(np.random.Philox(seed))


def normal(seed, n, dim=5):
    return torch.from_numpy(rng(seed).normal(size=(n, dim)))


def mixture(seed, n, shares):
    """Vectors of three classes with these shares of draws, and the class of each."""
    random = rng(seed)
    classes = torch.from_numpy(random.choice(3, size=n, p=shares))
    return CENTRES[classes] + WIDTHS[classes, None] * torch.from_numpy(random.normal(size=(n, 4))), classes


PRIOR = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)


@pytest.mark.parametrize("dim", [1, 5, 30])
def test_equal_weights_give_the_plain_distance(dim):
    a, b = normal(1, 80, dim), 1.3 * normal(2, 50, dim) + 0.4
    plain = frechet_distance(a, b)
    assert WeightedDistance(a)(b, torch.ones(50)) == pytest.approx(plain, rel=1e-10)
    assert WeightedDistance(b)(a, torch.ones(80)) == pytest.approx(plain, rel=1e-10)


def test_weights_of_two_are_samples_taken_twice():
    a, b = normal(1, 80), 1.3 * normal(2, 50) + 0.4
    weights = torch.ones(50)
    weights[10:35] = 2
    twice = torch.cat([b, b[10:35]])
    assert WeightedDistance(a)(b, weights) == pytest.approx(frechet_distance(a, twice), rel=1e-10)
    weights[40] = 0
    assert WeightedDistance(a)(b, weights) == pytest.approx(
        frechet_distance(a, torch.cat([twice[:40], twice[41:]])), rel=1e-10
    )


def test_weights_give_classes_their_shares():
    classes = torch.tensor([0, 0, 0, 1, 2, 2])
    weights = balancing_weights(classes, PRIOR)
    assert float(weights.sum()) == pytest.approx(6, abs=1e-12)
    sums = torch.zeros(3, dtype=torch.float64).index_add(0, classes, weights)
    torch.testing.assert_close(sums / 6, PRIOR)
    assert len(weights[classes == 0].unique()) == 1
    without = balancing_weights(torch.tensor([0, 1, 1, 1]), PRIOR)
    torch.testing.assert_close(without, torch.tensor([2.5, 0.5, 0.5, 0.5], dtype=torch.float64))
    assert effective_number(torch.ones(7)) == 7
    assert effective_number(torch.tensor([1.0, 1, 1, 0])) == 3


def test_the_floor_of_the_imbalance_is_that_of_chance():
    n, draws = 37, 4000
    counts = torch.from_numpy(rng(3).multinomial(n, PRIOR.numpy(), size=draws)) / n
    found = (counts - PRIOR).abs().sum(dim=1) / 2
    assert abs(float(found.mean()) - imbalance_floor(n, PRIOR)) < 3 * float(found.std()) / math.sqrt(draws)
    assert imbalance_floor(1, torch.tensor([0.5, 0.5])) == pytest.approx(0.5, abs=1e-12)
    assert imbalance_floor(10, torch.tensor([1.0, 0.0])) == 0
    assert imbalance(torch.tensor([0, 0, 1, 1]), torch.tensor([0.5, 0.25, 0.25])) == 0.25
    assert class_shares(torch.tensor([2, 2, 0]), 4).tolist() == [1 / 3, 0, 2 / 3, 0]


def test_right_classes_in_wrong_shares_are_at_the_floor_once_the_shares_are_put_right():
    real, _ = mixture(1, 5000, PRIOR)
    fake, classes = mixture(2, 1500, [0.2, 0.1, 0.7])
    assert frechet_distance(real, fake) > 1
    right = WeightedDistance(real).balanced(fake, classes, PRIOR)
    assert abs(right.value) < min(0.02, 1.5 * (right.high - right.low) / 2)  # three standard errors
    kernel = KernelDistance(real[:2000])
    assert kernel(fake).low > 0.1
    kid = balanced_kernel_distance(kernel, fake, classes, PRIOR)
    assert abs(kid.value) < 1.5 * (kid.high - kid.low) / 2
    # And wrong classes in the right shares are not.
    moved = torch.where((classes == 1)[:, None], fake + torch.tensor([0, 0, 0, 1.0]), fake)
    wrong = WeightedDistance(real).balanced(moved, classes, PRIOR)
    assert wrong.low > 0.02


def starved(seed, rare):
    """Real states and samples of ten classes, right but that one has so few samples."""
    random = rng(seed)
    centres = 2 * random.normal(size=(10, 4))

    def drawn(counts):
        classes = np.repeat(np.arange(10), counts)
        return torch.from_numpy(centres[classes] + 0.6 * random.normal(size=(len(classes), 4))), torch.from_numpy(
            classes
        )

    return drawn([200] * 10)[0], *drawn([55] * 9 + [rare])


@pytest.mark.parametrize(("rare", "given"), [(1, False), (2, False), (3, False), (4, True), (5, True), (9, True)])
def test_a_class_of_few_samples_has_an_interval_that_holds_the_truth_or_none(rare, given):
    """To leave out all that is seen of a class, or most of it, and to extrapolate that, gave -1 for a distance of 0."""
    held, shares = [], torch.full((10,), 0.1, dtype=torch.float64)
    for seed in range(40 if given else 4):
        real, fake, classes = starved(seed, rare)
        found = WeightedDistance(real).balanced(fake, classes, shares)
        assert math.isnan(found.low) is not given
        assert -0.05 < found.value < (0.05 if given else 1.0)
        assert given or found.value > 0, "the plain value, which is too large"
        held.append(found.low <= 0 <= found.high)
    assert not given or sum(held) >= 36


def test_a_class_without_samples_can_have_no_share():
    real, fake, classes = starved(0, 0)
    shares = torch.full((10,), 0.1, dtype=torch.float64)
    assert math.isnan(WeightedDistance(real).balanced(fake, classes, shares).value)
    assert math.isnan(balanced_kernel_distance(KernelDistance(real), fake, classes, shares).value)
    nobody = torch.tensor([1 / 9] * 9 + [0.0], dtype=torch.float64)
    assert WeightedDistance(real).balanced(fake, classes, nobody).value > 0


def test_the_kernel_distance_of_one_class_is_the_plain_one_and_of_many_that_of_a_plain_sum():
    real, fake, many = normal(1, 260), 1.2 * normal(2, 30), 1.2 * normal(3, 200)
    kernel = KernelDistance(real)
    one = balanced_kernel_distance(kernel, many, torch.zeros(200, dtype=torch.int64), torch.ones(1).double())
    plain = kernel(many)
    assert (one.value, one.low, one.high) == pytest.approx((plain.value, plain.low, plain.high), rel=1e-12)
    classes = torch.arange(30) % 3
    found = balanced_kernel_distance(kernel, fake, classes, PRIOR).value

    def k(x, y):
        return (float(x @ y) / 5 + 1) ** 3

    expected = sum(k(real[i], real[j]) for i in range(260) for j in range(260) if i != j) / (260 * 259)
    for c in range(3):
        own = fake[classes == c]
        expected -= 2 * float(PRIOR[c]) * np.mean([k(x, y) for x in own for y in real])
        for d in range(3):
            others = fake[classes == d]
            pairs = [k(x, y) for i, x in enumerate(own) for j, y in enumerate(others) if (c, i) != (d, j)]
            expected += float(PRIOR[c] * PRIOR[d]) * np.mean(pairs)
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.slow
def test_the_intervals_hold_the_truth():
    """Of a distance that is 0, and of one that is known; in 95 of 100 cases, and not fewer than 88 here."""
    shares, tries = [0.6, 0.15, 0.25], 200
    centres = {"same": torch.zeros(4, dtype=torch.float64), "moved": torch.tensor([0.3, 0, 0, 0], dtype=torch.float64)}
    for move in centres.values():
        truth, held, values = float(move.square().sum()), 0, []
        for i in range(tries):
            real, _ = mixture(1000 + i, 2000, PRIOR)
            fake, classes = mixture(5000 + i, 600, shares)
            found = WeightedDistance(real).balanced(fake + move, classes, PRIOR)
            held += found.low <= truth <= found.high
            values.append(found.value)
        assert held >= 0.88 * tries
        assert abs(np.mean(values) - truth) < 4 * np.std(values) / math.sqrt(tries) + 0.002


def test_recall_within_classes_asks_for_the_same_class():
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0]]).double()
    of = torch.tensor([0, 0, 0, 1, 1])
    shares = torch.tensor([0.6, 0.4])
    assert recall_within(real, of, real, of, shares) == 1
    swapped = recall_within(real, of, real, 1 - of, shares)
    assert swapped == 0
    only = recall_within(real, of, real[:3], of[:3], shares)
    assert only == pytest.approx(0.6)
    assert math.isnan(recall_within(real[:0], of[:0], real, of, shares))


def test_a_system_without_a_classifier_has_the_clusters_of_its_embedding(monkeypatch):
    pool = load()
    assert classes_of(pool).what == "classes of the exact posterior"
    monkeypatch.setattr(GaussianMeasures, "classifier", None)
    clusters = classes_of(pool)
    assert clusters.what == "nearest centroids in the embedding 'raw'"
    states, of = pool.measures.real_states(2000)
    assert (clusters.of(states) == of).double().mean() > 0.999
    torch.testing.assert_close(clusters.shares, pool.prior, atol=0.02, rtol=0)
    monkeypatch.setattr(GaussianMeasures, "real_states", GaussianMeasures.__mro__[1].real_states)
    assert ClassesApart.known(pool, features_named(pool, "")) is None


def test_real_states_of_few_classes_are_told_apart_from_bad_ones(monkeypatch):
    for module in (real, within):
        monkeypatch.setattr(module, "HELD_OUT", 2000)
    pool = load()
    apart = ClassesApart.known(pool, features_named(pool, ""))
    states, of = pool.measures.real_states(2000, held_out=False)
    few = states[(of < 4) | (torch.arange(2000) % 4 == 0)]
    found = SimpleNamespace(**apart.measured(few, few.flatten(1).double()))
    plain = frechet_distance(apart.real.vectors, few.flatten(1).double())
    assert found.fid_balanced.low < 0 < found.fid_balanced.high
    assert found.fid_shares == pytest.approx(plain, rel=0.1)
    wrong = imbalance(apart.classes.of(few), pool.prior)
    assert found.imbalance_excess == pytest.approx(wrong - imbalance_floor(len(few), pool.prior), abs=1e-12)
    assert wrong > 0.3
    assert found.recall_within == pytest.approx(found.recall_of_real, abs=0.03)
    assert (found.missing, found.n_effective < len(few)) == (None, True)
    three = states[of < 3]
    assert apart.measured(three, three.flatten(1).double())["missing"].startswith("gaussian 3, gaussian 4")


def test_words_say_which_part_is_shares():
    def row(routing, fid, shares, balanced):
        return {"routing": routing, "fid": fid, "fid_shares": shares, "fid_balanced": Estimate(*balanced)}

    rows = [row("full", 0.2, 0.1, (0.05, 0.04, 0.06)), row("top1", 1.9, 1.75, (0.01, 0.0, 0.02))]
    rows += [row("top-p=0.9", 0.1, 0.1, (0.04, 0.03, 0.05)), row("misaligned2", 2.0, 1.0, (1.0, 0.9, 1.1))]
    paired = {("full", "top1"): Estimate(0.04, 0.03, 0.06), ("top-p=0.9", "full"): Estimate(-0.01, -0.02, -0.005)}
    (words,) = told(rows, paired)
    assert words == (
        "FID less that of full, within classes paired by noise: top1 +1.700, shares alone +1.650, within classes "
        "-0.040 [-0.060, -0.030]; top-p=0.9 -0.100, shares alone +0.000, within classes -0.010 [-0.020, -0.005]."
    )
    assert told(rows[1:], paired) == ()


def paired(seed, n, move=0.0, alike=0.9):
    """Samples of two routings from the same noise and their classes: the first starve some, and are moved."""
    random = rng(seed)
    noise, starved = torch.from_numpy(random.normal(size=(n, 4))), random.choice(3, size=n, p=[0.6, 0.15, 0.25])
    other = np.where(random.random(n) < alike, starved, random.choice(3, size=n, p=PRIOR))
    of = [torch.from_numpy(classes) for classes in (starved, other)]
    first, second = (CENTRES[classes] + WIDTHS[classes, None] * noise for classes in of)
    return first + torch.tensor([0, 0, 0, move], dtype=torch.float64), of[0], second, of[1]


def test_a_paired_difference_is_nothing_of_the_same_and_turns_round():
    real, _ = mixture(1, 2000, PRIOR)
    distance = WeightedDistance(real)
    a, of_a, b, of_b = paired(3, 400, move=0.5)
    same = distance.balanced_difference(a, of_a, a, of_a, PRIOR)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    one, other = (
        distance.balanced_difference(a, of_a, b, of_b, PRIOR),
        distance.balanced_difference(b, of_b, a, of_a, PRIOR),
    )
    assert other.value == pytest.approx(-one.value, rel=0.05)
    apart = distance.balanced(a, of_a, PRIOR), distance.balanced(b, of_b, PRIOR)
    assert one.value == pytest.approx(apart[0].value - apart[1].value, abs=0.02)
    with pytest.raises(InputError, match="as many of both, not 400 and 399"):
        distance.balanced_difference(a, of_a, b[:-1], of_b[:-1], PRIOR)


def test_pairing_by_noise_makes_a_difference_narrower():
    real, _ = mixture(1, 2000, PRIOR)
    distance = WeightedDistance(real)
    widths = []
    for seed in range(12):
        a, of_a, b, of_b = paired(seed, 400, move=0.2)
        own = [distance.balanced(x, of, PRIOR) for x, of in ((a, of_a), (b, of_b))]
        one, other = distance.balanced_difference(a, of_a, b, of_b, PRIOR), difference(*own)
        widths.append((one.high - one.low) / (other.high - other.low))
    assert np.median(widths) < 0.9


def test_a_paired_difference_is_not_told_where_one_of_the_two_cannot_be():
    real, _ = mixture(1, 2000, PRIOR)
    distance = WeightedDistance(real)
    a, of_a, b, of_b = paired(3, 400)
    lacking = torch.where(of_b == 1, 0, of_b)
    assert math.isnan(distance.balanced_difference(a, of_a, b, lacking, PRIOR).value)
    few = torch.where((of_b == 1) & ((of_b == 1).cumsum(0) > 3), 0, of_b)
    found = distance.balanced_difference(a, of_a, b, few, PRIOR)
    assert (math.isnan(found.value), math.isnan(found.low)) == (False, True)


def test_a_paired_difference_has_no_interval_where_a_group_takes_most_of_a_class():
    """Groups are of samples, which lie in two divisions at once: of four of a class three can meet in one."""
    real, _ = mixture(1, 2000, PRIOR)
    first = torch.tensor([0] * 136 + [1] * 132 + [2] * 132)
    second = torch.tensor([0] * 40 + [1] * 2 + [2] * 94 + ([0] * 40 + [1] + [2] * 91) * 2)
    vectors, _ = mixture(2, 400, PRIOR)
    distance = WeightedDistance(real)
    assert math.isfinite(distance.balanced(vectors, second, PRIOR).low)
    found = distance.balanced_difference(vectors, first, vectors, second, PRIOR)
    assert (math.isfinite(found.value), math.isnan(found.low)) == (True, True)
    spread = torch.arange(400) % 3
    assert math.isfinite(distance.balanced_difference(vectors, first, vectors, spread, PRIOR).low)


def test_each_routing_is_paired_with_full_within_classes_as_well(answered):
    """That dropping the last tenth of the weight changes little within classes needs a paired difference."""
    settings = QualitySettings(n=120, steps=3, routings=("full", "top-p=0.9", "top2", "top1"))
    tables = {table.name: table for table in answered(Quality(), load(), settings).tables}
    rows = {(row["routing"], row["than"]): row["fid_balanced_difference"] for row in tables["quality-differences"].rows}
    assert {("top-p=0.9", "full"), ("top-p=0.9", "top2"), ("full", "top2")} <= rows.keys()
    within = {row["routing"]: row["fid_balanced"] for row in tables["quality-within-classes"].rows}
    apart = rows["top-p=0.9", "full"]
    assert math.isnan(apart.value) == (math.isnan(within["top-p=0.9"].value) or math.isnan(within["full"].value))
    assert any("top-p=0.9" in note and "within classes" in note for note in tables["quality-within-classes"].notes)


@pytest.mark.parametrize(("asked", "member"), [(distance_named, "distances"), (features_named, "frechet_features")])
def test_a_system_without_any_distance_or_features_is_told_so(monkeypatch, asked, member):
    pool = load()
    monkeypatch.setattr(type(pool.measures), member, property(lambda self: {}))
    with pytest.raises(InputError, match="has no"):
        asked(pool, "")
