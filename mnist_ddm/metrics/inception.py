"""Inception features for Frechet distances, for those who have the weights.

The network and its weights are torchvision's (ImageNet). The usual FID of the literature uses another port of Inception
and another resizing, so these values must not be set beside published ones.
"""

from functools import cache
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_ddm.core.measures import Features
from mnist_ddm.metrics.pretrained import Pretrained, load_weights

WEIGHTS: Final = Pretrained("inception_v3_google-0cc3c7bd.pth")
_SIDE = 299
_BATCH = 32


def inception_features(device: str | torch.device = "cpu") -> Features:
    """The 2048 pooled features of Inception v3 for images ``(B, C, H, W)`` in ``[0, 1]``; C is 1 or 3.

    The network is loaded when the features are first used.

    Raises:
        InputError: on first use, if the file of weights is missing or damaged.
    """

    @cache
    def model() -> nn.Module:
        return build_inception(WEIGHTS.fetch("the inception features", "the default features")).to(device)

    def features(images: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([model()(_prepare(batch)) for batch in images.split(_BATCH)])

    return Features("inception", features)


def build_inception(weights: Path | None) -> nn.Module:
    """Inception v3 up to its pooled features; with ``weights=None`` random ones from a fixed seed (for tests)."""
    from torchvision.models import inception_v3

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = inception_v3(weights=None, transform_input=False, init_weights=False)
    if weights is not None:
        model.load_state_dict(load_weights(weights))
    model.fc = nn.Identity()
    return model.eval().requires_grad_(False)


def _prepare(images: Tensor) -> Tensor:
    """Three channels of 299 x 299 in ``[-1, 1]``, as the weights were trained."""
    large = functional.interpolate(images, size=(_SIDE, _SIDE), mode="bilinear", align_corners=False, antialias=True)
    return large.expand(-1, 3, -1, -1) * 2 - 1
