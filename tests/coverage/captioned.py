"""Features of samples whose captions came in turn, each twice, and exact distances of infinitely many rounds."""

import math

import numpy as np
import torch
from mixture import CLASSES, mean_kernel, normal_distance, raw_moments

from mnist_ddm.metrics.frechet import KernelDistance
from mnist_ddm.metrics.frechet_limit import LimitDistance
from mnist_ddm.metrics.weighted import WeightedDistance
from mnist_ddm.stats.intervals import Estimate

CAPTIONS = 500
FAILS = 0.1
"""Share of the samples of a caption that show the class after the one it asks for."""


class Captioned:
    """As a list of n / 2 captions asks for them: the class, and more that captions differ in.

    What they are of changes with n, so an estimate is given less its truth.
    """

    def __init__(self, dim):
        rng = np.random.Generator(np.random.Philox(5))
        self._centres, self._spread = 2 * rng.normal(size=(CLASSES, dim)), np.linspace(0.3, 2, dim)
        self._offsets = 1.5 * rng.normal(size=(CAPTIONS, dim))
        self._real, _ = self._draw(np.random.Generator(np.random.Philox(6)), np.arange(4000) % CAPTIONS)
        self._limit = LimitDistance(self._real)

    def _draw(self, rng, captions, move=0.0):
        classes = (captions + (rng.random(len(captions)) < FAILS)) % CLASSES
        noise = rng.normal(size=(len(captions), len(self._spread))) * self._spread
        x = self._centres[classes] + self._offsets[captions] + noise
        x[:, 0] += move
        return torch.from_numpy(x), torch.from_numpy(classes)

    def _asked(self, n):
        captions = np.arange(n) % (n // 2)
        return captions, [f"caption {c}" for c in captions]

    def _parts(self, n, move=0.0):
        """Weights and means of the Gaussians that n samples, and infinitely many rounds of their list, are of."""
        captions = np.arange(n // 2)
        means = [self._centres[(captions + late) % CLASSES] + self._offsets[captions] for late in (0, 1)]
        weights = np.repeat([1 - FAILS, FAILS], len(captions)) / len(captions)
        return weights, np.concatenate(means) + move * np.eye(len(self._spread))[0], self._spread

    def limit(self, rng, n):
        """The FID of infinitely many."""
        captions, asked = self._asked(n)
        found = self._limit(self._draw(rng, captions)[0], asked)
        if found is None:
            return Estimate(math.nan, math.nan, math.nan)
        return _less(found.estimate, normal_distance(raw_moments(*self._parts(n)), self._real))

    def limit_difference(self, rng, n):
        """How much larger it is of samples that are moved, from the same noise."""
        captions, asked = self._asked(n)
        noise = rng.bit_generator.state
        first, _ = self._draw(rng, captions, move=0.5)
        rng.bit_generator.state = noise
        limits = [self._limit(x, asked) for x in (first, self._draw(rng, captions)[0])]
        if limits[0] is None:
            return Estimate(math.nan, math.nan, math.nan)
        one, other = (normal_distance(raw_moments(*self._parts(n, move)), self._real) for move in (0.5, 0.0))
        return _less(limits[0].minus(limits[1]), one - other)

    def kernel(self, rng, n):
        """The kernel distance to 1000 real ones, which show what all captions ask for."""
        captions, asked = self._asked(n)
        real, _ = self._draw(rng, rng.integers(0, CAPTIONS, 1000))
        own, others = raw_moments(*self._parts(n)), raw_moments(*self._parts(2 * CAPTIONS))
        truth = mean_kernel(own, own) + mean_kernel(others, others) - 2 * mean_kernel(own, others)
        return _less(KernelDistance(real)(self._draw(rng, captions)[0], asked), truth)

    def balanced(self, rng, n, move):
        """The distance with the classes' shares put right, to real ones that are not moved."""
        captions, asked = self._asked(n)
        real, of_real = self._draw(rng, rng.integers(0, n // 2, 4000))
        fake, classes = self._draw(rng, captions, move)
        shares = of_real.bincount(minlength=CLASSES).double() / len(of_real)
        return WeightedDistance(real).balanced(fake, classes, shares, asked)


def _less(estimate, truth):
    return Estimate(estimate.value - truth, estimate.low - truth, estimate.high - truth)
