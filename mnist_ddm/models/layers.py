"""Building blocks that the networks share."""

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS_PER_GROUP = 16
"""Group normalisation works on groups of this many channels; narrow groups are slow on CPUs in channels-last."""


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation for ``channels`` channels."""
    return nn.GroupNorm(max(1, channels // CHANNELS_PER_GROUP), channels)


def zeroed(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """The layer with weights and bias 0, so that its branch starts as nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


@final
class TimeEmbedding(nn.Module):
    """Times ``(B,)`` in ``[0, 1]`` to vectors ``(B, width)``: sines and cosines, then a two-layer perceptron."""

    frequencies: Tensor

    def __init__(self, width: int, waves: int = 16) -> None:
        super().__init__()
        frequencies = torch.exp(torch.linspace(0, math.log(100), waves)) * (math.pi / 2)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.mlp = nn.Sequential(nn.Linear(2 * waves, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, t: Tensor) -> Tensor:
        phase = t[:, None] * self.frequencies
        out: Tensor = self.mlp(torch.cat([phase.cos(), phase.sin()], dim=1))
        return out


@final
class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a residual connection; the time scales and shifts between them."""

    def __init__(self, channels_in: int, channels: int, time_width: int) -> None:
        super().__init__()
        self.norm_in = group_norm(channels_in)
        self.conv_in = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.modulation = nn.Linear(time_width, 2 * channels)
        self.norm_out = group_norm(channels)
        self.conv_out = zeroed(nn.Conv2d(channels, channels, 3, padding=1))
        self.skip = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.modulation(time)[:, :, None, None].chunk(2, dim=1)
        h = self.conv_in(functional.silu(self.norm_in(x)))
        h = functional.silu(self.norm_out(h) * (1 + scale) + shift)
        out: Tensor = self.skip(x) + self.conv_out(h)
        return out


@final
class SelfAttention(nn.Module):
    """Self-attention over all positions of a feature map, as a residual branch."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = group_norm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).reshape(b, h * w, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        # Plain products instead of a fused kernel: the fused one has no forward-mode derivative, and at 49 positions
        # it is no faster.
        attention = ((q @ k.transpose(-1, -2)) * (c // self.heads) ** -0.5).softmax(dim=-1)
        mixed = (attention @ v).transpose(1, 2).reshape(b, h * w, c)
        out: Tensor = x + self.out(mixed).transpose(1, 2).reshape(b, c, h, w)
        return out
