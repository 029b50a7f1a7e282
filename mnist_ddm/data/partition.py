"""Partitions: which expert each training image belongs to."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mnist_ddm.core.noise import Purpose, generator
from mnist_ddm.data import Images, to_state
from mnist_ddm.errors import InputError, unknown

COMPONENTS = 32
"""Principal components that the k-means partition works on."""
_FIT_SAMPLES = 10_000


class Partition(Protocol):
    """Divides the training images of a data set among K experts."""

    def __call__(self, images: Images, n_experts: int, seed: int) -> Tensor:
        """The expert of each training image, int64, shape ``(N,)``."""


def by_digit(images: Images, n_experts: int, seed: int) -> Tensor:
    """One expert for each class: the paper's partition.

    Raises:
        InputError: if K is not the number of classes.
    """
    if n_experts != images.classes:
        raise InputError(
            f"the digit partition has one expert for each of the {images.classes} classes, not {n_experts}; "
            "leave --experts out, or use --partition random or kmeans"
        )
    return images.train_labels


def by_chance(images: Images, n_experts: int, seed: int) -> Tensor:
    """Equal random parts: the control in which no expert is specialised."""
    n = len(images.train_labels)
    order = _shuffled(seed).permutation(n)
    assignment = np.empty(n, dtype=np.int64)
    assignment[order] = np.arange(n) % n_experts
    return torch.from_numpy(assignment)


def _shuffled(seed: int) -> np.random.Generator:
    """The stream that random tenths are drawn from: as it was when the shipped control was trained on them."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((3, seed, 0))))


def by_kmeans(images: Images, n_experts: int, seed: int) -> Tensor:
    """Clusters of the images themselves: k-means on their first principal components; no label is used."""
    states = to_state(images.train_images).flatten(1).double()
    states = states - states.mean(dim=0)
    basis = torch.linalg.eigh(states.T @ states).eigenvectors[:, -COMPONENTS:]
    # The sign of an eigenvector is arbitrary; fix it, so that the clusters are the same everywhere.
    basis = basis * basis.gather(0, basis.abs().argmax(dim=0, keepdim=True)).sign()
    features = (states @ basis).numpy()
    rng = generator(seed, Purpose.PARTITION)
    subset = features[rng.permutation(len(features))[:_FIT_SAMPLES]]
    from scipy.cluster.vq import kmeans2  # which takes longer than dividing by label

    centres, _ = kmeans2(subset, n_experts, minit="++", iter=50, rng=rng)
    distances = ((features[:, None] - centres[None]) ** 2).sum(axis=2)
    return torch.from_numpy(distances.argmin(axis=1))


PARTITIONS: Mapping[str, Partition] = {"digit": by_digit, "random": by_chance, "kmeans": by_kmeans}
"""The partitions by name."""


def divide(images: Images, partition: str, n_experts: int, seed: int) -> Tensor:
    """The expert of each training image, int64, shape ``(N,)``.

    Raises:
        InputError: if the partition is unknown, K is out of range, or an expert would get no image.
    """
    if partition not in PARTITIONS:
        raise unknown("partition", partition, list(PARTITIONS))
    if not 1 <= n_experts <= len(images.train_labels):
        raise InputError(f"the number of experts must be between 1 and {len(images.train_labels)}, not {n_experts}")
    assignment = PARTITIONS[partition](images, n_experts, seed)
    sizes = assignment.bincount(minlength=n_experts)
    if int(sizes.min()) == 0:
        raise InputError(f"the {partition} partition leaves expert {int(sizes.argmin())} without images; use fewer")
    return assignment
