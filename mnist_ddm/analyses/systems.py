"""What analyses ask of a system: the fields, the distance and the features that it can have."""

import contextlib
from collections.abc import Sequence

import torch
from torch import Tensor

from mnist_ddm.core.field import MONOLITH, make_field
from mnist_ddm.core.measures import Distance, Features
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.errors import InputError, unknown


def distance_named(pool: ExpertPool, name: str) -> Distance:
    """The distance of a name, or the system's default if the name is empty.

    Raises:
        InputError: if the system has no distance of that name, or cannot compute it now (a file is missing).
    """
    distances = pool.measures.distances
    if not distances:
        raise InputError(f"the system {pool.name!r} has no distance of pictures; leave out what compares them")
    name = name or next(iter(distances))
    if name not in distances:
        raise unknown(f"distance of the system {pool.name!r}", name, list(distances))
    sample = _any_sample(pool)
    distances[name](sample, sample)
    return distances[name]


def features_named(pool: ExpertPool, name: str) -> Features:
    """The features of Frechet distances of a name, or the system's default if the name is empty.

    Raises:
        InputError: if the system has no features of that name, or cannot compute them now (a file is missing).
    """
    features = pool.measures.frechet_features
    if not features:
        raise InputError(f"the system {pool.name!r} has no features for a Frechet distance; leave out what asks for it")
    name = name or next(iter(features))
    if name not in features:
        raise unknown(f"features of the system {pool.name!r}", name, list(features))
    features[name](_any_sample(pool))
    return features[name]


def _any_sample(pool: ExpertPool) -> Tensor:
    """One decoded state to try a metric on, so that what is missing is said before hours of sampling."""
    with torch.no_grad():
        return pool.decode(torch.zeros(1, *pool.state_shape, device=pool.device))


def with_experts(name: str, routings: Sequence[str]) -> Sequence[str]:
    """Chosen routings, for an analysis that looks at their experts.

    Raises:
        InputError: if the monolith is among them.
    """
    if MONOLITH in routings:
        raise InputError(f"{name} looks at the experts of a routing, and the monolith has none; leave it out")
    return routings


def fitting(pool: ExpertPool, names: Sequence[str]) -> list[str]:
    """Those fields that the pool can have: no more experts than there are, and a monolith only if there is one."""
    possible = []
    for name in names:
        with contextlib.suppress(InputError):
            make_field(pool, name)
            possible.append(name)
    return possible
