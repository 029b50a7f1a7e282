"""Seals: beside each file of a recording stands the SHA-256 that it was written with, checked whenever it is read.

The seal is a file of its own, so that a recording has the same bytes whether or not it is sealed.
"""

import contextlib
import hashlib
import logging
from pathlib import Path

from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import LARGE, read_bytes, read_text
from mnist_ddm.storage.files import sha256, tensors_of, write_text

_SUFFIX = ".sha256"
_LARGEST = 64 * LARGE
"""Of a file of a recording; states of large systems take gigabytes."""
_log = logging.getLogger("mnist_ddm")
_State = tuple[int, int, int]
_known: dict[tuple[str, _State, _State | None], bool] = {}
"""What was found out in this process about a file and its seal as they are: size, time of change and number of each."""


def seal(file: Path) -> None:
    """Write the seal of a file that was just made."""
    write_text(_seal_of(file), f"{sha256(file)}\n")


def is_whole(file: Path) -> bool:
    """Whether a file is as it was written; one that is not is named in a warning, once.

    A file without a seal was recorded before there were any, or its process was killed just before the seal was
    written. If it can be read it is sealed as it is now: trust on first use. From then on it may not change.
    """
    state = _state(file)
    if state is None:
        return False
    key = (str(file), state, _state(_seal_of(file)))
    if key not in _known:
        try:
            read_sealed(file)
            _known[key] = True
        except InputError as error:
            _known[key] = False
            _log.warning("%s", InputError(f"{error}; what needs it is recorded again"))
    return _known[key]


def _state(file: Path) -> _State | None:
    try:
        stated = file.stat()
    except OSError:
        return None
    return stated.st_size, stated.st_mtime_ns, stated.st_ino


def read_sealed(file: Path) -> bytes:
    """The content of a file that is as it was written.

    Raises:
        InputError: if it is missing or was changed.
    """
    content = read_bytes(file, _LARGEST)
    digest = hashlib.sha256(content).hexdigest()
    if not _seal_of(file).exists():
        tensors_of(file, content)
        with contextlib.suppress(InputError):  # a cache that may only be read is read all the same
            write_text(_seal_of(file), f"{digest}\n")
    elif read_text(_seal_of(file)).strip() != digest:
        raise InputError(f"{file} was changed: its hash is not that of {_seal_of(file).name} beside it")
    return content


def _seal_of(file: Path) -> Path:
    return file.with_name(f"{file.name}{_SUFFIX}")
