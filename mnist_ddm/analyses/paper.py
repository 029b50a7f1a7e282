"""What the paper states, read from `paper.toml`."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from mnist_ddm.tables.table import Value

PARIS = "paris"
"""The paper's main system."""
SYSTEMS = (PARIS, "mnist")
"""The systems that the paper speaks of."""


def paper_values(analysis: str, system: str) -> dict[str, Any]:
    """What the paper states for an analysis on a system, or else on Paris, its main system; `place` says which.

    Beside the values of another system, orders and directions compare, and sizes do not. Beside data that are not in
    the paper there are none.

    Args:
        analysis: its name.
        system: of the paper, `mnist` or `paris`; empty for other data.
    """
    if system not in SYSTEMS:
        return {"place": "nothing of these data"}
    stated = _paper()[analysis]
    if system in stated:
        own: dict[str, Any] = stated[system]
        return own
    paris: dict[str, Any] = stated[PARIS]
    return {**paris, "place": f"{paris['place']}, on Paris"}


def stated_value(analysis: str, system: str, path: str) -> tuple[Value, str]:
    """One value that the paper states for an analysis, and the system of which it does.

    Args:
        analysis: its name.
        system: of the paper, whose value is wanted; where the paper has none, that of Paris, its main system. Of any
            other data it states nothing.
        path: the keys to the value, with colons between, such as ``top2:Delta_refine``.

    Returns:
        The value, or ``None`` if the paper states none, and the system.
    """
    for of in dict.fromkeys((system, PARIS)) if system in SYSTEMS else ():
        value: Any = _paper().get(analysis, {}).get(of)
        for key in path.split(":"):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str | int | float):
            return value, of
    return None, PARIS


def in_words(analysis: str, system: str, path: str) -> str:
    """The path of one of the paper's values in words, as it stands beside a verdict.

    Args:
        analysis: whose values they are.
        system: of the paper.
        path: as `stated_value` takes it.
    """
    words, keys = _paper()["words"], path.split(":")
    measure = stated_value(analysis, system, "measure")[0] if len(keys) == 1 and keys[0] not in words else None
    return " ".join([*([f"{measure},"] if measure else []), *(str(words.get(key, key)) for key in keys)])


@cache
def _paper() -> dict[str, Any]:
    return tomllib.loads(files("mnist_ddm.analyses").joinpath("paper.toml").read_text(encoding="utf-8"))
