r"""Frechet and kernel distances between two sets of images in the features of a named extractor.

:math:`d^2 = \lVert m_1 - m_2 \rVert^2 + \mathrm{tr}(C_1 + C_2 - 2 (C_1 C_2)^{1/2})` (Heusel et al. 2017), by
torchmetrics in float64. The kernel distance (KID, Binkowski et al. 2018) has no bias in the number of samples. Values
of different extractors cannot be compared, nor can Frechet distances of different sample sizes.
"""

import math
from collections.abc import Iterator
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from mnist_ddm.core.measures import Features
from mnist_ddm.errors import InputError
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

    def __call__(self, fake: Tensor) -> Estimate:
        """The distance of features ``(M, dim)``; NaN for fewer than two, no interval for few of either set."""
        if len(fake) < 2:
            return Estimate(float("nan"), float("nan"), float("nan"))
        fake = fake.double()
        within = _row_means(fake)
        fake_to_real, real_to_fake = self._across(fake, fake.new_full((len(fake),), 1 / len(fake)))
        value = float(within.mean() + self._rows.mean() - 2 * fake_to_real.mean())
        if min(len(fake), len(self._real)) < ENOUGH:
            return Estimate(value, math.nan, math.nan)
        return self._around(value, *mean_moves((2 * (within - fake_to_real)).numpy()), real_to_fake)

    def stratified(self, fake: Tensor, classes: Tensor, weights: Tensor) -> Estimate:
        r"""The distance of weighted samples ``(M, dim)``, with a variance within classes alone.

        Args:
            fake: features, at least two of each class that there is.
            classes: of the samples, shape ``(M,)``.
            weights: of sum 1, equal within a class, shape ``(M,)``.
        """
        itself = _itself(fake)
        within, counts = fake.new_zeros(len(fake)), classes.bincount()[classes].double()
        # Within its own class a sample is compared with the others alone, which then stand for all.
        instead = weights * counts / (counts - 1).clamp(min=1)
        for part in torch.arange(len(fake)).split(_BATCH):
            own, others = -itself[part], fake.new_zeros(len(part))
            for _, beside, pairs in _tiles(fake[part], fake):
                same = classes[part, None] == classes[beside]
                own += (pairs * same).sum(dim=1)
                others += pairs.mul_(~same) @ weights[beside]
            within[part] = others + own * instead[part]
        fake_to_real, real_to_fake = self._across(fake, weights)
        value = float(weights @ within + self._rows.mean() - 2 * weights @ fake_to_real)
        if min(len(fake), len(self._real)) < ENOUGH:
            return Estimate(value, math.nan, math.nan)
        terms, shares = within - fake_to_real, fake.new_zeros(int(classes.max()) + 1).index_add(0, classes, weights)
        moves = [float(shares[c]) * np.array(mean_moves((2 * terms[classes == c]).numpy())) for c in classes.unique()]
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
