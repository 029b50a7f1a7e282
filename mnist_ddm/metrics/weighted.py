r"""Frechet and kernel distances of weighted samples, with their intervals.

A weight counts as so many equal samples, so equal weights give what `frechet.py` gives, and weights of 2 what every
sample taken twice gives. Of samples that are weighted by class, a distance is a post-stratified statistic; its bias in
the number of samples and its variance come from leaving out one group after another (delete-a-group jackknife; Shao and
Tu 1995, section 2.3), with the weights made anew each time.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from mnist_ddm.errors import InputError
from mnist_ddm.metrics.frechet import KernelDistance
from mnist_ddm.metrics.strata import balancing_weights
from mnist_ddm.stats.intervals import LEVEL, Estimate
from mnist_ddm.stats.quantiles import student_quantile

GROUPS = 10
"""Of the jackknife; each gets its part of every class."""


@final
@dataclass(frozen=True)
class Moments:
    """Mean ``(dim,)`` and covariance ``(dim, dim)`` of some vectors."""

    mean: Tensor
    covariance: Tensor

    def distance(self, other: "Moments") -> float:
        r"""The Frechet distance :math:`\lVert m_1 - m_2 \rVert^2 + \mathrm{tr}(C_1 + C_2 - 2 (C_1 C_2)^{1/2})`."""
        values, vectors = torch.linalg.eigh(self.covariance)
        root = vectors * values.clamp(min=0).sqrt() @ vectors.T
        cross = torch.linalg.eigvalsh(root @ other.covariance @ root).clamp(min=0).sqrt().sum()
        spread = self.covariance.trace() + other.covariance.trace() - 2 * cross
        return max(0.0, float((self.mean - other.mean).square().sum() + spread))


def moments(vectors: Tensor, weights: Tensor | None = None) -> Moments:
    """The moments of vectors ``(n, dim)`` of which each counts ``weights`` ``(n,)`` times, by default once.

    Raises:
        InputError: if they count as one or fewer, or one is not finite.
    """
    vectors = vectors.double()
    weights = torch.ones(len(vectors), dtype=torch.float64) if weights is None else weights.double()
    total = float(weights.sum())
    if total <= 1:
        raise InputError("a Frechet distance needs at least two samples in each set")
    if not vectors.isfinite().all():
        raise InputError("a Frechet distance was asked of features that are not finite; is the extractor whole?")
    mean = weights @ vectors / total
    centred = vectors - mean
    return Moments(mean, (centred * weights[:, None]).T @ centred / (total - 1))


def weighted_frechet_distance(a: Tensor, b: Tensor, weights: Tensor) -> float:
    """The Frechet distance of vectors ``a`` ``(N, dim)`` and ``b`` ``(M, dim)``, of which each counts so many times."""
    return moments(a).distance(moments(b, weights))


def balanced_frechet_distance(real: Tensor, fake: Tensor, classes: Tensor, shares: Tensor) -> Estimate:
    """The Frechet distance of samples whose classes are given their shares, extrapolated to infinite n.

    Args:
        real: vectors ``(N, dim)``.
        fake: vectors ``(n, dim)``.
        classes: of the samples, shape ``(n,)``.
        shares: of the classes in the data, shape ``(C,)``.

    Returns:
        The estimate, which may be below 0 by chance; of fewer than four samples for each of two groups it is the plain
        value without an interval.
    """
    of_real = moments(real)

    def of_fake(kept: Tensor) -> Moments:
        return moments(fake[kept], balancing_weights(classes[kept], shares))

    whole = of_fake(torch.ones(len(fake), dtype=torch.bool))
    value = of_real.distance(whole)
    if min(len(fake), len(real)) < 4 * GROUPS:
        return Estimate(value, math.nan, math.nan)
    order = torch.zeros(len(fake), dtype=torch.int64).scatter(0, classes.argsort(stable=True), torch.arange(len(fake)))
    from_fake = _jackknife(lambda kept: of_real.distance(of_fake(kept)), order)
    from_real = _jackknife(lambda kept: whole.distance(moments(real[kept])), torch.arange(len(real)))
    error = math.hypot(_error(from_fake), _error(from_real))
    best = value + sum((GROUPS - 1) * (value - float(left.mean())) for left in (from_fake, from_real))
    half = student_quantile((1 + LEVEL) / 2, GROUPS - 1) * error
    return Estimate(best, best - half, best + half)


def _jackknife(statistic: Callable[[Tensor], float], order: Tensor) -> Tensor:
    """A statistic of what is kept, without each group in turn; every so many in ``order`` are a group."""
    groups = order % GROUPS
    return torch.tensor([statistic(groups != g) for g in range(GROUPS)], dtype=torch.float64)


def _error(left_out: Tensor) -> float:
    return math.sqrt((GROUPS - 1) * float(left_out.var(correction=0)))


def balanced_kernel_distance(kernel: KernelDistance, fake: Tensor, classes: Tensor, shares: Tensor) -> Estimate:
    r"""The kernel distance of samples whose classes are given their shares; unbiased, with a normal interval.

    .. math:: \sum_{c, d} \pi_c \pi_d \bar k_{cd} + \bar k_{rr} - 2 \sum_c \pi_c \bar k_{cr}

    with means over pairs of different samples; the variance is that of the first-order terms, within classes. Classes
    with fewer than two samples are left out.
    """
    counts = classes.bincount(minlength=len(shares))
    kept = (counts >= 2)[classes]
    fake, classes = fake[kept].double(), classes[kept]
    if len(fake) < 2:
        return Estimate(math.nan, math.nan, math.nan)
    pi = torch.where(counts >= 2, shares, 0)
    each = (pi / pi.sum() / counts.clamp(min=1).double())[classes]
    return kernel.stratified(fake, classes, each)
