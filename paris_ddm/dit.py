r"""The networks of Paris: a text-conditioned diffusion transformer for each expert, and a smaller one as router.

Names of modules and parameters are those of the released state dicts. With :math:`D` the hidden size, an expert takes
latents ``(B, 4, 32, 32)``, times ``(B,)`` in ``[0, 1]`` (1 is noise) and text ``(B, 77, 768)``, and predicts velocity.
Modulation is shared by all layers (adaLN-single): each adds its own table to one projection of the time embedding.

References:
    Peebles and Xie (2023), Scalable diffusion models with transformers.
    Chen et al. (2024), PixArt-alpha, for adaLN-single.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_ddm.compute.batches import fill
from paris_ddm.config import Details, DiTExpertConfig, DiTRouterConfig

FREQUENCIES = 256
"""Numbers in the sinusoidal embedding of a time."""

_MAX_PERIOD = 10_000.0
_ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "gelu-tanh": lambda: nn.GELU(approximate="tanh"),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


class KeysValues(NamedTuple):
    """Keys and values of a text for one layer, each ``(B, heads, tokens, D / heads)``."""

    keys: Tensor
    values: Tensor

    def select(self, rows: Tensor) -> "KeysValues":
        """Those of some rows."""
        return KeysValues(self.keys[rows], self.values[rows])


def sinusoid(t: Tensor, dim: int = FREQUENCIES) -> Tensor:
    r"""Cosines, then sines, of :math:`t \cdot 10000^{-i / (dim / 2)}`, shape ``(B, dim)``."""
    half = dim // 2
    frequency = torch.exp(-math.log(_MAX_PERIOD) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angle = t.float()[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def scaled_time(t: Tensor, details: Details) -> Tensor:
    """What the time embedding gets for ``t`` in ``[0, 1]``."""
    if details.time == "round":
        return (999 * t).round()
    return (999 if details.time == "999t" else 1000) * t


class Times(NamedTuple):
    """Embedded times of a batch.

    A product with few rows rounds otherwise than one with many, so each distinct time is embedded once, filled up to
    full registers: a row then has the same bits whatever its companions are.
    """

    embedded: Tensor
    """Of the distinct times, ``(T, D)``."""
    place: Tensor
    """Of each row's time among them, int64, ``(B,)``."""


@final
class DiTTimeEmbedding(nn.Module):
    """Sinusoid, Linear, SiLU, Linear: times ``(B,)`` to hidden size."""

    def __init__(self, dim: int) -> None:
        """Build for hidden size ``dim``."""
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, t: Tensor) -> Times:
        first = self.mlp[0]
        assert isinstance(first, nn.Linear)
        distinct, place = t.unique(return_inverse=True)
        embedded: Tensor = self.mlp(sinusoid(fill(distinct)).to(first.weight.dtype))
        return Times(embedded, place)


@final
class Attention(nn.Module):
    """Multi-head attention with the parameters of `torch.nn.MultiheadAttention`, keys and values apart.

    Those of a text are the same at every step, so they can be computed once.
    """

    def __init__(self, dim: int, heads: int) -> None:
        """Build for hidden size ``dim``."""
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def keys_values(self, context: Tensor) -> KeysValues:
        """Of a context ``(B, L, D)``."""
        dim = context.shape[2]
        both = functional.linear(context, self.in_proj_weight[dim:], self.in_proj_bias[dim:])
        return KeysValues(*(self._split(part) for part in both.chunk(2, dim=2)))

    def forward(self, x: Tensor, context: KeysValues | None = None) -> Tensor:
        """Of ``(B, N, D)`` to itself, or to a context."""
        dim = x.shape[2]
        queries = self._split(functional.linear(x, self.in_proj_weight[:dim], self.in_proj_bias[:dim]))
        keys, values = self.keys_values(x) if context is None else context
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        split: Tensor = x.unflatten(2, (self.heads, -1))
        return split.transpose(1, 2)


def _mlp(dim: int, ratio: float) -> nn.Sequential:
    inner = int(dim * ratio)
    return nn.Sequential(nn.Linear(dim, inner), nn.GELU(approximate="tanh"), nn.Linear(inner, dim))


