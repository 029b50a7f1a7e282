"""One process at a time in a folder: the folder itself is locked, so that nothing is left behind by a kill."""

import contextlib
import os
from pathlib import Path
from typing import Final

from mnist_ddm.errors import InputError

_held: Final[dict[Path, int]] = {}
"""The folders that this process holds; asked for again, it has them already."""


def hold_folder(folder: Path) -> None:
    """Hold a folder until `release_folder`, or until this process ends, however that is.

    Where folders cannot be locked (some network file systems, Windows) nothing happens.

    Raises:
        InputError: if another process holds it.
    """
    place = folder.resolve()
    if place in _held:
        return
    try:
        import fcntl
    except ImportError:
        return
    try:
        handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InputError(f"another process writes into {folder}; wait for it, or choose another --out") from None
    except OSError:
        os.close(handle)
        return
    _held[place] = handle


def release_folder(folder: Path) -> None:
    """Let others have a folder again; nothing happens if it is not held."""
    handle = _held.pop(folder.resolve(), None)
    if handle is not None:
        with contextlib.suppress(OSError):
            os.close(handle)
