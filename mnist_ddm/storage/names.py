"""Names that a file tells, such as those of a manifest: they never lead out of the folder that they belong to."""

import re
from pathlib import Path, PurePosixPath

from mnist_ddm.errors import InputError

_LONGEST = 1024
_LONGEST_PART = 255
"""Bytes that file systems allow."""


def inside(folder: Path, name: str) -> Path:
    """The path of a file that a name from a file means, for reading, writing or deleting it.

    Args:
        folder: that the name belongs to; it may itself be reached by a link.
        name: a relative path with `/` between its parts.

    Raises:
        InputError: if the name is empty, absolute, too long, cannot be a name, has a part `..`, or leads out of the
            folder by a link.
    """
    parts = PurePosixPath(name).parts
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError:
        encoded = b"\0"
    wrong = (
        not parts
        or name.startswith("/")
        or ".." in parts
        or "\\" in name
        or any(ord(c) < 32 for c in name)
        or b"\0" in encoded
        or len(encoded) > _LONGEST
        or any(len(part.encode("utf-8")) > _LONGEST_PART for part in parts)
    )
    path = folder if wrong else folder.joinpath(*parts)
    try:
        wrong = wrong or not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a link to itself, or a folder that may not be entered
        wrong = True
    if wrong:
        raise InputError(
            f"{name[:100]!r} is not the name of a file inside {folder}; restore what names it, or delete it"
        )
    return path


def file_name(title: str) -> str:
    """A name that any file system takes, from what people call something."""
    return re.sub(r"[^\w.-]+", "-", title).strip("-.")[: _LONGEST_PART // 4] or "unnamed"


def delete_inside(folder: Path, name: str) -> None:
    """Delete the file that a name from a file means, if it is there.

    Raises:
        InputError: as `inside`, and if it is a folder or may not be deleted.
    """
    path = inside(folder, name)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot delete {path}: {error.strerror or error}") from None
