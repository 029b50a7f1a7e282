"""The networks of a folder, loaded when they are first needed, a few experts at a time."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar, final

import torch
from torch import Tensor, nn

from mnist_ddm.errors import InputError
from paris_ddm.checkpoint import load_mapped
from paris_ddm.config import Details, DiTExpertConfig, DiTRouterConfig, read_config
from paris_ddm.dit import ExpertDiT, KeysValues, RouterDiT, sincos_positions
from paris_ddm.folder import CONFIG, EXPERT_WEIGHTS, MONOLITH, ROUTER, ROUTER_WEIGHTS, ParisFolder
from paris_ddm.precision import evaluate, read
from paris_ddm.text import TextEncoder

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MEMORY_SHARE = 0.25
"""All experts stay loaded if their files take no more than this share of the machine's memory."""
FEWEST = 2
"""Experts that stay loaded on a smaller machine: as many as Top-2 needs."""
TEXT_BYTES = 1 << 30
"""Keys and values of captions that an expert keeps; those not used for the longest time go first."""

Network = TypeVar("Network", ExpertDiT, RouterDiT)


@final
class GuidedExpert:
    """One expert, the keys and values of the captions that it has seen, and classifier-free guidance."""

    def __init__(self, network: ExpertDiT, texts: TextEncoder) -> None:
        """Take a loaded network."""
        self.network = network
        self._texts = texts
        self._known: OrderedDict[str | None, Tensor] = OrderedDict()

    @torch.no_grad()
    def keys_values(self, caption: str | None) -> Tensor:
        """Keys and values of a caption, or of no caption, for every layer; computed once and by itself.

        Returns:
            Shape ``(layers, 2, heads, L, D / heads)``.
        """
        if caption not in self._known:
            embedding = self._texts.null() if caption is None else self._texts.embedding(caption)
            known = read(self.network, embedding[None].to(self.network.text_proj.weight.device))
            self._known[caption] = torch.stack([torch.stack([kv.keys[0], kv.values[0]]) for kv in known])
        self._known.move_to_end(caption)
        return self._known[caption]

    def table(self, captions: Sequence[str | None], *, guided: bool) -> tuple[Tensor, Tensor]:
        """Keys and values of the distinct captions of a batch, with those of no caption last if ``guided``.

        Returns:
            Shape ``(U, layers, 2, heads, L, D / heads)``, and the place of each row's caption in it, int64, ``(B,)``.
        """
        distinct = list(dict.fromkeys(captions))
        place = {caption: i for i, caption in enumerate(distinct)}
        wanted = [*distinct, None] if guided else distinct
        table = torch.stack([self.keys_values(caption) for caption in wanted])
        while len(self._known) > len(wanted) and len(self._known) * table[0].nbytes > TEXT_BYTES:
            self._known.popitem(last=False)
        return table, torch.tensor([place[caption] for caption in captions], device=table.device)

    def velocity(self, x: Tensor, t: Tensor, rows: Tensor, table: Tensor, guidance: float) -> Tensor:
        r"""The guided velocity :math:`v_u + s (v_c - v_u)`, conditional and unconditional in one batch.

        Args:
            x: latents ``(B, C, S, S)``.
            t: times ``(B,)``.
            rows: the place of each latent's caption in ``table``, int64, shape ``(B,)``.
            table: of the method `table`, with the null text last unless the guidance is 1.
            guidance: the scale s; 1 is the conditional velocity alone.
        """
        if guidance == 1:
            return evaluate(self.network, x, t, _layers(table[rows]))
        both = torch.cat([rows, torch.full_like(rows, len(table) - 1)])
        velocities = evaluate(self.network, torch.cat([x, x]), torch.cat([t, t]), _layers(table[both]))
        conditional, unconditional = velocities.chunk(2)
        guided: Tensor = unconditional + guidance * (conditional - unconditional)
        return guided


def _layers(table: Tensor) -> list[KeysValues]:
    return [KeysValues(layer[:, 0], layer[:, 1]) for layer in table.unbind(dim=1)]


@final
class Networks:
    """Experts, router and monolith of a folder. Files are mapped, so what is not used is not read."""

    def __init__(
        self, folder: ParisFolder, texts: TextEncoder, device: torch.device, dtype: torch.dtype, details: Details
    ) -> None:
        """Take a folder; nothing is loaded yet."""
        self._folder = folder
        self._texts = texts
        self._device = device
        self._dtype = dtype
        self._details = details
        self._experts: OrderedDict[int, GuidedExpert] = OrderedDict()

    @cached_property
    def resident(self) -> int:
        """How many experts stay loaded at the most."""
        k = self._folder.root.num_experts
        stored = sum((self._folder.expert(i) / EXPERT_WEIGHTS).stat().st_size for i in range(k))
        return k if stored <= MEMORY_SHARE * _memory() else min(k, FEWEST)

    def expert(self, k: int) -> GuidedExpert:
        """An expert; the one that was not used for the longest time makes room for it."""
        if k not in self._experts:
            while len(self._experts) >= self.resident:
                self._experts.popitem(last=False)
            self._experts[k] = self._load_expert(self._folder.expert(k))
        self._experts.move_to_end(k)
        return self._experts[k]

    @cached_property
    def monolith(self) -> GuidedExpert:
        """The model of all data.

        Raises:
            InputError: if the folder has none.
        """
        return self._load_expert(self._folder.need(MONOLITH, "the release has none; choose a routing instead"))

    @cached_property
    def router(self) -> RouterDiT:
        """The router."""
        place, root = self._folder.path / ROUTER, self._folder.root
        config = read_config(place / CONFIG, DiTRouterConfig)
        if config.num_clusters != root.num_experts:
            raise InputError(f"{place / CONFIG} has {config.num_clusters} clusters for {root.num_experts} experts")
        _check_channels(place / CONFIG, config.in_channels, root.num_channels)
        with torch.device("meta"):
            network = RouterDiT(config, root.image_size, self._details)
        return self._load(network, place / ROUTER_WEIGHTS)

    def _load_expert(self, place: Path) -> GuidedExpert:
        root = self._folder.root
        config = read_config(place / CONFIG, DiTExpertConfig)
        for channels in (config.in_channels, config.out_channels):
            _check_channels(place / CONFIG, channels, root.num_channels)
        with torch.device("meta"):
            network = ExpertDiT(config, root.image_size, self._details)
        return GuidedExpert(self._load(network, place / EXPERT_WEIGHTS), self._texts)

    def _load(self, network: Network, path: Path) -> Network:
        # A file may leave the fixed positions out, so they are the one parameter that is real before loading.
        dim, patch = network.config.hidden_size, network.config.patch_size
        network.pos_embed = nn.Parameter(sincos_positions(dim, self._folder.root.image_size // patch))
        return load_mapped(network, path, self._dtype).to(self._device)


def _check_channels(path: Path, stated: int, expected: int) -> None:
    if stated != expected:
        raise InputError(f"{path} says {stated} channels, but the latents of the model have {expected}")


def _memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8 << 30
