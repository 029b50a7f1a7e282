r"""Frechet and kernel distances between two sets of images in the features of a named extractor.

:math:`d^2 = \lVert m_1 - m_2 \rVert^2 + \mathrm{tr}(C_1 + C_2 - 2 (C_1 C_2)^{1/2})` (Heusel et al. 2017), by
torchmetrics in float64. The kernel distance (KID, Binkowski et al. 2018) has no bias in the number of samples. Values
of different extractors cannot be compared, nor can Frechet distances of different sample sizes.
"""

import math
from collections.abc import Iterator, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from mnist_ddm.core.measures import Features
from mnist_ddm.errors import InputError
from mnist_ddm.metrics.turns import strata_of, within_strata
from mnist_ddm.stats.intervals import LEVEL, Estimate, mean_moves
from mnist_ddm.stats.quantiles import normal_quantile

_BATCH = 512
_LARGEST = 1e70
"""Of a feature: the product of two covariances has its fourth power."""
ENOUGH = 200
"""Samples for an interval of the kernel distance."""
_NORMAL = normal_quantile((1 + LEVEL) / 2)
_WIDEST = 10_240
"""So many vectors are compared with `_BATCH` others at once, which limits memory; up to it sums have one order."""


@final
class _Identity(nn.Module):
    """Features in, features out: extraction happens before, once for each set."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


@torch.no_grad()
def extract(features: Features, images: Tensor) -> Tensor:
    """Features of many images, in batches; float64, shape ``(N, dim)``."""
    return torch.cat([features(batch).cpu().double() for batch in images.split(_BATCH)])


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The Frechet distance of two sets of feature vectors ``(N, dim)`` and ``(M, dim)``.

    Raises:
        InputError: if a set has fewer than two vectors, one that is not finite, or one of numbers above 1e70.
    """
    if min(len(a), len(b)) < 2:
        raise InputError("a Frechet distance needs at least two samples in each set")
    if not (a.isfinite().all() and b.isfinite().all()):
        raise InputError(
            "a Frechet distance was asked of features that are not finite; is the feature extractor whole?"
        )
    if max(float(a.abs().max()), float(b.abs().max())) > _LARGEST:
        raise InputError(
            f"a Frechet distance was asked of features above {_LARGEST:g}, whose products are none; scale them"
        )
    from torchmetrics.image.fid import FrechetInceptionDistance  # which takes seconds

    metric = FrechetInceptionDistance(feature=_Identity(a.shape[1]), normalize=True).set_dtype(torch.float64)
    metric.update(a.double(), real=True)
    metric.update(b.double(), real=False)
    return max(0.0, float(metric.compute()))  # a distance of equal sets may round to just below 0


