r"""Frechet distance between two sets of images in the features of a named extractor.

:math:`d^2 = \lVert m_1 - m_2 \rVert^2 + \mathrm{tr}(C_1 + C_2 - 2 (C_1 C_2)^{1/2})` (Heusel et al. 2017), by
torchmetrics in float64. Values of different extractors, or of different sample sizes, cannot be compared.
"""

from typing import final

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from mnist_ddm.core.errors import InputError
from mnist_ddm.core.pool import Features

_BATCH = 512


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
    return torch.cat([features(batch).double().cpu() for batch in images.split(_BATCH)])


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The Frechet distance of two sets of feature vectors ``(N, dim)`` and ``(M, dim)``.

    Raises:
        InputError: if a set has fewer than two vectors.
    """
    if min(len(a), len(b)) < 2:
        raise InputError("a Frechet distance needs at least two samples in each set")
    metric = FrechetInceptionDistance(feature=_Identity(a.shape[1]), normalize=True).set_dtype(torch.float64)
    metric.update(a.double(), real=True)
    metric.update(b.double(), real=False)
    return float(metric.compute())
