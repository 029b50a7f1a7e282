"""Randomness that belongs to a sample, not to a batch.

Every random number used while sampling is a pure function of *(sample seed, purpose, index)*. So a sample does not
depend on the batch size, on the order of a batch, on which other samples run or on how many workers there are, and
no global random state is read or moved.
"""

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

_SEED_BITS = 31
MAX_SEED = 2**_SEED_BITS - 1
"""The largest seed of a run; the seeds of its samples are made from it."""


class Purpose(IntEnum):
    """What a random number is for; numbers of different purposes are independent."""

    NOISE = 0
    CLUSTER = 1
    ROUTING = 2
    DATA = 3
    SUBSET = 4


def generator(*key: int) -> np.random.Generator:
    """A counter-based generator (Philox) whose whole state is derived from a tuple of non-negative integers."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def sample_seeds(seed: int, n: int, start: int = 0) -> Tensor:
    """The seeds of samples ``start .. start + n - 1`` of the run ``seed``, int64, shape ``(n,)``.

    Sample ``i`` of a run has the same seed however many samples the run has.

    Raises:
        ValueError: if ``seed`` is not in ``[0, MAX_SEED]``.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"a seed must be between 0 and {MAX_SEED}, not {seed}")
    return (seed << (63 - _SEED_BITS)) + torch.arange(start, start + n, dtype=torch.int64)


def sample_numbers(seeds: Tensor) -> Tensor:
    """The number of each sample in its run, from its seed; int64, shape of ``seeds``."""
    return torch.remainder(seeds, 2 ** (63 - _SEED_BITS))


def initial_noise(seeds: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Standard normal start states, float32, shape ``(B, *shape)``; row ``i`` depends on ``seeds[i]`` alone."""
    rows = [generator(int(s), Purpose.NOISE).standard_normal(shape, dtype=np.float32) for s in seeds]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, *shape)


def uniforms(seeds: Tensor, purpose: Purpose, index: int = 0) -> Tensor:
    """One uniform number in ``[0, 1)`` for each sample, float64, shape ``(B,)``.

    ``index`` tells repeated draws of one sample apart; for routing it is the interval of the step grid.
    """
    return torch.tensor([generator(int(s), purpose, index).random() for s in seeds], dtype=torch.float64)


def subsets(seeds: Tensor, index: int, n: int, k: int) -> Tensor:
    """For each sample ``k`` different numbers of ``0 .. n - 1``, all sets equally likely; int64, shape ``(B, k)``."""
    rows = [generator(int(s), Purpose.SUBSET, index).permutation(n)[:k] for s in seeds]
    return torch.from_numpy(np.stack(rows).astype(np.int64)) if rows else torch.empty(0, k, dtype=torch.int64)


def categorical(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Draw one category for each row by inverting the cumulative distribution.

    Args:
        probabilities: non-negative, shape ``(B, K)`` or ``(K,)``; normalised here.
        uniform: numbers in ``[0, 1)``, shape ``(B,)``.

    Returns:
        Categories in ``0 .. K - 1``, int64, shape ``(B,)``. A category of probability 0 is never drawn.
    """
    cumulative = probabilities.detach().double().cpu().cumsum(dim=-1)
    if cumulative.ndim == 1:
        cumulative = cumulative.expand(len(uniform), -1)
    threshold = uniform.double().cpu() * cumulative[:, -1]
    return (cumulative <= threshold[:, None]).sum(dim=1).clamp(max=cumulative.shape[1] - 1)
