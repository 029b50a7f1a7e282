"""How routings and solvers are spelled, without importing any: a list of them appears at once.

What each spelling makes is in `core/routing/grammar.py` and `core/solvers.py`.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnist_ddm.core.routing.base import Routing

Make = Callable[[str], "Routing"]
"""From the text after a strategy's name to the strategy."""
ENTRY_POINT_GROUP = "mnist_ddm.routings"

STRATEGIES: Mapping[str, str] = {
    "top": "top1, top2, ...",
    "full": "full",
    "uniform": "uniform",
    "misaligned": "misaligned1, misaligned2, ...",
    "once": "once, once=prior",
    "each": "each",
    "commit": "commit=0.9",
    "top-p": "top-p=0.9",
    "min-p": "min-p=0.01",
    "label": "label",
    "posterior": "posterior",
    "gumbel": "gumbel, gumbel2, ...",
    "median": "median",
    "geometric": "geometric",
}
"""The strategies that ship: name and spelling."""

MODIFIERS: Mapping[str, str] = {
    "@t": "@T=0.5",
    "@centroids": "@centroids, @centroids=static",
    "@likelihood": "@likelihood",
    "@clean": "@clean",
    "@density": "@density",
    "@implied": "@implied",
    "+caption": "+caption",
    "@rough": "@rough=50",
    "@fault": "@fault=flipped, @fault=stale, ...",
    "+clip": "+clip",
    "+equal": "+equal",
}
"""The modifiers: name and spelling."""

SOLVERS: Mapping[str, int] = {"euler": 1, "heun": 2, "ab2": 2}
"""The solvers and their orders."""

_registered: dict[str, Make] = {}


def registered_routings() -> Mapping[str, Make]:
    """What this process registered, by name."""
    return dict(_registered)


def adopt_routings(routings: Mapping[str, Make]) -> None:
    """Know the strategies that another process registered."""
    _registered.update(routings)


def foreign_routings() -> list[EntryPoint]:
    """Those that installed packages add."""
    return [entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name not in STRATEGIES]


def known_routings() -> list[str]:
    """How the strategies that exist here are spelled, those of other packages included."""
    others = {*registered_routings(), *(entry.name for entry in foreign_routings())}
    return [*STRATEGIES.values(), "each~0.8~top1 (one down to t = 0.8, then another)", *sorted(others)]


def known_modifiers() -> list[str]:
    """How a strategy is changed; several may follow each other, as in `full@T=4+clip`."""
    return list(MODIFIERS.values())
