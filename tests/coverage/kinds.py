"""Data as analyses see them, with the truth known: what each kind of interval is held against."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from captioned import Captioned
from mixture import EVEN, UNEVEN, Mixture
from scipy import stats

from mnist_ddm.metrics.calibration import calibration_estimate
from mnist_ddm.stats.differences import difference
from mnist_ddm.stats.intervals import (
    Estimate,
    auc_estimate,
    bootstrap_batched,
    bounded_mean_estimate,
    mean_estimate,
    ratio_estimate,
    share_estimate,
    spearman_estimate,
)
from mnist_ddm.stats.levels import over_trainings
from mnist_ddm.stats.permutation import ties
from mnist_ddm.stats.shares import discordant_share, share_change, smaller_share
from mnist_ddm.stats.tails import (
    heavy_mean_estimate,
    heavy_ratio_estimate,
    median_estimate,
    median_ratio_estimate,
    norm_mean_estimate,
    norm_ratio_estimate,
)

Draw = Callable[[np.random.Generator, int], Estimate]
EVENT = 0.01
_BODY, _TAIL = 3e-6, (0.05, 1.3)
"""A refinement error: nearly always nothing, now and then anything from hardly visible to another image."""


@dataclass(frozen=True)
class Kind:
    """One kind of interval on one kind of data.

    Attributes:
        interval: what it is an interval of.
        data: in words.
        draw: an estimate from n new samples.
        truth: what it should cover.
        null: a value that it should exclude, if any: the power.
        slow: it resamples, so it is drawn less often.
    """

    interval: str
    data: str
    draw: Draw
    truth: float
    null: float | None = None
    slow: bool = False


def errors(rng, n, p):
    tail = rng.random(n) < p
    return np.where(tail, rng.uniform(*_TAIL, n), _BODY * rng.lognormal(0, 0.5, n))


def pair_of_errors(rng, n, p, q):
    """Of two routings from the same noise: every event of the rarer one is one of the other too."""
    first = rng.random(n)
    body = _BODY * rng.lognormal(0, 0.5, (2, n))
    return tuple(np.where(first < share, rng.uniform(*_TAIL, n), body[i]) for i, share in enumerate((p, q)))


def _error_mean(p):
    return p * sum(_TAIL) / 2 + (1 - p) * _BODY * math.exp(0.125)


_NORM = 9.7
_EVERY = 0.675
"""The mean of errors that are uniform over `_TAIL`."""


def _nearly_equal(rng, n):
    """Two routings that come to the same image but where one of them crosses a switch."""
    second = rng.uniform(*_TAIL, n)
    return np.where(rng.random(n) < 0.05, 0.05, second), second


def _correlated(rng, n, r):
    a = rng.normal(size=n)
    return a, r * a + math.sqrt(1 - r * r) * rng.normal(size=n)


def _auc(rng, n, apart, positives):
    positive = np.arange(n) < positives(n)
    return auc_estimate(rng.normal(size=n) + apart * positive, positive)


def _calibration(rng, n, flatter):
    confidence = rng.uniform(0.1, 0.9, n)
    return calibration_estimate(confidence, (rng.random(n) < 0.5 + flatter * (confidence - 0.5)).astype(float))


def _nearly_sure(rng, n, mean):
    """Of a router whose confidence comes true, and is nearly always near 1."""
    confidence = np.clip(1 - rng.exponential(1 - mean, n), 0.1, 1)
    return calibration_estimate(confidence, (rng.random(n) < confidence).astype(float))


def _norms_of_two(rng, n):
    """Norms of two routings, one 2.5 times as large and with rare large ones, the other with frequent ones."""
    first, second = rng.lognormal(0, 0.05, (2, n))
    return 25 * first * np.where(rng.random(n) < 0.003, 20, 1), 10 * second * np.where(rng.random(n) < 0.1, 4, 1)


def _tied(rng, n, strength):
    """Selections that follow the values with some strength; the truth is the mean of what that brings."""
    values = rng.normal(size=(n, 1, 8))
    chosen = np.where(rng.random((n, 1)) < strength, values.argmax(axis=2), rng.integers(0, 8, (n, 1)))
    return ties(np.eye(8)[chosen], values).beyond


def _range(values):
    return np.subtract(*np.quantile(values, [0.75, 0.25], axis=-1))


_MOVED = 0.3
"""How far one of two sets of samples is from the real ones, in one dimension."""

_LARGEST_OF_8 = 1.42360030604
"""The mean of the largest of eight standard normal numbers."""
_MAXIMUM = float(
    np.mean(np.random.Generator(np.random.Philox(1)).lognormal(2.5, 0.3, (400_000, 9)).max(axis=1))  # by simulation
)


def _kinds():
    yield Kind("mean", "normal", lambda r, n: mean_estimate(r.normal(1, 1, n)), 1.0, 0.0)
    yield Kind("mean", "exponential", lambda r, n: mean_estimate(r.exponential(size=n)), 1.0)
    yield Kind("mean", "lognormal, sigma 1", lambda r, n: mean_estimate(r.lognormal(0, 1, n)), math.exp(0.5))
    yield Kind(
        "mean",
        "difference of lognormal pairs",
        lambda r, n: mean_estimate(-np.diff(r.lognormal(0, 1, (2, n)), axis=0)[0]),
        0.0,
    )
    yield Kind(
        "mean", "maximum of nine norms", lambda r, n: mean_estimate(r.lognormal(2.5, 0.3, (n, 9)).max(axis=1)), _MAXIMUM
    )
    yield Kind(
        "bounded mean",
        "three shares of 0.97 each",
        lambda r, n: bounded_mean_estimate((r.random((n, 3)) < 0.97).mean(axis=1), 0.0, 1.0),
        0.97,
    )
    for spread, text in ((0.0, "all alike"), (0.3, "0.3 sd apart")):
        yield Kind("mean over five trainings", text, lambda r, n, s=spread: _trained(r, n, s), 0.0)
    for p in (0.02, 0.04, 0.1, 0.3):
        yield Kind(
            "mean of events",
            f"refinement error, {p:g} visible",
            lambda r, n, p=p: heavy_mean_estimate(errors(r, n, p), EVENT),
            _error_mean(p),
        )
    yield Kind(
        "median",
        "refinement error, 0.1 visible",
        lambda r, n: median_estimate(errors(r, n, 0.1)),
        _BODY * math.exp(0.5 * stats.norm.ppf(0.5 / 0.9)),
    )
    yield Kind("ratio of means", "norms of two routings", lambda r, n: _norm_ratio(r, n), math.exp(0.1), 1.0)
    yield Kind(
        "ratio of means of norms",
        "0.003 large of one, 0.1 of the other",
        lambda r, n: norm_ratio_estimate(*_norms_of_two(r, n)),
        25 * (1 + 19 * 0.003) / (10 * (1 + 3 * 0.1)),
    )
    for p in (0.01, 0.02, 0.1):
        mean = p * 85 + (1 - p) * _NORM * math.exp(0.05**2 / 2)
        yield Kind("mean of norms", f"{p:g} large", lambda r, n, p=p: norm_mean_estimate(_norms(r, n, p)), mean)
        yield Kind(
            "ratio of means of norms",
            f"{p:g} large, of both",
            lambda r, n, p=p: norm_ratio_estimate(_norms(r, n, p), _norms(r, n, p)),
            1.0,
        )
        yield Kind(
            "median of ratios",
            f"norms, {p:g} large, of both",
            lambda r, n, p=p: median_ratio_estimate(_norms(r, n, p), _norms(r, n, p)),
            1.0,
        )
    for p, q in ((0.02, 0.04), (0.1, 0.2), (0.04, 0.04)):
        truth = _error_mean(p) / _error_mean(q)
        yield Kind(
            "ratio of means of events",
            f"refinement errors, {p:g} and {q:g} visible",
            lambda r, n, p=p, q=q: heavy_ratio_estimate(*pair_of_errors(r, n, p, q), EVENT),
            truth,
            None if p == q else 1.0,
        )
    yield Kind(
        "ratio of means of events",
        "all visible, equal but in 0.05 of the samples",
        lambda r, n: heavy_ratio_estimate(*_nearly_equal(r, n), EVENT),
        (0.05 * 0.05 + 0.95 * _EVERY) / _EVERY,
        1.0,
    )
    yield Kind(
        "difference of two means",
        "lognormal, sigma 0.5, independent",
        lambda r, n: difference(mean_estimate(r.lognormal(0.3, 0.5, n)), mean_estimate(r.lognormal(0, 0.5, n))),
        math.exp(0.125) * (math.exp(0.3) - 1),
        0.0,
    )
    for p in (0.01, 0.05, 0.5, 0.99):
        yield Kind("share", f"{p:g}", lambda r, n, p=p: share_estimate(r.random(n) < p), p)
    yield Kind("McNemar", "0.04 and 0.1 visible", lambda r, n: _discordant(r, n), 1.0, 0.5)
    yield Kind("difference of paired shares", "0.04 and 0.1 visible", lambda r, n: _changed(r, n), -0.06, 0.0)
    for share in (0.02, 0.1, 0.45):
        yield Kind(
            "difference of paired shares",
            f"{share:g} each, never both",
            lambda r, n, s=share: _exclusive(r, n, s),
            0.0,
        )
    yield Kind(
        "sign test",
        "0.6 smaller",
        lambda r, n: smaller_share(r.normal(size=n), np.full(n, stats.norm.ppf(0.6))),
        0.6,
        0.5,
    )
    for rho in (0.0, 0.3, 0.7):
        truth = 6 / math.pi * math.asin(rho / 2)
        yield Kind(
            "Spearman",
            f"normal, r = {rho:g}",
            lambda r, n, rho=rho: spearman_estimate(*_correlated(r, n, rho)),
            truth,
            0.0 if rho else None,
        )
    yield Kind(
        "Spearman",
        "heavy against normal, independent",
        lambda r, n: spearman_estimate(r.normal(size=n), errors(r, n, 0.04)),
        0.0,
    )
    for share in (0.1, 0.3):
        yield Kind(
            "Spearman",
            f"{share:g} of the samples far out in both, to either side",
            lambda r, n, s=share: spearman_estimate(*_together(r, n, s)),
            0.0,
        )
    for apart in (0.0, 0.5, 1.5, 2.5):
        truth = float(stats.norm.cdf(apart / math.sqrt(2)))
        null = 0.5 if apart else None
        yield Kind(
            "AUC",
            f"a quarter positive, {apart:g} sd apart",
            lambda r, n, a=apart: _auc(r, n, a, lambda n: n // 4),
            truth,
            null,
        )
        yield Kind(
            "AUC", f"10 positives, {apart:g} sd apart", lambda r, n, a=apart: _auc(r, n, a, lambda n: 10), truth, null
        )
    for flatter in (1.0, 0.9, 0.7):
        truth = (1 - flatter) * math.sqrt(0.8**2 / 12 * (1 - 1 / 15**2))
        yield Kind(
            "calibration error",
            f"confidence {1 / flatter:.2f} times too far from a half",
            lambda r, n, f=flatter: _calibration(r, n, f),
            truth,
            None if flatter == 1 else 0.0,
        )
    for mean in (0.99, 0.999):
        what = f"a confidence of {mean:g} that comes true"
        yield Kind("calibration error", what, lambda r, n, m=mean: _nearly_sure(r, n, m), 0.0)
    for strength in (0.0, 0.3):
        yield Kind(
            "beyond swapped selections",
            f"following in {strength:g} of the samples",
            lambda r, n, s=strength: _tied(r, n, s),
            strength * _LARGEST_OF_8,
            0.0 if strength else None,
        )
    for dim in (8, 64):
        yield from _of_mixture(dim)
    yield from _of_captions(8)
    truth = float(np.subtract(*stats.gamma.ppf([0.75, 0.25], 4)))
    yield Kind(
        "interquartile range", "gamma", lambda r, n: bootstrap_batched(_range, r.gamma(4.0, size=n)), truth, slow=True
    )


def _of_mixture(dim):
    of, what = Mixture(dim), f"{dim} dimensions"
    even, uneven = of.truth(EVEN), of.truth(UNEVEN)
    for name, shares, truth in (("no better than real", EVEN, even), ("starved classes", UNEVEN, uneven)):
        yield Kind(
            "FID of infinitely many",
            f"{what}, {name}",
            lambda r, n, s=shares: of.limit(r, n, s),
            truth,
            None if shares is EVEN else even,
            slow=True,
        )
    yield Kind(
        "difference of FIDs of infinitely many",
        f"{what}, starved and not, from the same noise",
        lambda r, n: of.limit(r, n, UNEVEN, EVEN),
        uneven - even,
        0.0,
        slow=True,
    )
    for name, shares in (("no better than real", EVEN), ("starved classes", UNEVEN)):
        yield Kind(
            "kernel distance",
            f"{what}, {name}",
            lambda r, n, s=shares: of.kernel(r, n, s),
            of.kernel_truth(shares),
            None if shares is EVEN else 0.0,
            slow=True,
        )
    yield Kind(
        "FID with the shares put right",
        f"{what}, starved classes",
        lambda r, n: of.balanced(r, n, UNEVEN),
        0.0,
        slow=True,
    )
    for move, name in ((0.0, "no better than even ones"), (_MOVED, "moved, and even ones"))[dim > 8 :]:
        yield Kind(
            "difference of FIDs with the shares put right",
            f"{what}, starved classes {name}, from the same noise",
            lambda r, n, move=move: of.balanced_difference(r, n, move),
            move**2,
            0.0 if move else None,
            slow=True,
        )


def _of_captions(dim):
    of, what = Captioned(dim), f"{dim} dimensions, captions in turn, each twice"
    moved = f"{what}, of moved samples"
    yield Kind("FID of infinitely many", what, of.limit, 0.0, slow=True)
    yield Kind(
        "difference of FIDs of infinitely many",
        f"{moved} and others, from the same noise",
        of.limit_difference,
        0.0,
        slow=True,
    )
    yield Kind("kernel distance", what, of.kernel, 0.0, slow=True)
    for move, name in ((0.0, what), (_MOVED, moved)):
        yield Kind("FID with the shares put right", name, lambda r, n, m=move: of.balanced(r, n, m), move**2, slow=True)


def _trained(rng, n, spread):
    """What five trainings say of a mean, from n samples of each."""
    return over_trainings([mean_estimate(rng.normal(centre, 1, n)) for centre in rng.normal(0, spread, 5)]).estimate


def _norms(rng, n, p):
    """Nearly always the same, and several times as large where a trajectory meets a switch."""
    return np.where(rng.random(n) < p, rng.uniform(20, 150, n), _NORM * rng.lognormal(0, 0.05, n))


def _together(rng, n, share):
    size = np.where(rng.random(n) < share, 8.0, 1.0)
    return size * rng.normal(size=n), size * rng.normal(size=n)


def _exclusive(rng, n, share):
    first = rng.random(n)
    return share_change(first < share, first >= 1 - share)


def _norm_ratio(rng, n):
    common = rng.lognormal(2.5, 0.3, n)
    return ratio_estimate(common * rng.lognormal(0.1, 0.2, n), common * rng.lognormal(0, 0.2, n))


def _discordant(rng, n):
    first = rng.random(n)
    return discordant_share(first < 0.1, first < 0.04)


def _changed(rng, n):
    first = rng.random(n)
    return share_change(first < 0.04, first < 0.1)


KINDS = tuple(_kinds())
