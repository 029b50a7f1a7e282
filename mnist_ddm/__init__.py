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
    from mnist_ddm.analyses.analysis import Answer as Answer
    from mnist_ddm.core.drawing import Pictures as Pictures
    from mnist_ddm.core.drawing import Points as Points
    from mnist_ddm.core.field import make_field as make_field
    from mnist_ddm.core.measures import Measures as Measures
    from mnist_ddm.core.pool import ExpertPool as ExpertPool
    from mnist_ddm.core.recording import Recording as Recording
    from mnist_ddm.core.recording import sample as sample
    from mnist_ddm.core.routing import Routing as Routing
    from mnist_ddm.core.routing import parse_routing as parse_routing
    from mnist_ddm.core.routing import register_routing as register_routing
    from mnist_ddm.core.visits import Noising as Noising
    from mnist_ddm.core.visits import Sampling as Sampling
    from mnist_ddm.errors import InputError as InputError
    from mnist_ddm.study.study import Study as Study
    from mnist_ddm.systems.contract import check_system as check_system
    from mnist_ddm.systems.registry import load_system as load_system
    from mnist_ddm.systems.simple import SimplePool as SimplePool
    from mnist_ddm.tables.table import Table as Table

_HOMES = {
    "Answer": "mnist_ddm.analyses.analysis",
    "ExpertPool": "mnist_ddm.core.pool",
    "InputError": "mnist_ddm.errors",
    "Measures": "mnist_ddm.core.measures",
    "Noising": "mnist_ddm.core.visits",
    "Pictures": "mnist_ddm.core.drawing",
    "Points": "mnist_ddm.core.drawing",
    "Recording": "mnist_ddm.core.recording",
    "Routing": "mnist_ddm.core.routing",
    "Sampling": "mnist_ddm.core.visits",
    "SimplePool": "mnist_ddm.systems.simple",
    "Study": "mnist_ddm.study.study",
    "Table": "mnist_ddm.tables.table",
    "check_system": "mnist_ddm.systems.contract",
    "load_system": "mnist_ddm.systems.registry",
    "make_field": "mnist_ddm.core.field",
    "parse_routing": "mnist_ddm.core.routing",
    "register_routing": "mnist_ddm.core.routing",
    "sample": "mnist_ddm.core.recording",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
