"""Samples whose captions came in turn: no distance of them has what captions differ in, as bias or as variance."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.metrics.frechet import KernelDistance
from mnist_ddm.metrics.frechet_limit import LimitDistance
from mnist_ddm.metrics.turns import jackknife_groups, strata_of, within_strata
from mnist_ddm.metrics.weighted import WeightedDistance, balanced_kernel_distance
from mnist_ddm.systems.registry import load_system

DIM, CAPTIONS, N = 5, 100, 200
ASKED = [f"caption {i % CAPTIONS}" for i in range(N)]
EVEN = torch.tensor([0.5, 0.5], dtype=torch.float64)


def rng(seed):
    return np.random.Generator(np.random.Philox(seed))


CENTRES = 2 * rng(1).normal(size=(CAPTIONS, DIM))
"""Captions differ in far more than the samples of one do."""


def samples(seed, captions):
    """Features and classes: the caption decides the class, and nine times of ten the sample shows it."""
    draw = rng(seed)
    classes = (captions + (draw.random(len(captions)) < 0.1)) % 2
    x = CENTRES[captions] + 0.5 * draw.normal(size=(len(captions), DIM)) + classes[:, None]
    return torch.from_numpy(x), torch.from_numpy(classes)


def in_turn(seed, n=N):
    return samples(seed, np.arange(n) % CAPTIONS)


REAL, OF_REAL = samples(2, rng(3).integers(0, CAPTIONS, 1000))
SHARES = OF_REAL.bincount().double() / len(OF_REAL)


def test_samples_that_were_asked_for_the_same_are_a_stratum_and_those_that_are_alone_share_one():
    assert strata_of((), 3).tolist() == [0, 0, 0]
    assert strata_of(["b", "a", "b", "a"], 4).tolist() == [1, 0, 1, 0]
    assert strata_of(["b", "a", "c", "b", "d"], 5).tolist() == [0, 1, 1, 0, 1]
    assert strata_of(["x", "y", "z"], 3).tolist() == [0, 0, 0]
    assert strata_of(["x", "y", "x"], 3).tolist() == [0, 0, 0]
    assert strata_of(["x"], 1).tolist() == [0]


def test_the_variance_of_numbers_within_strata_is_that_of_a_stratified_mean():
    values, strata = rng(4).normal(size=30) + np.arange(30) % 3 * 100, torch.arange(30) % 3
    each = [values[strata.numpy() == h] for h in range(3)]
    exact = sum((10 / 30) ** 2 * x.var(ddof=1) / 10 for x in each)
    assert within_strata(values, strata).var() / 30 == pytest.approx(exact, rel=1e-12)
    assert within_strata(values, torch.zeros(30, dtype=torch.int64)) is values


@pytest.mark.parametrize("each", [2, 3, 9, 10, 20])
def test_the_groups_of_a_jackknife_give_the_variance_of_a_stratified_mean(each):
    """Of unit variance in every stratum that of the mean is 1 / n, whatever the strata differ in."""
    strata, groups = torch.arange(12).repeat(each), 10
    kind = torch.from_numpy(rng(5).integers(0, 3, len(strata)))
    group, counting = jackknife_groups(strata, kind, groups)
    n = len(strata)
    changes = counting - 1
    for h in range(12):
        torch.testing.assert_close(changes[:, strata == h].sum(dim=1), torch.zeros(groups).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(changes.sum(dim=0), torch.zeros(n).double(), rtol=0, atol=1e-12)
    variance = (groups - 1) / groups * float(changes.square().sum()) / n**2
    assert variance == pytest.approx(1 / n, rel=1e-12)
    assert counting.min() >= 0
    assert int(group.max()) < groups


def test_without_captions_a_group_of_the_jackknife_is_left_out_and_has_its_part_of_each_kind():
    kind = torch.tensor([0] * 20 + [1] * 10)
    group, counting = jackknife_groups(torch.zeros(30, dtype=torch.int64), kind, 10)
    assert ((counting == 0) == (group == torch.arange(10)[:, None])).all()
    assert [group[kind == k].bincount().tolist() for k in (0, 1)] == [[2] * 10, [1] * 10]


def plain_kernel(fake, classes, shares, asked):
    """By plain sums: pairs that were asked for the same count as often as they should be there."""
    counts = {what: asked.count(what) for what in asked}
    sums, pairs = np.zeros((2, 2)), np.zeros((2, 2))
    for i, x in enumerate(fake):
        for j, y in enumerate(fake):
            if i != j:
                m = counts[asked[i]]
                weight = m / (m - 1) if asked[i] == asked[j] else 1.0
                cell = int(classes[i]), int(classes[j])
                sums[cell] += weight * (float(x @ y) / DIM + 1) ** 3
                pairs[cell] += weight
    own = shares.numpy() @ (sums / pairs) @ shares.numpy()
    across = [float(((fake[classes == c] @ REAL[:50].T / DIM + 1) ** 3).mean()) for c in (0, 1)]
    inside = (REAL[:50] @ REAL[:50].T / DIM + 1) ** 3
    real = float(inside.sum() - inside.diag().sum()) / (50 * 49)
    return own + real - 2 * float(shares.numpy() @ across)


def test_the_kernel_distance_of_captions_is_that_of_plain_sums():
    captions = np.arange(24) % 8
    fake, classes = samples(6, captions)
    asked = [str(c) for c in captions]
    found = balanced_kernel_distance(KernelDistance(REAL[:50]), fake, classes, EVEN, asked)
    assert found.value == pytest.approx(plain_kernel(fake, classes, EVEN, asked), rel=1e-10)
    one = torch.zeros_like(classes)
    by_class = KernelDistance(REAL[:50]).stratified(fake, one, torch.ones(1).double(), asked)
    assert KernelDistance(REAL[:50])(fake, asked).value == pytest.approx(by_class.value, rel=1e-12)


def test_captions_that_all_differ_are_no_captions():
    fake, classes = in_turn(7)
    asked = [str(i) for i in range(N)]
    kernel, weighted = KernelDistance(REAL), WeightedDistance(REAL)
    assert kernel(fake, asked).value == pytest.approx(kernel(fake).value, rel=1e-10)
    assert weighted.balanced(fake, classes, SHARES, asked) == weighted.balanced(fake, classes, SHARES)


def _kernel(fake, classes, asked):
    return KernelDistance(REAL)(fake, asked)


def _balanced_kernel(fake, classes, asked):
    return balanced_kernel_distance(KernelDistance(REAL), fake, classes, SHARES, asked)


def _balanced(fake, classes, asked):
    return WeightedDistance(REAL).balanced(fake, classes, SHARES, asked)


def _limit(fake, classes, asked):
    return LimitDistance(REAL)(fake, asked).estimate


@pytest.mark.parametrize("measure", [_kernel, _balanced_kernel, _balanced, _limit])
def test_no_distance_of_captions_in_turn_is_biased_by_what_captions_differ_in(measure):
    many, classes = in_turn(10, 10_000)
    truth = measure(many, classes, ()).value  # of which what captions differ in, over n, is nothing
    drawn = [in_turn(100 + i) for i in range(30)]
    told, plain = (np.array([measure(*x, asked).value for x in drawn]) for asked in (ASKED, ()))
    error = told.std(ddof=1) / len(told) ** 0.5
    assert abs(told.mean() - truth) < 4 * error
    assert plain.mean() < truth - 5 * error


@pytest.mark.parametrize("measure", [_balanced, _limit])
def test_the_interval_of_captions_in_turn_is_narrower_and_no_narrower_than_it_may_be(measure):
    drawn = [in_turn(200 + i) for i in range(40)]
    spread = np.std([measure(*x, ASKED).value for x in drawn])
    told, plain = (np.mean([e.high - e.low for e in (measure(*x, a) for x in drawn[:10])]) for a in (ASKED, ()))
    assert told > 3 * spread
    assert plain > 1.3 * told


@pytest.mark.parametrize("analysis", ["quality", "regime-map", "faults"])
def test_each_analysis_of_distances_is_told_the_captions(analysis, answered, monkeypatch):
    """By a system of Gaussians whose samples are said to be asked for four things in turn."""
    pool = load_system("gaussian")
    plain, told = type(pool).condition, []

    def condition(self, seeds):
        return replace(plain(self, seeds), captions=tuple(f"caption {int(seed) % 4}" for seed in seeds))

    def spied(home, name):
        original = getattr(home, name)

        def spy(self, *args):
            told.append((home, args[-1]))
            return original(self, *args)

        monkeypatch.setattr(home, name, spy)

    monkeypatch.setattr(type(pool), "condition", condition)
    spied(LimitDistance, "__call__")
    spied(WeightedDistance, "_extrapolated")
    spied(KernelDistance, "stratified")
    found = ANALYSES[analysis]
    fewer = {"temperatures": (1.0,)} if analysis == "regime-map" else {}
    answered(found, pool, replace(found.sizes.small.choosing(n=50, steps=1), **fewer))
    distances = {LimitDistance, WeightedDistance, *([] if analysis == "faults" else [KernelDistance])}
    assert {home for home, _ in told} == distances
    assert all(set(asked) == {f"caption {i}" for i in range(4)} for _, asked in told)
