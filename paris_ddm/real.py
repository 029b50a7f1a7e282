"""Real images as latents, with the cluster and the caption of each: what measurements compare samples with."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import msgspec
import torch
from torch import Tensor

from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import read_tensors, write_tensors
from mnist_ddm.storage.typed import as_kind

SPLITS = ("training", "held-out")
_MADE_AGAIN = "a file of real states; make it again with `mnist-ddm paris cluster`"


@dataclass(frozen=True)
class RealStates:
    """Real states of one split.

    Attributes:
        latents: scaled, float32, shape ``(N, C, S, S)``.
        clusters: int64, shape ``(N,)``.
        captions: one for each state; empty texts if the images had none.
    """

    latents: Tensor
    clusters: Tensor
    captions: tuple[str, ...]

    def rows(self, n: int, cluster: int | None) -> Tensor:
        """The first ``n`` rows, of one cluster or of all."""
        every = torch.arange(len(self.clusters)) if cluster is None else (self.clusters == cluster).nonzero()[:, 0]
        return every[:n]


def write_real(path: Path, splits: dict[str, RealStates]) -> None:
    """Write the splits `training` and `held-out` atomically, latents in half precision."""
    tensors: dict[str, Tensor] = {}
    for name, states in splits.items():
        tensors[f"{name}.latents"] = states.latents.half()
        tensors[f"{name}.clusters"] = states.clusters.to(torch.int16)
    write_tensors(path, tensors, {"captions": {name: list(states.captions) for name, states in splits.items()}})


@final
class _Captions(msgspec.Struct, frozen=True):
    captions: dict[str, tuple[str, ...]]


def read_real(path: Path, shape: tuple[int, ...], n_experts: int) -> dict[str, RealStates]:
    """Read both splits.

    Raises:
        InputError: if the file is damaged, holds latents of another shape or not finite, or other clusters.
    """
    tensors, header = read_tensors(path, finite=True)
    stated = as_kind(header, _Captions, f"the header of {path}", _MADE_AGAIN).captions
    splits = {}
    for name in SPLITS:
        try:
            latents, clusters, captions = tensors[f"{name}.latents"], tensors[f"{name}.clusters"], stated[name]
        except KeyError as error:
            raise InputError(f"{path} lacks {error}; make it again with `mnist-ddm paris cluster`") from None
        sizes = {tuple(values.shape[:1]) for values in (latents, clusters)} | {(len(captions),)}
        if tuple(latents.shape[1:]) != shape or len(sizes) != 1 or clusters.ndim != 1:
            raise InputError(
                f"{path} holds {name} latents of shape {tuple(latents.shape)} for clusters of shape "
                f"{tuple(clusters.shape)} and {len(captions)} captions, but the model's states have shape {shape}"
            )
        integers = not clusters.is_floating_point() and not clusters.is_complex()
        if not latents.is_floating_point() or not integers or _outside(clusters.long(), n_experts):
            raise InputError(f"{path} is not {_MADE_AGAIN} (clusters must be 0 .. {n_experts - 1})")
        splits[name] = RealStates(latents.float(), clusters.long(), captions)
    return splits


def _outside(clusters: Tensor, n_experts: int) -> bool:
    return len(clusters) > 0 and not 0 <= int(clusters.min()) <= int(clusters.max()) < n_experts
