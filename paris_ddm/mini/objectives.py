"""What each part of the small Paris is trained for."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_ddm.core.flow import flow_matching_error, interpolate
from mnist_ddm.models.presets import Recipe
from mnist_ddm.training.objectives import Batch, Objective, training_times
from paris_ddm.mini.data import WAYS, ColouredDigits
from paris_ddm.mini.parts import LATENT_CHANNELS, LATENT_SIDE

DROPPED_CAPTIONS = 0.1
"""Share of training captions replaced by no caption, for classifier-free guidance (the release's own value)."""


@final
class AutoencoderObjective(Objective[ColouredDigits]):
    """Squared error of the reconstruction and a small divergence from the normal distribution."""

    divergence = 1e-4

    def batch(self, data: ColouredDigits, rows: Tensor, recipe: Recipe, rng: np.random.Generator) -> Batch:
        noise = torch.from_numpy(
            rng.standard_normal((len(rows), LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE), np.float32)
        )
        return {"clean": data.images(rows) * 2 - 1, "noise": noise, "t": torch.zeros(len(rows))}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        autoencoder: Any = model
        posterior = autoencoder.encode(batch["clean"]).latent_dist
        decoded = autoencoder.decode(posterior.mean + posterior.std * batch["noise"]).sample
        error = (decoded - batch["clean"]).square().flatten(1).mean(dim=1)
        loss: Tensor = error + self.divergence * posterior.kl() / batch["noise"][0].numel()
        return loss


@final
class ContrastiveObjective(Objective[ColouredDigits]):
    """Which caption belongs to which image of the batch, both ways; equal captions count as equal (CLIP)."""

    def __init__(self, tokens: Tensor) -> None:
        """Take the tokens of every caption, int64, shape ``(captions, L)``."""
        self._tokens = tokens

    def batch(self, data: ColouredDigits, rows: Tensor, recipe: Recipe, rng: np.random.Generator) -> Batch:
        captions = data.caption_rows[rows]
        meaning = captions // WAYS
        return {
            "clean": data.images(rows),
            "tokens": self._tokens[captions],
            "meaning": meaning,
            "t": torch.zeros(len(rows)),
        }

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        logits = model(batch["clean"], batch["tokens"])
        same = (batch["meaning"][:, None] == batch["meaning"][None, :]).to(logits)
        target = same / same.sum(dim=1, keepdim=True)
        of_images = -(target * logits.log_softmax(dim=1)).sum(dim=1)
        of_captions = -(target * logits.T.log_softmax(dim=1)).sum(dim=1)
        loss: Tensor = (of_images + of_captions) / 2
        return loss


@final
class AttributeObjective(Objective[ColouredDigits]):
    """Cross-entropy of digit, ink and ground on images moved by up to two pixels."""

    shift = 2

    def batch(self, data: ColouredDigits, rows: Tensor, recipe: Recipe, rng: np.random.Generator) -> Batch:
        moved = rng.integers(-self.shift, self.shift, 2, endpoint=True).tolist()
        images = functional.pad(data.images(rows), [self.shift] * 4, mode="replicate")
        images = images.roll(moved, dims=(2, 3))[:, :, self.shift : -self.shift, self.shift : -self.shift]
        return {"clean": images, "target": data.attributes[rows], "t": torch.zeros(len(rows))}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        losses = [
            functional.cross_entropy(logits, batch["target"][:, i], reduction="none", label_smoothing=0.02)
            for i, logits in enumerate(model(batch["clean"]))
        ]
        return torch.stack(losses).sum(dim=0)


@dataclass(frozen=True)
class LatentData:
    """All that the training of an expert, a router or the monolith may see.

    Attributes:
        latents: scaled, shape ``(N, C, S, S)``; for an expert those of its own cluster and nothing else.
        captions: rows of ``texts``, int64, shape ``(N,)``.
        clusters: int64, shape ``(N,)``.
        texts: embedded captions, ``(captions, L, E)``; the last one is no caption.
    """

    latents: Tensor
    captions: Tensor
    clusters: Tensor
    texts: Tensor

    def __len__(self) -> int:
        return len(self.latents)


def _noised(data: LatentData, rows: Tensor, recipe: Recipe, rng: np.random.Generator) -> Batch:
    clean = data.latents[rows]
    noise = torch.from_numpy(rng.standard_normal(clean.shape, np.float32))
    return {"clean": clean, "noise": noise, "t": training_times(len(rows), recipe, rng)}


@final
class CaptionedVelocityObjective(Objective[LatentData]):
    """Flow matching given a caption, which is left out now and then."""

    def batch(self, data: LatentData, rows: Tensor, recipe: Recipe, rng: np.random.Generator) -> Batch:
        batch = _noised(data, rows, recipe, rng)
        dropped = torch.from_numpy(rng.random(len(rows)) < DROPPED_CAPTIONS)
        texts = data.texts[torch.where(dropped, len(data.texts) - 1, data.captions[rows])]
        return {**batch, "texts": texts}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        predicted = model(interpolate(batch["clean"], batch["noise"], batch["t"]), batch["t"], batch["texts"])
        return flow_matching_error(predicted, batch["clean"], batch["noise"])


@final
class ClusterObjective(Objective[LatentData]):
    """Cross-entropy of the cluster given a noised latent and its time."""

    def batch(self, data: LatentData, rows: Tensor, recipe: Recipe, rng: np.random.Generator) -> Batch:
        return {**_noised(data, rows, recipe, rng), "target": data.clusters[rows]}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        logits = model(interpolate(batch["clean"], batch["noise"], batch["t"]), batch["t"])
        return functional.cross_entropy(logits, batch["target"], reduction="none")
