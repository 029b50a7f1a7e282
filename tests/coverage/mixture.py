"""Features of images in ten classes, as a mixture of Gaussians, whose distances to real ones are known exactly."""

import math

import numpy as np
import torch
from scipy import linalg

from mnist_ddm.metrics.frechet import KernelDistance
from mnist_ddm.metrics.frechet_limit import LimitDistance
from mnist_ddm.metrics.weighted import WeightedDistance
from mnist_ddm.stats.intervals import Estimate

CLASSES = 10
EVEN, UNEVEN = np.full(CLASSES, 0.1), np.array([0.05, 0.27, 0.08, 0.1, 0.12, 0.02, 0.09, 0.12, 0.06, 0.09])
"""Shares of classes: of real images, and of the samples of a routing that starves some."""


class Mixture:
    """Features of so many dimensions in ten classes, and distances to 4000 real ones."""

    def __init__(self, dim):
        self._centres = 2 * np.random.Generator(np.random.Philox(2)).normal(size=(CLASSES, dim))
        self._spread = np.linspace(0.3, 2, dim)
        (self._real,), _ = self.features(np.random.Generator(np.random.Philox(3)), 4000, EVEN)
        self._limit = LimitDistance(self._real)

    def features(self, rng, n, *shares):
        """Of samples of some routings from the same noise, whose classes are there in these shares; and the classes."""
        noise, drawn = rng.normal(size=(n, len(self._spread))) * self._spread, rng.random(n)
        classes = [np.searchsorted(np.cumsum(s)[:-1], drawn) for s in shares]
        return [torch.from_numpy(self._centres[c] + noise) for c in classes], classes

    def truth(self, shares):
        """From the exact moments of the samples: of the mixture, and of the real ones as they are."""
        return normal_distance(raw_moments(shares, self._centres, self._spread), self._real)

    def limit(self, rng, n, *shares):
        """The FID of infinitely many of one routing, or the difference of two."""
        limits = [self._limit(x) for x in self.features(rng, n, *shares)[0]]
        if limits[0] is None:
            return Estimate(math.nan, math.nan, math.nan)
        return limits[0].estimate if len(limits) == 1 else limits[0].minus(limits[1])

    def kernel(self, rng, n, shares):
        """The kernel distance of samples to 1000 real ones."""
        (fake,), _ = self.features(rng, n, shares)
        (real,), _ = self.features(rng, 1000, EVEN)
        return KernelDistance(real)(fake)

    def kernel_truth(self, shares):
        """From the exact moments of both, up to the third."""
        one, other = (raw_moments(s, self._centres, self._spread) for s in (shares, EVEN))
        return mean_kernel(one, one) + mean_kernel(other, other) - 2 * mean_kernel(one, other)

    def balanced(self, rng, n, shares):
        """The distance of samples of which each class is given its share, to as many as there could be of real ones."""
        (fake,), (classes,) = self.features(rng, n, shares)
        (real,), _ = self.features(rng, 4000, EVEN)
        return WeightedDistance(real).balanced(fake, torch.from_numpy(classes), torch.from_numpy(EVEN))

    def balanced_difference(self, rng, n, move):
        """How much larger that distance is of samples that starve classes, and are moved, than of even ones."""
        (first, second), (of_first, of_second) = self.features(rng, n, UNEVEN, EVEN)
        (real,), _ = self.features(rng, 4000, EVEN)
        first[:, 0] += move
        classes = (torch.from_numpy(of_first), torch.from_numpy(of_second))
        shares = torch.from_numpy(EVEN)
        return WeightedDistance(real).balanced_difference(first, classes[0], second, classes[1], shares)


def raw_moments(weights, means, spread):
    """The first three of a mixture of Gaussians with one diagonal covariance."""
    inside = np.diag(spread**2)
    mean = weights @ means
    second = np.einsum("k,ki,kj->ij", weights, means, means) + inside
    third = np.einsum("k,ki,kj,kl->ijl", weights, means, means, means)
    mixed = np.einsum("ij,l->ijl", inside, mean)
    return mean, second, third + mixed + mixed.transpose(0, 2, 1) + mixed.transpose(2, 1, 0)


def normal_distance(moments, real):
    """The Frechet distance of these moments to some real features."""
    mean, second, _ = moments
    inside = second - np.outer(mean, mean)
    centre, outside = real.mean(dim=0).numpy(), np.cov(real.T.numpy())
    root = linalg.sqrtm(inside @ outside).real
    return float(((mean - centre) ** 2).sum() + np.trace(inside + outside - 2 * root))


def mean_kernel(one, other):
    """Of the cubic kernel, between two distributions of these first three moments."""
    dim, scales = len(one[0]), (3, 3, 1)
    terms = zip(scales, one, other, strict=True)
    return 1 + sum(scale * float((a * b).sum()) / dim**i for i, (scale, a, b) in enumerate(terms, 1))
