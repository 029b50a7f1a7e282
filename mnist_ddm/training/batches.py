"""The data module: batch number `step` is a pure function of *(seed, part, step)*."""

from collections.abc import Iterator
from typing import Generic, final

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from mnist_ddm.core.noise import generator
from mnist_ddm.models.presets import Recipe
from mnist_ddm.training.objectives import Batch, Data, Objective

Key = tuple[int, ...]
"""The seed of the run and the numbers that tell its parts apart."""


def torch_generator(*key: int) -> torch.Generator:
    """A torch generator whose seed is a hash of the key."""
    return torch.Generator().manual_seed(int(generator(*key).integers(2**63)))


def rows_of_step(n: int, batch: int, step: int, key: Key) -> Tensor:
    """The rows ``(batch,)`` of batch ``step`` when an endless sequence of shuffled epochs is cut into batches."""
    first, last = step * batch, (step + 1) * batch
    epochs = range(first // n, (last - 1) // n + 1)
    order = torch.cat([torch.randperm(n, generator=torch_generator(*key, 0, epoch)) for epoch in epochs])
    offset = epochs.start * n
    return order[first - offset : last - offset]


@final
class StepBatches(IterableDataset[Batch], Generic[Data]):
    """The batches of steps ``start .. stop - 1``."""

    def __init__(self, data: Data, objective: Objective[Data], recipe: Recipe, steps: range, key: Key) -> None:
        self._data = data
        self._objective = objective
        self._recipe = recipe
        self._steps = steps
        self._key = key

    def __iter__(self) -> Iterator[Batch]:
        for step in self._steps:
            rows = rows_of_step(len(self._data), self._recipe.batch, step, self._key)
            yield self._objective.batch(self._data, rows, self._recipe, torch_generator(*self._key, 1, step))


@final
class StepDataModule(lightning.LightningDataModule):
    """Hands the batches of one training to Lightning."""

    def __init__(self, batches: IterableDataset[Batch]) -> None:
        super().__init__()
        self._batches = batches

    def train_dataloader(self) -> DataLoader[Batch]:
        # Without a generator of its own, a loader draws a seed from the global random state.
        return DataLoader(self._batches, batch_size=None, generator=torch.Generator())