def _modulated(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    return functional.layer_norm(x, x.shape[2:], eps=eps) * (1 + scale[:, None]) + shift[:, None]


@final
class ExpertLayer(nn.Module):
    """Self-attention, cross-attention to the text, MLP."""

    def __init__(self, config: DiTExpertConfig, details: Details) -> None:
        """Build one layer."""
        super().__init__()
        dim = config.hidden_size
        self._eps = details.norm_eps
        self.scale_shift_table = nn.Parameter(torch.randn(6, dim) / dim**0.5)
        self.attn = Attention(dim, config.num_heads)
        self.cross_attn = Attention(dim, config.num_heads)
        self.mlp = _mlp(dim, config.mlp_ratio)

    def forward(self, x: Tensor, modulation: Tensor, text: KeysValues) -> Tensor:
        """Tokens ``(B, N, D)``, the shared modulation ``(B, 6, D)``, the text's keys and values."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (self.scale_shift_table + modulation).unbind(dim=1)
        x = x + gate_a[:, None] * self.attn(_modulated(x, shift_a, scale_a, self._eps))
        x = x + self.cross_attn(x, text)
        out: Tensor = x + gate_m[:, None] * self.mlp(_modulated(x, shift_m, scale_m, self._eps))
        return out


@final
class FinalLayer(nn.Module):
    """Modulated norm and projection to patches."""

    def __init__(self, dim: int, out: int, details: Details) -> None:
        """Build for hidden size ``dim`` and ``out`` numbers in a patch."""
        super().__init__()
        self._eps = details.norm_eps
        self.linear = nn.Linear(dim, out)
        self.scale_shift_table = nn.Parameter(torch.randn(2, dim) / dim**0.5)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift, scale = (self.scale_shift_table + time[:, None]).unbind(dim=1)
        out: Tensor = self.linear(_modulated(x, shift, scale, self._eps))
        return out


@final
class ExpertDiT(nn.Module):
    """One expert: a velocity of latents, given time and text."""

    def __init__(self, config: DiTExpertConfig, size: int, details: Details | None = None) -> None:
        """Build for square latents of side ``size``."""
        super().__init__()
        details = details or Details()
        dim, patch = config.hidden_size, config.patch_size
        self.config, self.details = config, details
        self.patch_embed = nn.Conv2d(config.in_channels, dim, patch, patch)
        self.pos_embed = nn.Parameter(sincos_positions(dim, size // patch))
        self.time_embed = DiTTimeEmbedding(dim)
        self.text_proj = nn.Linear(config.text_embed_dim, dim)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.layers = nn.ModuleList(ExpertLayer(config, details) for _ in range(config.num_layers))
        self.final_layer = FinalLayer(dim, patch**2 * config.out_channels, details)

    def text(self, embedding: Tensor) -> list[KeysValues]:
        """What every layer needs of a text ``(B, L, text_embed_dim)``; the same at every step of a trajectory."""
        projected = self.text_proj(embedding)
        keys_values = []
        for layer in self.layers:
            assert isinstance(layer, ExpertLayer)
            keys_values.append(layer.cross_attn.keys_values(projected))
        return keys_values

    def forward(self, x: Tensor, t: Tensor, text: Tensor | list[KeysValues]) -> Tensor:
        """Latents ``(B, C, S, S)``, times ``(B,)``, and a text's embedding or what `text` made of it."""
        known = self.text(text) if isinstance(text, Tensor) else text
        time = self.time_embed(scaled_time(t, self.details))
        modulation = self.t_block(time.embedded)[time.place].unflatten(1, (6, -1))
        tokens = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        for layer, keys_values in zip(self.layers, known, strict=True):
            tokens = layer(tokens, modulation, keys_values)
        return self._image(self.final_layer(tokens, time.embedded[time.place]), x.shape[2] // self.config.patch_size)

    def _image(self, patches: Tensor, side: int) -> Tensor:
        p, c = self.config.patch_size, self.config.out_channels
        if self.details.patch_order == "hwc":
            image = patches.reshape(-1, side, side, p, p, c).permute(0, 5, 1, 3, 2, 4)
        else:
            image = patches.reshape(-1, side, side, c, p, p).permute(0, 3, 1, 4, 2, 5)
        return image.reshape(-1, c, side * p, side * p)


@final
class RouterLayer(nn.Module):
    """Self-attention and MLP with a modulation of its own (adaLN)."""

    def __init__(self, config: DiTRouterConfig, details: Details) -> None:
        """Build one layer."""
        super().__init__()
        dim = config.hidden_size
        self._eps = details.norm_eps
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.attn = Attention(dim, config.num_heads)
        self.mlp = _mlp(dim, config.mlp_ratio)

    def forward(self, x: Tensor, time: Times) -> Tensor:
        modulation = self.adaLN_modulation(time.embedded)[time.place]
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = modulation.chunk(6, dim=1)
        x = x + gate_a[:, None] * self.attn(_modulated(x, shift_a, scale_a, self._eps))
        out: Tensor = x + gate_m[:, None] * self.mlp(_modulated(x, shift_m, scale_m, self._eps))
        return out


@final
class RouterDiT(nn.Module):
    """The router: logits of the experts, given latents and time; it sees no text."""

    def __init__(self, config: DiTRouterConfig, size: int, details: Details | None = None) -> None:
        """Build for square latents of side ``size``."""
        super().__init__()
        details = details or Details()
        dim, patch = config.hidden_size, config.patch_size
        self.config, self.details = config, details
        self.patch_embed = nn.Conv2d(config.in_channels, dim, patch, patch)
        self.pos_embed = nn.Parameter(sincos_positions(dim, size // patch))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.time_embed = DiTTimeEmbedding(dim)
        self.layers = nn.ModuleList(RouterLayer(config, details) for _ in range(config.num_layers))
        activation = _ACTIVATIONS[details.head_activation]
        self.head = nn.Sequential(
            nn.Linear(dim, dim),
            activation(),
            nn.LayerNorm(dim, eps=details.head_norm_eps),
            activation(),
            nn.Linear(dim, config.num_clusters),
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Latents ``(B, C, S, S)`` and times ``(B,)`` to logits ``(B, K)``."""
        time = self.time_embed(scaled_time(t, self.details))
        tokens = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        for layer in self.layers:
            tokens = layer(tokens, time)
        out: Tensor = self.head(fill(tokens[:, 0]))[: len(x)]
        return out


def sincos_positions(dim: int, side: int) -> Tensor:
    """The fixed positions of a square grid of patches, row by row, shape ``(1, side * side, dim)``.

    Half of the numbers code the column, half the row, each as sines, then cosines (Peebles and Xie's convention).
    """
    quarter = dim // 4
    frequency = _MAX_PERIOD ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    row, column = torch.meshgrid(*[torch.arange(side, dtype=torch.float64)] * 2, indexing="ij")
    angles = [axis.reshape(-1, 1) * frequency for axis in (column, row)]
    return torch.cat([wave for a in angles for wave in (a.sin(), a.cos())], dim=1).float()[None]
