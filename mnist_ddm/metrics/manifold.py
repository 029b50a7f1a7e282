"""Precision and coverage: are the samples like real images, and are all kinds of real images there?

A Frechet distance mixes the two. Both work on k-nearest-neighbour balls around the real feature vectors.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from mnist_ddm.errors import InputError

NEIGHBOURS = 5
_BATCH = 512
"""Real vectors that are compared with all others at once, which limits memory."""
_WIDEST = 4096
"""Samples with which those are compared at once."""


@final
@dataclass(frozen=True)
class Manifold:
    """Which samples lie where the real feature vectors do, and which real ones have a sample near.

    Attributes:
        on: whether each sample lies within the k-th-neighbour ball of some real vector, shape ``(M,)``; their share is
            the precision of Kynkaanniemi et al. (2019).
        covered: whether the ball of each real vector holds a sample, shape ``(N,)``; their share is the coverage of
            Naeem et al. (2020).
    """

    on: Tensor
    covered: Tensor


def manifold(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> Manifold:
    """Precision and coverage of samples against real feature vectors, one by one.

    Both depend on how many vectors there are.

    Args:
        real: shape ``(N, dim)``.
        fake: shape ``(M, dim)``.
        k: which neighbour bounds a ball; fewer if there are not that many.

    Raises:
        InputError: if there are fewer than two real vectors, or no sample, or one that is not finite.
    """
    if len(real) < 2 or len(fake) == 0:
        raise InputError("precision and coverage need at least two real vectors and one sample")
    if not (real.isfinite().all() and fake.isfinite().all()):
        raise InputError("precision and coverage were asked of features that are not finite")
    real, fake = real.double(), fake.double()
    exact, on, covered = "donot_use_mm_for_euclid_dist", torch.zeros(len(fake), dtype=torch.bool), []
    for part in real.split(_BATCH):
        # The nearest of all is the vector itself, at distance 0.
        radius = torch.cdist(part, real, compute_mode=exact).kthvalue(min(k, len(real) - 1) + 1, dim=1).values
        near = torch.zeros(len(part), dtype=torch.bool)
        for some in torch.arange(len(fake)).split(_WIDEST):
            inside = torch.cdist(part, fake[some], compute_mode=exact) <= radius[:, None]
            on[some] |= inside.any(dim=0)
            near |= inside.any(dim=1)
        covered.append(near)
    return Manifold(on, torch.cat(covered))


def precision_and_coverage(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> tuple[float, float]:
    """The shares of `manifold`, both in ``[0, 1]``."""
    found = manifold(real, fake, k)
    return float(found.on.double().mean()), float(found.covered.double().mean())
