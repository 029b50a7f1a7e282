r"""The router: a small time-conditioned CNN that predicts :math:`p_t(k \mid x_t)` from :math:`(x_t, t)` alone."""

from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_ddm.core.flow import expand_time
from mnist_ddm.data import SIDE
from mnist_ddm.models.layers import ResidualBlock, TimeEmbedding, group_norm


@dataclass(frozen=True)
class RouterConfig:
    """The shape of a router.

    Attributes:
        patch: side of the pixel-unshuffle stem.
        channels: width of each level; each further level halves the resolution.
        time_width: width of the time embedding.
    """

    patch: int
    channels: tuple[int, ...]
    time_width: int


@final
class Router(nn.Module):
    """Logits over K experts."""

    def __init__(self, config: RouterConfig, n_experts: int) -> None:
        super().__init__()
        self.config = config
        self.n_experts = n_experts
        widths = config.channels
        self.time = TimeEmbedding(config.time_width)
        self.stem = nn.Conv2d(config.patch**2, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(w, w, config.time_width) for w in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.norm = group_norm(widths[-1])
        side = -(-SIDE // config.patch // 2 ** len(self.shrink))
        # The head sees every position: near t = 1 the evidence is spread over the whole image, and a mean over
        # positions would lose where it was.
        self.head = nn.Linear(widths[-1] * side**2, n_experts)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Logits ``(B, K)`` for states ``(B, 1, 28, 28)`` and times ``(B,)``."""
        embedded, time = self.time(t), expand_time(t, x)
        x = x * ((1 - time) ** 2 + time**2).rsqrt()
        h = functional.pixel_unshuffle(x, self.config.patch).contiguous(memory_format=torch.channels_last)
        h = self.stem(h)
        for i, block in enumerate(self.blocks):
            h = block(h, embedded)
            if i < len(self.shrink):
                h = self.shrink[i](h)
        out: Tensor = self.head(functional.silu(self.norm(h)).flatten(1))
        return out
