r"""The Frechet distance of infinitely many samples, from a few, with an interval.

A FID of n samples is larger than that of infinitely many by about c / n (Chong and Forsyth 2020), which compares
systems of different n wrongly and hides small distances. With :math:`F_n` of all samples and :math:`F_{n/2}`, the mean
over random halves and their complements, the extrapolation :math:`E = 2 F_n - F_{n/2}` is free of that term.

Its variance has two parts. The linear one is that of the influence of a sample (delta method): with the mean m and
covariance C of the samples, those of the real ones r, and the transport :math:`T = C_r^{1/2} (C_r^{1/2} C
C_r^{1/2})^{-1/2} C_r^{1/2}`,

.. math:: \phi(x) = 2 (m - m_r) \cdot (x - m) + (x - m)^T (1 - T) (x - m) - \mathrm{const},

of variance :math:`\operatorname{var} \phi / n`; it vanishes where the distributions agree. What is left there is the
sum over pairs of samples. A random half and its complement keep half of all pairs, and the variance of that choice
alone is that of the sum itself, so the spread of the halves' means over the splits estimates it. `tests/coverage`
measures the intervals.

Where samples are asked for something each, such as the captions of a list in turn, they are no independent draws
(`turns.py`): a list that comes round twice is twice whole. A random half of it is not, and its distance is too large by
what captions differ in. So halves share out evenly the samples of a caption, and the variance of the influence is that
among the samples of one. Of a list that did not come round twice nothing can be shared out, and E is too small by what
captions differ in, over n.

The real samples are taken as they are: the distance is to them, not to the distribution that they were drawn from.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_ddm.core.noise import Purpose, generator
from mnist_ddm.metrics.turns import strata_of, within_strata
from mnist_ddm.stats.intervals import LEVEL, Estimate
from mnist_ddm.stats.quantiles import normal_quantile

SPLITS = 10
_SEED = 20200210
"""The halves are the same every time, so that two routings are split alike; the seed only has to be fixed."""
_NORMAL = normal_quantile((1 + LEVEL) / 2)
_FEWEST = 50
"""With 20 samples in 8 dimensions 95% were 90%."""
_SMALLEST = 1e-12
"""Of the largest eigenvalue: what is below is a direction in which the samples do not vary."""

_ROUNDING = 1e-7
"""Of a distance: states are float32, and so much is all that rounding them does to it."""


@final
@dataclass(frozen=True)
class FrechetLimit:
    """The distance of infinitely many samples as some of them tell it.

    Attributes:
        value: may be below 0, as an estimate without bias near 0 must be.
        influence: of each sample, shape ``(n,)``; where samples were asked for something, beyond what was asked.
        halves: the mean distance of both halves of each split, shape ``(SPLITS,)``.
    """

    value: float
    influence: NDArray[np.float64]
    halves: NDArray[np.float64]

    @property
    def estimate(self) -> Estimate:
        """With its 95% interval."""
        return _normal(self.value, self.influence, self.halves)

    def minus(self, other: "FrechetLimit") -> Estimate:
        """The difference to that of as many other samples, paired: sample i of both started from the same noise."""
        apart = _normal(self.value - other.value, self.influence - other.influence, self.halves - other.halves)
        # What is alike but for rounding, as two names of one field are, does not differ.
        noise = _ROUNDING * float(np.abs(self.halves).max())
        return Estimate(apart.value, apart.low - noise, apart.high + noise) if 0 < abs(apart.value) <= noise else apart


@final
class LimitDistance:
    """The Frechet distance of infinitely many samples to one set of real feature vectors."""

    def __init__(self, real: Tensor) -> None:
        """Take real features ``(N, dim)``, at least two."""
        self._mean, self._covariance = _moments(real.double())
        self._root = _root(self._covariance)

    def enough(self, n: int) -> bool:
        """Whether so many samples can be extrapolated: each half must be able to vary in every direction."""
        return n >= _FEWEST and n // 2 > len(self._mean)

    def __call__(self, fake: Tensor, asked: Sequence[str] = ()) -> FrechetLimit | None:
        """The limit from features ``(n, dim)``; ``None`` if they are too few, see `enough`.

        Args:
            fake: of the samples.
            asked: what each of them was asked to be, such as its caption; nothing if they were not asked.
        """
        n, fake = len(fake), fake.double()
        if not self.enough(n):
            return None
        mean, covariance = _moments(fake)
        distance, transport = self._distance(mean, covariance)
        centred = fake - mean
        moved = centred - centred @ transport
        influence = 2 * centred @ (mean - self._mean) + (moved * centred).sum(dim=1)
        strata = strata_of(asked, n)
        halves = [self._half_distance(fake, order) for order in _orders(strata)]
        value = 2 * distance - float(np.mean(halves))
        return FrechetLimit(value, within_strata(influence.numpy(), strata), np.asarray(halves))

    def _half_distance(self, fake: Tensor, order: Tensor) -> float:
        half = len(order) // 2
        return sum(self._distance(*_moments(fake[rows]))[0] for rows in (order[:half], order[half : 2 * half])) / 2

    def _distance(self, mean: Tensor, covariance: Tensor) -> tuple[float, Tensor]:
        """The distance of normal distributions, and the transport from the first to the real one."""
        values, vectors = torch.linalg.eigh(self._root @ covariance @ self._root)
        values = values.clamp(min=0)
        apart = (mean - self._mean).square().sum() + covariance.trace() + self._covariance.trace()
        kept = values > _SMALLEST * values.max()
        inverse = torch.where(kept, values, 1.0).rsqrt() * kept
        transport = self._root @ (vectors * inverse) @ vectors.T @ self._root
        return float(apart - 2 * values.sqrt().sum()), transport


def _normal(value: float, influence: NDArray[np.float64], halves: NDArray[np.float64]) -> Estimate:
    variance = float(influence.var(ddof=1)) / len(influence) + float(halves.var(ddof=1))
    half = _NORMAL * math.sqrt(variance)
    return Estimate(value, value - half, value + half)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(dim=0), torch.cov(x.T).reshape(x.shape[1], x.shape[1])


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


def _orders(strata: Tensor) -> list[Tensor]:
    """Samples in random orders, whose first and second half have as many of each stratum."""
    n = len(strata)
    rng = generator(_SEED, Purpose.RESAMPLE, n)
    orders = [rng.permutation(n) for _ in range(SPLITS)]
    if int(strata.max()) == 0:
        return [torch.from_numpy(order) for order in orders]
    groups = strata.numpy()
    alike = [order[np.argsort(rng.permutation(n)[groups[order]], kind="stable")] for order in orders]
    return [torch.from_numpy(np.concatenate([order[0::2], order[1::2]])) for order in alike]
