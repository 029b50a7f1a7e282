"""What each kind of model is trained for: how a batch is made, and its loss for each sample."""

from abc import ABC, abstractmethod
from collections.abc import Sized
from dataclasses import dataclass
from typing import Generic, TypeVar, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_ddm.core.flow import flow_matching_error, interpolate, logit_normal
from mnist_ddm.data import to_state
from mnist_ddm.models.presets import Recipe

Batch = dict[str, Tensor]
Data = TypeVar("Data", bound=Sized)
"""All that a training may see; its length is the number of rows that batches are drawn from."""


@dataclass(frozen=True)
class TrainingData:
    """All that the training of one model may see.

    Attributes:
        images: uint8, shape ``(N, 1, 28, 28)``; for an expert its own part of the data and nothing else.
        targets: int64, shape ``(N,)``: clusters for the router, labels for the classifier, unused otherwise.
    """

    images: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.images)


class Objective(ABC, Generic[Data]):
    """A training objective. All randomness of a batch comes from the stream it is given."""

    @abstractmethod
    def batch(self, data: Data, rows: Tensor, recipe: Recipe, rng: np.random.Generator) -> Batch:
        """The batch of these rows for a step of ``recipe``: tensors by name, with the times ``t`` among them."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss of each sample, shape ``(B,)``."""

    def inputs(self, batch: Batch) -> tuple[Tensor, ...] | None:
        """What the model is called with in `loss`, where that is all it is called with, and so can be captured."""
        return None

    def resident(self, data: Data) -> Batch:
        """What of the data can lie on the device of a training from its beginning; nothing by default."""
        return {}

    def drawn(self, data: Data, rows: Tensor, recipe: Recipe, rng: np.random.Generator) -> Batch:
        """What of a batch has to be sent for each step, with the times ``t`` among it; by default all of it."""
        return self.batch(data, rows, recipe, rng)

    def completed(self, drawn: Batch, resident: Batch) -> Batch:
        """The batch of what was drawn for it and what is resident, without waiting for the device where they lie."""
        return drawn


def training_times(n: int, recipe: Recipe, rng: np.random.Generator) -> Tensor:
    """Logit-normal times ``(n,)``, stratified: one in each n-th of the distribution, in random order."""
    uniform = torch.from_numpy((rng.permutation(n) + rng.random(n)) / n)
    normal = torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6))
    return logit_normal(normal, recipe.time_mean, recipe.time_spread).float()


class NoisedObjective(Objective[TrainingData]):
    """An objective of a noised image and its time: noise and times are drawn, images and targets are resident."""

    def batch(self, data: TrainingData, rows: Tensor, recipe: Recipe, rng: np.random.Generator) -> Batch:
        return self.completed(self.drawn(data, rows, recipe, rng), self.resident(data))

    def resident(self, data: TrainingData) -> Batch:
        # A table of the levels' states, as a GPU divides otherwise than the CPU.
        levels = to_state(torch.arange(256, dtype=torch.uint8))
        return {"images": data.images, "targets": data.targets, "levels": levels}

    def drawn(self, data: TrainingData, rows: Tensor, recipe: Recipe, rng: np.random.Generator) -> Batch:
        noise = torch.from_numpy(rng.standard_normal((len(rows), *data.images.shape[1:]), np.float32))
        return {"rows": rows, "noise": noise, "t": training_times(len(rows), recipe, rng)}

    def completed(self, drawn: Batch, resident: Batch) -> Batch:
        rows = drawn["rows"]
        clean = resident["levels"][resident["images"][rows].int()]
        return {"clean": clean, "noise": drawn["noise"], "t": drawn["t"], "target": resident["targets"][rows]}

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return interpolate(batch["clean"], batch["noise"], batch["t"]), batch["t"]


@final
class VelocityObjective(NoisedObjective):
    """Flow matching, for experts and the monolith."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return flow_matching_error(model(*self.inputs(batch)), batch["clean"], batch["noise"])


@final
class RouterObjective(NoisedObjective):
    """Cross-entropy of the cluster given a noised image and its time."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return functional.cross_entropy(model(*self.inputs(batch)), batch["target"], reduction="none")


@final
class ClassifierObjective(Objective[TrainingData]):
    """Cross-entropy with smoothed labels on clean images under small affine distortions."""

    smoothing = 0.05
    rotation = 0.2
    """Largest rotation, radians."""
    scale = 0.1
    shear = 0.15
    shift = 0.12
    """Largest shift, in half image sides."""

    def batch(self, data: TrainingData, rows: Tensor, recipe: Recipe, rng: np.random.Generator) -> Batch:
        n = len(rows)
        angle, zoom, shear, right, down = torch.from_numpy(rng.random((5, n), np.float32)) * 2 - 1
        angle, zoom, shear = angle * self.rotation, 1 + zoom * self.scale, shear * self.shear
        first = torch.stack([zoom * angle.cos(), shear - angle.sin(), right * self.shift], dim=1)
        second = torch.stack([angle.sin(), zoom * angle.cos(), down * self.shift], dim=1)
        clean = to_state(data.images[rows])
        grid = functional.affine_grid(torch.stack([first, second], dim=1), list(clean.shape), align_corners=False)
        # Outside the image lies background, which is -1, while grid_sample fills in 0.
        moved = functional.grid_sample(clean + 1, grid, align_corners=False) - 1
        return {"clean": moved, "t": torch.zeros(n), "target": data.targets[rows]}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        logits = model(batch["clean"])
        return functional.cross_entropy(logits, batch["target"], reduction="none", label_smoothing=self.smoothing)


OBJECTIVES: dict[str, Objective[TrainingData]] = {
    "expert": VelocityObjective(),
    "monolith": VelocityObjective(),
    "router": RouterObjective(),
    "classifier": ClassifierObjective(),
}
"""The objective of each kind of model."""
