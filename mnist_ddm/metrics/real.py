"""What samples are compared with: the features of a system's held-out real states, extracted once for a pool."""

from functools import cached_property
from typing import final
from weakref import ReferenceType, ref

from torch import Tensor

from mnist_ddm.core.measures import Features
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.metrics.fidelity import HELD_OUT
from mnist_ddm.metrics.frechet import KernelDistance, extract, frechet_distance
from mnist_ddm.metrics.frechet_limit import LimitDistance


@final
class RealFeatures:
    """Features of held-out real states and the distances to them.

    Attributes:
        vectors: float64, shape ``(N, dim)``.
    """

    def __init__(self, vectors: Tensor) -> None:
        """Take the features ``(N, dim)``."""
        self.vectors = vectors

    @cached_property
    def kernel(self) -> KernelDistance:
        """The kernel distance to them, which compares each with all others when it is first asked for."""
        return KernelDistance(self.vectors)

    @cached_property
    def limit(self) -> LimitDistance:
        """The Frechet distance to them of infinitely many samples."""
        return LimitDistance(self.vectors)


_known: list[tuple[ReferenceType[ExpertPool], dict[str, RealFeatures]]] = []
"""Of the pools that are still there; by identity, since a pool need not be hashable."""


def real_features(pool: ExpertPool, features: Features) -> RealFeatures:
    """Features of the first `HELD_OUT` held-out real states of a system.

    Raises:
        InputError: if the system has no real states.
    """
    _known[:] = [entry for entry in _known if entry[0]() is not None]
    by_name = next((by_name for of, by_name in _known if of() is pool), None)
    if by_name is None:
        by_name = {}
        _known.append((ref(pool), by_name))
    if features.name not in by_name:
        by_name[features.name] = RealFeatures(extract(features, real_images(pool)))
    return by_name[features.name]


def frechet_floor(pool: ExpertPool, features: Features, n: int) -> float | None:
    """The Frechet distance of ``n`` real training states to the held-out ones: no FID of n is lower but by luck.

    ``None`` where a system has fewer than ``n`` training states, or fewer than two.
    """
    states = pool.measures.real_states(n, held_out=False)[0]
    if len(states) < max(n, 2):
        return None
    reference = real_features(pool, features).vectors
    return frechet_distance(reference, extract(features, pool.decode(states))) if len(reference) > 1 else None


def real_images(pool: ExpertPool) -> Tensor:
    """The first `HELD_OUT` held-out real states of a system, decoded.

    Raises:
        InputError: if the system has no real states.
    """
    return pool.decode(pool.measures.real_states(HELD_OUT)[0])
