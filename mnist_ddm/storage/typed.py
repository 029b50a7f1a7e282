"""JSON files as the dataclasses that the code uses: what does not fit is named in one line."""

from pathlib import Path
from typing import TypeVar

import msgspec

from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import SMALL
from mnist_ddm.storage.files import read_json

Kind = TypeVar("Kind")


def read_as(path: Path, kind: type[Kind], what: str, limit: int = SMALL) -> Kind:
    """Read a JSON object as a dataclass or a structure; keys that it does not have are ignored.

    Args:
        path: of the file.
        kind: of what comes back. Rules across fields stand in its ``__post_init__``, as ValueErrors.
        what: the file is, for the message, with the remedy: `a card of schema 1; restore it`.
        limit: of the file's size, in bytes.

    Raises:
        InputError: if the file cannot be read, or is none of this kind.
    """
    return as_kind(read_json(path, limit), kind, str(path), what)


def as_kind(value: object, kind: type[Kind], name: str, what: str) -> Kind:
    """A JSON-like value as a dataclass or a structure; see `read_as`.

    Raises:
        InputError: if it is none of this kind; the message begins with ``name``.
    """
    try:
        return msgspec.convert(value, kind, strict=True)
    except (msgspec.ValidationError, ValueError, TypeError, OverflowError, RecursionError) as error:
        told = " ".join(str(error).split())[:120]
        raise InputError(f"{name} is not {what} ({told})") from None
