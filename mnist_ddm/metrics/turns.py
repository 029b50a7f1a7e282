r"""Samples that were asked for something each, such as the captions of a list in turn: the strata of a survey.

A list that came round m times is m times whole, so of what captions differ in a distance of these samples has neither
bias nor variance; only the samples of one caption among themselves tell either (Cochran 1977, chapter 5). Without
captions all samples are one stratum. What was asked for once has nothing beside it: such samples share a stratum, which
makes variances too large rather than too small.

References:
    Cochran (1977), Sampling Techniques.
    Kott (2001), The delete-a-group jackknife, Journal of Official Statistics 17, equation 4 (few units a stratum).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_ddm.core.noise import Purpose, generator

_SEED = 20010901
"""Groups are the same every time, so that two routings are grouped alike; the seed only has to be fixed."""


def strata_of(asked: Sequence[str], n: int) -> Tensor:
    """The stratum of each of n samples, from 0, int64, shape ``(n,)``: those that were asked for the same.

    Args:
        asked: what each was asked to be; nothing if they were not asked.
        n: how many there are.
    """
    if not asked:
        return torch.zeros(n, dtype=torch.int64)
    _, codes, counts = np.unique(np.asarray(asked), return_inverse=True, return_counts=True)
    alone = counts[codes] < 2
    codes = np.where(alone, len(counts), codes)
    if alone.sum() == 1:  # even all that are alone would be alone
        codes[alone] = codes[~alone][0] if (~alone).any() else 0
    return torch.from_numpy(np.unique(codes, return_inverse=True)[1])


def within_strata(values: NDArray[np.float64], strata: Tensor) -> NDArray[np.float64]:
    r"""Numbers whose variance as a mean's, :math:`s^2 / n`, is that of the mean of a stratified sample.

    Each number's distance to the mean of its stratum, :math:`\sqrt{n_h / (n_h - 1)}` times as far; of one stratum the
    numbers themselves.

    Args:
        values: of each sample, shape ``(n,)``.
        strata: of them, at least two of each unless there is one stratum.
    """
    of, counts = strata.numpy(), strata.bincount().numpy()
    if len(counts) == 1:
        return values
    centred = values - (np.bincount(of, weights=values) / counts)[of]
    return np.asarray(centred * np.sqrt(counts / (counts - 1))[of])


def jackknife_groups(strata: Tensor, kind: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    r"""How often each sample counts where one group after another is left out (delete-a-group jackknife).

    Of a stratum of :math:`n_h \ge R` samples those of the group count nothing and the others for them. Of a smaller one
    (Kott 2001) the group's sample counts :math:`1 - (n_h - 1) Z` and the others :math:`1 + Z`, with :math:`Z^2 = R /
    ((R - 1) n_h (n_h - 1))`; the R results then have the mean and variance that bias and error are taken from.

    Args:
        strata: of each sample, shape ``(n,)``, at least two of each.
        kind: of each sample, int64; a group gets its part of each kind in every stratum.
        groups: R.

    Returns:
        The group of each sample, and how often it counts without each group, float64, shape ``(groups, n)``.
    """
    rng = generator(_SEED, Purpose.RESAMPLE, len(strata))
    group, factors = torch.zeros_like(strata), torch.ones(groups, len(strata), dtype=torch.float64)
    each = torch.arange(groups)[:, None]
    single = int(strata.max()) == 0
    for rows in [(strata == h).nonzero()[:, 0] for h in strata.unique().tolist()]:
        rows, count = rows[kind[rows].argsort(stable=True)], len(rows)
        if count >= groups:
            start = 0 if single else int(rng.integers(groups))
            group[rows] = (torch.arange(count) + start) % groups
            kept = (group[rows] != each).double()
            factors[:, rows] = kept * (count / kept.sum(dim=1, keepdim=True))
        elif count > 1:
            group[rows] = torch.from_numpy(rng.permutation(groups)[:count])
            z = math.sqrt(groups / ((groups - 1) * count * (count - 1)))
            own = (group[rows] == each).double()
            factors[:, rows] += z * (own.sum(dim=1, keepdim=True) - count * own)
    return group, factors
