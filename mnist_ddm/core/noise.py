"""Randomness that belongs to a sample, not to a batch.

Every random number is a pure function of *(run seed, sample, purpose, index)*. So a sample does not depend on the batch
size, on the order of a batch, on which other samples run or on how many workers there are, and no global random state
is read or moved.

The numbers come from counter-based generators, whose key and counter have a field of fixed width for each of the four:
different fields are different blocks of one bijection, so no two streams can share a number by construction. Those of
samples are computed for a whole batch at once (Philox-4x32-10); long streams that belong to no sample, such as the
order of training data, come from NumPy's Philox-4x64-10.

References:
    Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.
"""

import math
from enum import IntEnum
from functools import cache

import numpy as np
import torch
from torch import Tensor

_SAMPLE_BITS = 32
MAX_SEED = 2**31 - 1
"""The largest seed of a run; the seeds of its samples are made from it."""

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORDS = 4
"""Words of 32 bits in a block."""


class Purpose(IntEnum):
    """What a random number is for; numbers of different purposes are independent."""

    NOISE = 0
    CLUSTER = 1
    ROUTING = 2
    SUBSET = 3
    POINTS = 4
    """Of a trajectory, at which its local error is measured."""
    PARTITION = 5
    SHUFFLE = 6
    """Of real data, so that a part of them is a fair one."""
    RESAMPLE = 7
    ORDER = 8
    """Of the data of a training."""
    BATCH = 9
    """Everything random of a training step."""
    WEIGHTS = 10
    """Of an untrained model."""
    SYSTEM = 11
    """What a synthetic system is made of."""
    DATA = 12
    """Synthetic data."""
    EXERCISE = 13
    GUMBEL = 14
    """Of a routing that perturbs the router's logits."""
    PROBE = 15
    """Directions along which traces are estimated."""
    CHURN = 16
    """What a solver with churn puts in the place of a state's noise."""


def generator(seed: int, purpose: Purpose, index: int = 0, part: int = 0) -> np.random.Generator:
    """A long stream of numbers that belong to no sample.

    Args:
        seed: of the run, at least 0.
        purpose: what they are for.
        index: tells repeated draws apart, at least 0.
        part: tells things apart that draw repeatedly, such as the experts of a training; at least 0.
    """
    # The two low words of the counter count the numbers of the stream.
    philox = np.random.Philox(
        key=np.array([seed, purpose], np.uint64), counter=np.array([0, 0, index, part], np.uint64)
    )
    return np.random.Generator(philox)


def sample_seeds(seed: int, n: int, start: int = 0) -> Tensor:
    """The seeds of samples ``start .. start + n - 1`` of the run ``seed``, int64, shape ``(n,)``.

    Sample ``i`` of a run has the same seed however many samples the run has.

    Raises:
        ValueError: if ``seed`` is not in ``[0, MAX_SEED]``.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"a seed must be between 0 and {MAX_SEED}, not {seed}")
    return (seed << _SAMPLE_BITS) + torch.arange(start, start + n, dtype=torch.int64)


def sample_numbers(seeds: Tensor) -> Tensor:
    """The number of each sample in its run, from its seed; int64, shape of ``seeds``."""
    return torch.bitwise_and(seeds, _WORD)


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Philox-4x32-10: four words for each counter and key, a bijection of the counter for each key.

    Args:
        counter: words in ``[0, 2^32)``, int64, of shapes that broadcast together.
        key: likewise.

    Returns:
        Four words in ``[0, 2^32)``, int64.
    """
    (a, b, c, d), (first, second) = counter, key
    for _ in range(_ROUNDS):
        # Products of two words fill all 64 bits; the sign that int64 reads there does not matter to the halves.
        x, y = _MULTIPLIERS[0] * a, _MULTIPLIERS[1] * c
        a, b, c, d = ((y >> 32) & _WORD) ^ b ^ first, y & _WORD, ((x >> 32) & _WORD) ^ d ^ second, x & _WORD
        first, second = (first + _WEYL[0]) & _WORD, (second + _WEYL[1]) & _WORD
    return a, b, c, d