@final
class KernelDistance:
    r"""The kernel distance to one set of real feature vectors.

    The squared maximum mean discrepancy with the kernel :math:`k(x, y) = (x \cdot y / d + 1)^3`, as its unbiased
    estimate over all pairs, a tile of them at a time; it may be negative. The interval is that of the first-order
    terms of a two-sample U-statistic (Serfling 1980, chapter 5), of the samples' as of a mean (`stats/intervals.py`);
    near 0 it is only approximate. A cube is led by the rarest samples, so of fewer than `ENOUGH` it is not given: it
    would miss a distance that such samples make more than one time in ten (`tests/coverage`).
    """

    def __init__(self, real: Tensor) -> None:
        """Take real features ``(N, dim)``.

        Raises:
            InputError: if there are fewer than two.
        """
        if len(real) < 2:
            raise InputError("a kernel distance needs at least two samples in each set")
        self._real = real.double()
        self._rows = _row_means(self._real)

    def __call__(self, fake: Tensor, asked: Sequence[str] = ()) -> Estimate:
        """The distance of features ``(M, dim)``; NaN for fewer than two, no interval for few of either set.

        Args:
            fake: of the samples.
            asked: what each of them was asked to be, such as its caption; nothing if they were not asked.
        """
        if len(fake) < 2:
            return Estimate(float("nan"), float("nan"), float("nan"))
        fake = fake.double()
        if asked:
            return self.stratified(fake, torch.zeros(len(fake), dtype=torch.int64), fake.new_ones(1), asked)
        within = _row_means(fake)
        fake_to_real, real_to_fake = self._across(fake, fake.new_full((len(fake),), 1 / len(fake)))
        value = float(within.mean() + self._rows.mean() - 2 * fake_to_real.mean())
        if min(len(fake), len(self._real)) < ENOUGH:
            return Estimate(value, math.nan, math.nan)
        return self._around(value, *mean_moves((2 * (within - fake_to_real)).numpy()), real_to_fake)

    def stratified(self, fake: Tensor, classes: Tensor, shares: Tensor, asked: Sequence[str] = ()) -> Estimate:
        r"""The distance of samples ``(M, dim)`` whose classes are given their shares, with a variance within classes.

        .. math:: \sum_{c, d} \pi_c \pi_d \bar k_{cd} + \bar k_{rr} - 2 \sum_c \pi_c \bar k_{cr}

        with means over pairs of different samples. Pairs that were asked for the same are fewer than they should be,
        since a sample makes no pair with itself; each of them counts :math:`n_h / (n_h - 1)` times (`turns.py`).

        Args:
            fake: features, at least two of each class that has a share.
            classes: of the samples, shape ``(M,)``.
            shares: of the classes, of sum 1, shape ``(C,)``.
            asked: what each sample was asked to be, such as its caption; nothing if they were not asked.
        """
        strata, n_classes = strata_of(asked, len(fake)), len(shares)
        alike = strata.bincount().double()
        times, member = alike / (alike - 1), one_hot(classes, n_classes).double()
        cells = (strata * n_classes + classes).bincount(minlength=len(alike) * n_classes).view(-1, n_classes).double()
        counts = cells.sum(dim=0)
        pairs = counts.outer(counts) + cells.T @ ((times - 1)[:, None] * cells) - (cells.T @ times).diag()
        sums = -times[strata, None] * _itself(fake)[:, None] * member
        for part in torch.arange(len(fake)).split(_BATCH):
            for _, beside, kernel in _tiles(fake[part], fake):
                same = strata[part, None] == strata[beside]
                sums[part] += kernel.mul_(torch.where(same, times[strata[part], None], 1.0)) @ member[beside]
        each = torch.where(pairs > 0, shares / pairs.clamp(min=1), 0) * counts[:, None]
        within, weights = (sums * each[classes]).sum(dim=1), (shares / counts.clamp(min=1))[classes]
        fake_to_real, real_to_fake = self._across(fake, weights)
        value = float(weights @ within + self._rows.mean() - 2 * weights @ fake_to_real)
        if min(len(fake), len(self._real)) < ENOUGH:
            return Estimate(value, math.nan, math.nan)
        terms = within - fake_to_real
        terms -= ((member.T @ terms) / counts.clamp(min=1))[classes]
        inside = torch.from_numpy(within_strata(terms.numpy(), strata))
        moves = [float(shares[c]) * np.array(mean_moves((2 * inside[classes == c]).numpy())) for c in classes.unique()]
        low, high = np.hypot.reduce(moves)
        return self._around(value, float(low), float(high), real_to_fake)

    def _around(self, value: float, low: float, high: float, real_to_fake: Tensor) -> Estimate:
        """The distance with the ends of the samples' interval, from it, and what the real vectors add to them."""
        real = _NORMAL * 2 * math.sqrt(float((self._rows - real_to_fake).var()) / len(self._real))
        return Estimate(value, value - math.hypot(low, real), value + math.hypot(high, real))

    def _across(self, fake: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Each sample's mean kernel to the real vectors, and each of those' weighted mean to the samples."""
        to_real, to_fake = fake.new_zeros(len(fake)), fake.new_zeros(len(self._real))
        for some, part, pairs in _tiles(fake, self._real, high=True):
            to_real[some] += pairs.sum(dim=1)
            to_fake[part] += weights[some] @ pairs
        return to_real / len(self._real), to_fake


def _itself(x: Tensor) -> Tensor:
    return (x.square().sum(dim=1) / x.shape[1] + 1) ** 3


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T).div_(a.shape[1]).add_(1).pow_(3)


def _tiles(a: Tensor, b: Tensor, *, high: bool = False) -> Iterator[tuple[slice, slice, Tensor]]:
    """The kernel of all pairs, in wide or high tiles: which of ``a``, which of ``b``, and their table."""
    tall, wide = (_WIDEST, _BATCH) if high else (_BATCH, _WIDEST)
    for i in range(0, len(a), tall):
        for j in range(0, len(b), wide):
            rows, columns = slice(i, i + tall), slice(j, j + wide)
            yield rows, columns, _kernel(a[rows], b[columns])


def _row_means(x: Tensor) -> Tensor:
    """For each vector the mean kernel to all the others, shape ``(N,)``."""
    sums = x.new_zeros(len(x))
    for rows, _, pairs in _tiles(x, x):
        sums[rows] += pairs.sum(dim=1)
    return (sums - _itself(x)) / (len(x) - 1)
