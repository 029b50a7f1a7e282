"""Systems by name: those that ship here and those of any installed package, found through entry points.

A package adds a system by an entry point in the group `mnist_ddm.systems` whose object is a function that takes some
of the keyword arguments `device`, `checkpoint`, `data_dir` and those that installed systems contribute
(`mnist_ddm.systems.options`), each with a default, and returns an `ExpertPool`.
"""

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_ddm.errors import InputError, blamed, unknown

if TYPE_CHECKING:
    from mnist_ddm.core.pool import ExpertPool

ENTRY_POINT_GROUP = "mnist_ddm.systems"


def system_names() -> list[str]:
    """The systems that exist here."""
    return sorted({entry.name for entry in _entries()})


def load_system(
    name: str,
    *,
    device: str = "cpu",
    checkpoint: Path | str | None = None,
    data_dir: Path | str | None = None,
    **others: object,
) -> "ExpertPool":
    """Load a system.

    Args:
        name: `mnist`, `gaussian`, `paris`, or one of another package.
        device: `cpu`, `cuda`, `cuda:1`, `mps`, or `auto` for the best there is.
        checkpoint: a checkpoint folder instead of the one that ships.
        data_dir: a folder with the data of the system instead of what ships.
        others: whatever else the system takes, such as ``paris_dir``; what is ``None`` or empty was not given.

    Raises:
        InputError: if the system, the device or a file does not exist, or the system takes no such option.
    """
    from mnist_ddm.compute.devices import chosen_device
    from mnist_ddm.core.pool import ExpertPool

    entry = next((e for e in _entries() if e.name == name), None)
    if entry is None:
        raise unknown("system", name, system_names())
    device = chosen_device(device)
    what = f"the system {name!r} of {entry.value}"
    with blamed(what):
        load: Callable[..., ExpertPool] = entry.load()
        accepted = inspect.signature(load).parameters
    given: dict[str, object] = {
        "device": device,
        "checkpoint": None if checkpoint is None else Path(checkpoint),
        "data_dir": None if data_dir is None else Path(data_dir),
        **others,
    }
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values())
    given = {key: value for key, value in given.items() if value not in (None, ())}
    options = {key: value for key, value in given.items() if takes_all or key in accepted}
    for key in given.keys() - options.keys() - {"device"}:
        raise InputError(f"the system {name!r} takes no --{key.replace('_', '-')}")
    if _is_ours(entry):
        return load(**options)
    with blamed(what):
        pool = load(**options)
        if not isinstance(pool, ExpertPool):
            raise TypeError(f"it made {type(pool).__name__}, not an ExpertPool")
        for attribute, value in (("provider", what), ("entry", name)):
            object.__setattr__(pool, attribute, value)  # its class may be a frozen one
        return pool


def takes(name: str, option: str) -> bool:
    """Whether a system takes an option.

    Raises:
        InputError: if there is no such system, or it cannot be read.
    """
    entry = next((e for e in _entries() if e.name == name), None)
    if entry is None:
        raise unknown("system", name, system_names())
    with blamed(f"the system {name!r} of {entry.value}"):
        return option in inspect.signature(entry.load()).parameters


def _is_ours(entry: EntryPoint) -> bool:
    """Whether a system is one of those that ship, whose defects are not to be blamed on others."""
    return entry.value.split(".")[0] in ("mnist_ddm", "paris_ddm")


def _entries() -> list[EntryPoint]:
    return list(entry_points(group=ENTRY_POINT_GROUP))