def _uniforms(seeds: Tensor, purpose: Purpose, index: int, n: int) -> Tensor:
    """The first ``n`` numbers in ``[0, 1)`` of each sample's stream, float64 with 53 random bits, ``(B, n)``."""
    blocks = math.ceil(2 * n / _WORDS)
    position = torch.arange(blocks, dtype=torch.int64, device=seeds.device)[None]
    fixed = (torch.full_like(position, value) for value in (index, purpose, 0))
    numbers = sample_numbers(seeds)[:, None]
    words = philox((position, *fixed), ((seeds >> _SAMPLE_BITS)[:, None], numbers))  # type: ignore[arg-type]  # four words
    pairs = torch.stack([(words[i] >> 5) * 2**26 + (words[i + 1] >> 6) for i in (0, 2)], dim=2)
    return pairs.flatten(1)[:, :n].double() / 2**53


def initial_noise(seeds: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Standard normal start states, float32, shape ``(B, *shape)``; row ``i`` depends on ``seeds[i]`` alone."""
    return normals(seeds, shape, Purpose.NOISE)


def normals(seeds: Tensor, shape: tuple[int, ...], purpose: Purpose, index: int = 0) -> Tensor:
    """Standard normal states, float32, shape ``(B, *shape)``; row ``i`` depends on ``seeds[i]`` alone.

    Two normal numbers from two uniform ones (Box and Muller 1958), in float64. ``index`` tells repeated draws of one
    sample apart.
    """
    size = math.prod(shape)
    uniform = _uniforms(seeds, purpose, index, size + size % 2).reshape(len(seeds), -1, 2)
    radius, angle = (-2 * torch.log1p(-uniform[..., 0])).sqrt(), 2 * math.pi * uniform[..., 1]
    normal = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=2)
    return normal.flatten(1)[:, :size].float().reshape(len(seeds), *shape)


def uniforms(seeds: Tensor, purpose: Purpose, index: int = 0) -> Tensor:
    """One uniform number in ``[0, 1)`` for each sample, float64, shape ``(B,)``.

    ``index`` tells repeated draws of one sample apart; for routing it is the interval of the step grid.
    """
    return _uniforms(seeds, purpose, index, 1)[:, 0]


def gumbels(seeds: Tensor, n: int) -> Tensor:
    """For each sample ``n`` independent standard Gumbel numbers, float64, shape ``(B, n)``.

    The largest of logits with these added to them is an exact draw from their softmax (Gumbel 1954).
    """
    return -(-gumbel_uniforms(seeds, n).log()).log()


def gumbel_uniforms(seeds: Tensor, n: int) -> Tensor:
    """The numbers u in ``(0, 1)`` whose -log(-log u) `gumbels` has, float64, shape ``(B, n)``."""
    return _uniforms(seeds, Purpose.GUMBEL, 0, n) + 2.0**-54


def signs(seeds: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Numbers that are 1 or -1, each with chance a half, float32, shape ``(B, *shape)``; the same all along."""
    uniform = _uniforms(seeds, Purpose.PROBE, 0, math.prod(shape))
    return torch.where(uniform < 0.5, 1.0, -1.0).reshape(len(seeds), *shape)


@cache
def directions(n: int, numbers: int) -> Tensor:
    """Unit vectors for what a synthetic system is made of, the same always; float64, shape ``(n, numbers)``."""
    rows = [generator(0, Purpose.SYSTEM, i).standard_normal(numbers) for i in range(n)]
    with torch.inference_mode(False):  # they are kept, and derivatives may be asked for later
        return torch.nn.functional.normalize(torch.stack([torch.from_numpy(row) for row in rows]), dim=1)


def subsets(seeds: Tensor, purpose: Purpose, index: int, n: int, k: int) -> Tensor:
    """For each sample ``k`` different numbers of ``0 .. n - 1``, all sets equally likely; int64, shape ``(B, k)``."""
    return _uniforms(seeds, purpose, index, n).argsort(dim=1, stable=True)[:, :k]


def categorical(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Draw one category for each row by inverting the cumulative distribution.

    Args:
        probabilities: non-negative, shape ``(B, K)`` or ``(K,)``; normalised here.
        uniform: numbers in ``[0, 1)``, shape ``(B,)``.

    Returns:
        Categories in ``0 .. K - 1``, int64, shape ``(B,)``, on the CPU. A category of probability 0 is never drawn.
    """
    cumulative = probabilities.detach().cpu().double().cumsum(dim=-1)
    if cumulative.ndim == 1:
        cumulative = cumulative.expand(len(uniform), -1)
    threshold = uniform.cpu().double() * cumulative[:, -1]
    return (cumulative <= threshold[:, None]).sum(dim=1).clamp(max=cumulative.shape[1] - 1)
