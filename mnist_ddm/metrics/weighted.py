r"""Frechet and kernel distances of weighted samples, with their intervals.

A weight counts as so many equal samples, so equal weights give what `frechet.py` gives, and weights of 2 what every
sample taken twice gives. Of samples that are weighted by class, a distance is a post-stratified statistic; its bias in
the number of samples and its variance come from leaving out one group after another (delete-a-group jackknife; Shao and
Tu 1995, section 2.3), with the weights made anew each time.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from mnist_ddm.errors import InputError
from mnist_ddm.metrics.frechet import KernelDistance
from mnist_ddm.metrics.strata import balancing_weights
from mnist_ddm.metrics.turns import jackknife_groups, strata_of
from mnist_ddm.stats.intervals import LEVEL, Estimate
from mnist_ddm.stats.quantiles import student_quantile

GROUPS = 10
"""Of the jackknife; each gets its part of every class, so there are no more than the rarest class has samples."""
_FEWEST = 4
"""With fewer groups nothing is extrapolated: to leave one out takes half of a class, or all that is seen of it."""


@final
@dataclass(frozen=True)
class Moments:
    """Mean ``(dim,)`` and covariance ``(dim, dim)`` of some vectors."""

    mean: Tensor
    covariance: Tensor

    @cached_property
    def root(self) -> Tensor:
        """The symmetric square root of the covariance, shape ``(dim, dim)``."""
        values, vectors = torch.linalg.eigh(self.covariance)
        root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
        return root

    def distance(self, other: "Moments") -> float:
        r"""The Frechet distance :math:`\lVert m_1 - m_2 \rVert^2 + \mathrm{tr}(C_1 + C_2 - 2 (C_1 C_2)^{1/2})`."""
        cross = torch.linalg.eigvalsh(self.root @ other.covariance @ self.root).clamp(min=0).sqrt().sum()
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


@final
class WeightedDistance:
    """Frechet distances of weighted samples to one set of real vectors, whose own moments are computed once."""

    def __init__(self, real: Tensor) -> None:
        """Take real vectors ``(N, dim)``."""
        self._real = real

    @cached_property
    def _whole(self) -> Moments:
        return moments(self._real)

    @cached_property
    def _left_out(self) -> tuple[Moments, ...]:
        """Without each group of the jackknife in turn."""
        rows = torch.arange(len(self._real))
        return tuple(moments(self._real[rows % GROUPS != g]) for g in range(GROUPS))

    def __call__(self, fake: Tensor, weights: Tensor) -> float:
        """The distance of vectors ``(M, dim)`` of which each counts so many times."""
        return self._whole.distance(moments(fake, weights))

    def balanced(self, fake: Tensor, classes: Tensor, shares: Tensor, asked: Sequence[str] = ()) -> Estimate:
        """The distance of samples whose classes are given their shares, extrapolated to infinite n.

        Args:
            fake: vectors ``(n, dim)``.
            classes: of the samples, shape ``(n,)``.
            shares: of the classes in the data, shape ``(C,)``.
            asked: what each of them was asked to be, such as its caption; nothing if they were not asked.

        Returns:
            The estimate, which may be below 0 by chance. With fewer than twice as many samples as dimensions it has no
            interval; of fewer than `4 GROUPS` samples, or fewer than four of a class, it is the plain value, which is
            too large, and NaN where a class of the data has no sample that could stand for it.
        """
        return self._extrapolated(((fake, classes),), shares, asked)

    def balanced_difference(
        self,
        first: Tensor,
        first_classes: Tensor,
        second: Tensor,
        second_classes: Tensor,
        shares: Tensor,
        asked: Sequence[str] = (),
    ) -> Estimate:
        """How much larger the first distance of `balanced` is than the second, of paired samples.

        Sample i of both started from the same noise, so each group of the jackknife leaves the same samples out of
        both, and the same real ones. Samples that agree cancel.

        Args:
            first: vectors ``(n, dim)``.
            first_classes: of these, shape ``(n,)``.
            second: as many vectors, in the same order.
            second_classes: of these.
            shares: of the classes in the data, shape ``(C,)``.
            asked: what each pair was asked to be, such as its caption; nothing if they were not asked.

        Returns:
            The difference of the extrapolated distances, with its interval; without one, or NaN, where `balanced` of
            one of the two has none, and where one group would take more than half of a class of either.

        Raises:
            InputError: if there are not as many samples of both.
        """
        if len(first) != len(second):
            raise InputError(f"paired samples are as many of both, not {len(first)} and {len(second)}")
        return self._extrapolated(((first, first_classes), (second, second_classes)), shares, asked)

    def _extrapolated(self, sets: tuple[tuple[Tensor, Tensor], ...], shares: Tensor, asked: Sequence[str]) -> Estimate:
        """The distance of a set of vectors and classes, or how much larger the first of two is; see `balanced`."""
        n, dim = sets[0][0].shape
        counts = [classes.bincount(minlength=len(shares)) for _, classes in sets]
        fewest = min(int(count[shares > 0].min()) for count in counts)
        if fewest == 0:
            return Estimate(math.nan, math.nan, math.nan)

        def of(counting: Tensor) -> list[Moments]:
            return [moments(x, balancing_weights(classes, shares, counting)) for x, classes in sets]

        whole = of(torch.ones(n, dtype=torch.float64))
        value = _apart(self._whole, whole)
        groups = min(GROUPS, fewest)
        if min(n, len(self._real)) < 4 * GROUPS or groups < _FEWEST:
            return Estimate(value, math.nan, math.nan)
        joint = torch.zeros(n, dtype=torch.int64)  # a group gets its part of each pair of classes
        for _, classes in sets:
            joint = joint * len(shares) + classes
        group, counting = jackknife_groups(strata_of(asked, n), joint, groups)
        if any(2 * most > count for most, count in _taken(group, sets, counts, shares)):
            return Estimate(value, math.nan, math.nan)
        from_fake = _numbers(_apart(self._whole, of(each)) for each in counting)
        from_real = _numbers(_apart(left, whole) for left in self._left_out)
        error = math.hypot(_error(from_fake), _error(from_real))
        best = value + sum((len(left) - 1) * (value - float(left.mean())) for left in (from_fake, from_real))
        if n < 2 * dim:  # there it misses the truth in one try of seven: `tests/coverage`
            return Estimate(best, math.nan, math.nan)
        half = student_quantile((1 + LEVEL) / 2, groups - 1) * error
        return Estimate(best, best - half, best + half)


def _apart(real: Moments, sets: Sequence[Moments]) -> float:
    """The distance of the first from the real ones, less that of the second if there are two."""
    first, *second = (real.distance(of) for of in sets)
    return first - sum(second)


def _taken(
    group: Tensor, sets: tuple[tuple[Tensor, Tensor], ...], counts: list[Tensor], shares: Tensor
) -> Iterator[tuple[int, int]]:
    """For each class of the data, of each set: the most that one group has of it, and how many there are."""
    for (_, classes), count in zip(sets, counts, strict=True):
        for c in (shares > 0).nonzero()[:, 0].tolist():
            yield int(group[classes == c].bincount().max()), int(count[c])


def _numbers(values: Iterable[float]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float64)


def _error(left_out: Tensor) -> float:
    return math.sqrt((len(left_out) - 1) * float(left_out.var(correction=0)))


def balanced_kernel_distance(
    kernel: KernelDistance, fake: Tensor, classes: Tensor, shares: Tensor, asked: Sequence[str] = ()
) -> Estimate:
    """The kernel distance of samples whose classes are given their shares; unbiased, with a normal interval.

    NaN where a class of the data has fewer than two samples, of which there is no pair (`KernelDistance.stratified`).
    """
    if int(classes.bincount(minlength=len(shares))[shares > 0].min()) < 2:
        return Estimate(math.nan, math.nan, math.nan)
    kept = (shares > 0)[classes]
    told = [what for what, of in zip(asked, kept.tolist(), strict=True) if of] if asked else ()
    return kernel.stratified(fake[kept].double(), classes[kept], shares / shares.sum(), told)
