r"""The UNet that predicts velocity: an expert, or the monolith.

A plain one is the network itself, :math:`v(x, t) = F_\theta(x, t)`. One with a linear start begins as the exact
velocity of Gaussian data with the mean and the principal components of the *expert's own* training images
(`mnist_ddm.models.linear`), and learns the rest:

.. math:: v(x, t) = v_{lin}(x, t) + \sigma_{left}(t)\, F_\theta(z, \hat x_{lin}, t),

with :math:`z = (x - \alpha \mu) / \sigma_x(t)` and the linear guess :math:`\hat x_{lin} = x - t\, v_{lin}` as inputs.
As in the preconditioning of Karras et al. (2022), :math:`F_\theta` sees and predicts numbers of about unit variance at
every ``t``; here the skip connection is a Wiener filter instead of a scalar, which gives a short training the
large-scale structure of the images from its first step. :math:`F_\theta` starts as 0 in both.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_ddm.core.flow import expand_time
from mnist_ddm.data import SIDE
from mnist_ddm.models.layers import ResidualBlock, SelfAttention, TimeEmbedding, group_norm, zeroed
from mnist_ddm.models.linear import GaussianVelocity


@dataclass(frozen=True)
class UNetConfig:
    """The shape of a UNet.

    Attributes:
        patch: side of the pixel-unshuffle stem; 2 turns 28 x 28 pixels into 14 x 14 positions of 4 channels.
        channels: width of each level, finest first; each further level halves the resolution.
        blocks: residual blocks of each level, on the way down and again on the way up.
        attention: whether each level has self-attention after its blocks.
        heads: attention heads.
        time_width: width of the time embedding.
        components: principal components of a linear start.
        linear: whether there is a linear start.
    """

    patch: int
    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    attention: tuple[bool, ...]
    heads: int
    time_width: int
    components: int
    linear: bool = True


@final
class UNet(nn.Module):
    """A velocity model of 1 x 28 x 28 states; the formula is in the module's docstring."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = GaussianVelocity(SIDE * SIDE, config.components) if config.linear else None
        pixels, widths = config.patch**2, config.channels
        levels = range(len(widths))
        self.time = TimeEmbedding(config.time_width)
        self.stem = nn.Conv2d(pixels if self.linear is None else 2 * pixels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_Level(widths[i], widths[i], config, i) for i in levels)
        self.shrink = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 3, stride=2, padding=1) for i in levels[:-1])
        self.middle = ResidualBlock(widths[-1], widths[-1], config.time_width)
        self.up = nn.ModuleList(_Level(2 * widths[i], widths[i], config, i) for i in levels)
        self.grow = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 1) for i in levels[:-1])
        self.head_norm = group_norm(widths[0])
        self.head = zeroed(nn.Conv2d(widths[0], pixels, 3, padding=1))

    def fit_linear(self, states: Tensor) -> None:
        """Take the linear start, if there is one, from training states ``(N, 1, 28, 28)``."""
        if self.linear is not None:
            self.linear.fit(states.flatten(1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The velocity at states ``(B, 1, 28, 28)`` and times ``(B,)``."""
        if self.linear is None:
            return self._network(x, t)
        flat = x.flatten(1)
        velocity, state_scale, left_scale = self.linear(flat, t)
        centred = (flat - (1 - t[:, None]) * self.linear.mean) / state_scale
        clean = flat - t[:, None] * velocity
        inputs = torch.stack([centred, clean], dim=1).reshape(len(x), 2, *x.shape[2:])
        out: Tensor = velocity.reshape(x.shape) + expand_time(left_scale[:, 0], x) * self._network(inputs, t)
        return out

    def _network(self, x: Tensor, t: Tensor) -> Tensor:
        time = self.time(t)
        h = functional.pixel_unshuffle(x, self.config.patch).contiguous(memory_format=torch.channels_last)
        h = self.stem(h)
        skips = []
        for i, level in enumerate(self.down):
            h = level(h, time)
            skips.append(h)
            if i < len(self.shrink):
                h = self.shrink[i](h)
        h = self.middle(h, time)
        for i in reversed(range(len(self.up))):
            skip = skips[i]
            if i < len(self.grow):
                h = functional.interpolate(self.grow[i](h), size=skip.shape[-2:], mode="nearest")
            h = self.up[i](torch.cat([h, skip], dim=1), time)
        out: Tensor = self.head(functional.silu(self.head_norm(h)))
        return functional.pixel_shuffle(out, self.config.patch)


@final
class _Level(nn.Module):
    """The residual blocks of one level, with attention after each where the configuration says so."""

    def __init__(self, channels_in: int, channels: int, config: UNetConfig, level: int) -> None:
        super().__init__()
        inputs = [channels_in] + [channels] * (config.blocks[level] - 1)
        self.blocks = nn.ModuleList(ResidualBlock(c, channels, config.time_width) for c in inputs)
        has = config.attention[level]
        self.attention = nn.ModuleList(SelfAttention(channels, config.heads) for _ in inputs if has)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        for i, block in enumerate(self.blocks):
            x = block(x, time)
            if i < len(self.attention):
                x = self.attention[i](x)
        return x
