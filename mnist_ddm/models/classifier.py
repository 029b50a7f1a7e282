"""The digit classifier: used by metrics only, never by an expert, a router or a sampler."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_ddm.models.layers import group_norm


@dataclass(frozen=True)
class ClassifierConfig:
    """The shape of a classifier.

    Attributes:
        channels: width of each convolution.
        strides: stride of each convolution.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]


@final
class DigitClassifier(nn.Module):
    """A plain CNN over images in ``[-1, 1]``; its layers also serve as features."""

    def __init__(self, config: ClassifierConfig, classes: int) -> None:
        super().__init__()
        self.config = config
        inputs = (1, *config.channels[:-1])
        shapes = zip(inputs, config.channels, config.strides, strict=True)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 5 if i == 0 else 3, stride=s, padding=2 if i == 0 else 1), group_norm(b), nn.SiLU()
            )
            for i, (a, b, s) in enumerate(shapes)
        )
        self.head = nn.Linear(config.channels[-1], classes)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The feature map ``(B, C, H, W)`` of every layer."""
        maps = []
        h = x.contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            h = layer(h)
            maps.append(h)
        return maps

    def embed(self, x: Tensor) -> Tensor:
        """The penultimate features, the last map's mean over positions, shape ``(B, C)``."""
        return self.maps(x)[-1].mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, classes)`` for images ``(B, 1, 28, 28)`` in ``[-1, 1]``."""
        out: Tensor = self.head(self.embed(x))
        return out

    def layer_distance(self, a: Tensor, b: Tensor) -> Tensor:
        r"""The digit-feature distance of two batches of images in ``[-1, 1]``, shape ``(B,)``.

        The mean over layers and positions of :math:`\lVert \hat f_l(a) - \hat f_l(b) \rVert^2` with the features of
        each position scaled to unit length: LPIPS (Zhang et al. 2018) without its learned weights, on this
        classifier. In ``[0, 4]``, 0 for equal images.
        """
        terms = []
        for fa, fb in zip(self.maps(a), self.maps(b), strict=True):
            difference = functional.normalize(fa, dim=1, eps=1e-8) - functional.normalize(fb, dim=1, eps=1e-8)
            terms.append(difference.square().sum(dim=1).mean(dim=(1, 2)))
        return torch.stack(terms).mean(dim=0)
