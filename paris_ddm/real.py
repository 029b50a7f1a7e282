"""Real images as latents, with the cluster and the caption of each: what measurements compare samples with."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import read_tensors, write_tensors

SPLITS = ("training", "held-out")


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


def read_real(path: Path, shape: tuple[int, ...]) -> dict[str, RealStates]:
    """Read both splits.

    Raises:
        InputError: if the file is damaged or holds latents of another shape.
    """
    tensors, header = read_tensors(path)
    splits = {}
    for name in SPLITS:
        try:
            latents, clusters = tensors[f"{name}.latents"], tensors[f"{name}.clusters"]
            captions = tuple(header["captions"][name])
        except KeyError as error:
            raise InputError(f"{path} lacks {error}; make it again with `mnist-ddm paris cluster`") from None
        if tuple(latents.shape[1:]) != shape or not len(latents) == len(clusters) == len(captions):
            raise InputError(
                f"{path} holds {name} latents of shape {tuple(latents.shape)} for {len(clusters)} clusters and "
                f"{len(captions)} captions, but the model's states have shape {shape}"
            )
        splits[name] = RealStates(latents.float(), clusters.long(), captions)
    return splits
