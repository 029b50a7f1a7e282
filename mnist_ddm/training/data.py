"""The data module: batch number `step` is a pure function of *(seed, part, step)*."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, final

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from mnist_ddm.core.noise import Purpose, generator
from mnist_ddm.models.presets import Recipe
from mnist_ddm.training.objectives import Batch, Data, Objective


@final
@dataclass(frozen=True)
class Streams:
    """What everything random of one training is derived from.

    Attributes:
        seed: of the run.
        kind: of the model, a number below 2^32.
        number: among the models of its kind, below 2^32.
    """

    seed: int
    kind: int
    number: int

    def of(self, purpose: Purpose, index: int = 0) -> np.random.Generator:
        """The stream for a purpose; ``index`` tells epochs or steps apart."""
        return generator(self.seed, purpose, index, (self.kind << 32) + self.number)

    def torch_seed(self) -> int:
        """A seed for torch's own generator, which takes 32 bits: for initial weights, and nothing that repeats."""
        return int(self.of(Purpose.WEIGHTS).integers(2**32))


def rows_of_step(n: int, batch: int, step: int, streams: Streams) -> Tensor:
    """The rows ``(batch,)`` of batch ``step`` when an endless sequence of shuffled epochs is cut into batches."""
    first, last = step * batch, (step + 1) * batch
    epochs = range(first // n, (last - 1) // n + 1)
    order = np.concatenate([_order(n, streams, epoch) for epoch in epochs])
    offset = epochs.start * n
    return torch.from_numpy(order[first - offset : last - offset])


@lru_cache(maxsize=4)
def _order(n: int, streams: Streams, epoch: int) -> "np.ndarray[Any, Any]":
    """The rows of an epoch, shuffled; the steps of an epoch follow each other, and shuffling takes longer than one."""
    return streams.of(Purpose.ORDER, epoch).permutation(n)


@final
class StepBatches(IterableDataset[Batch], Generic[Data]):
    """The batches of steps ``start .. stop - 1``."""

    def __init__(self, data: Data, objective: Objective[Data], recipe: Recipe, steps: range, streams: Streams) -> None:
        self._data = data
        self._objective = objective
        self._recipe = recipe
        self._steps = steps
        self._streams = streams

    def __iter__(self) -> Iterator[Batch]:
        for step in self._steps:
            rows = rows_of_step(len(self._data), self._recipe.batch, step, self._streams)
            yield self._objective.batch(self._data, rows, self._recipe, self._streams.of(Purpose.BATCH, step))


@final
class StepDataModule(lightning.LightningDataModule):
    """Hands the batches of one training to Lightning."""

    def __init__(self, batches: IterableDataset[Batch]) -> None:
        super().__init__()
        self._batches = batches

    def train_dataloader(self) -> DataLoader[Batch]:
        # Without a generator of its own, a loader draws a seed from the global random state.
        return DataLoader(self._batches, batch_size=None, generator=torch.Generator())
