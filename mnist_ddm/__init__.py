"""Decentralized diffusion models on a laptop: train, route, sample, analyze.

    >>> from mnist_ddm import Sampling, load_system, sample
    >>> pool = load_system("gaussian")
    >>> recording = sample(pool, Sampling("top2", n=4, steps=10), observables=("weights",))
    >>> recording.observed["weights"].shape
    torch.Size([4, 10, 8])

The names below are loaded on first use, so that importing the package does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_ddm.core.pool import ExpertPool as ExpertPool
    from mnist_ddm.core.recording import Recording as Recording
    from mnist_ddm.core.recording import sample as sample
    from mnist_ddm.core.routing import Routing as Routing
    from mnist_ddm.core.routing import parse_routing as parse_routing
    from mnist_ddm.core.routing import register_routing as register_routing
    from mnist_ddm.core.visits import Sampling as Sampling
    from mnist_ddm.errors import InputError as InputError
    from mnist_ddm.study.study import Study as Study
    from mnist_ddm.systems.registry import load_system as load_system

_HOMES = {
    "InputError": "mnist_ddm.errors",
    "ExpertPool": "mnist_ddm.core.pool",
    "Recording": "mnist_ddm.core.recording",
    "Sampling": "mnist_ddm.core.visits",
    "sample": "mnist_ddm.core.recording",
    "Routing": "mnist_ddm.core.routing",
    "parse_routing": "mnist_ddm.core.routing",
    "register_routing": "mnist_ddm.core.routing",
    "Study": "mnist_ddm.study.study",
    "load_system": "mnist_ddm.systems.registry",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
