"""Files that are whole or absent: written to a temporary name, then renamed."""

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mnist_ddm.errors import InputError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; it takes the place of ``path`` when the block ends without an exception.

    Raises:
        InputError: if the folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=f".tmp{path.suffix}")
        os.close(handle)
    except OSError as error:
        raise cannot_write(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def check_writable(path: Path) -> None:
    """Make sure that a file could be written at ``path``, before work is spent on its content.

    Raises:
        InputError: if its folder cannot be made or written, or the path is a folder.
    """
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; choose another place")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> InputError:
    """An `InputError` that says which path cannot be written, and why."""
    return InputError(f"cannot write {path}: {error.strerror or error}; choose another place or free it")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write a JSON file atomically, indented and with keys in the order given."""
    write_text(path, json.dumps(value, indent=2, allow_nan=True) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: if the file is missing or is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); restore or delete it") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is not a JSON object; restore or delete it")
    return value


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, object] | None = None) -> None:
    """Write a safetensors file atomically; ``metadata`` is kept as JSON in its header."""
    header = {"json": json.dumps(metadata or {})}
    with replacing(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, header)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a safetensors file: tensors and metadata. Nothing in such a file is ever executed.

    Raises:
        InputError: if the file is missing, truncated or not a safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(metadata.get("json", "{}"))  # noqa: SIM118 (safe_open is no mapping)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is not a whole safetensors file ({error}); restore or delete it") from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def digest(value: object) -> str:
    """A SHA-256 of a JSON-like value, independent of the order of keys, in hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def folder_size(folder: Path) -> int:
    """Bytes in all files below a folder that can be looked at; 0 if there are none."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # deleted meanwhile, or not for us
                size += (Path(place) / name).stat().st_size
    return size


LEFT_BY_SYSTEMS = frozenset({"lost+found", ".DS_Store", "Thumbs.db", "desktop.ini"})
"""What file systems and their browsers leave in folders."""

_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp(\..+)?")


def is_temporary(path: Path) -> bool:
    """Whether a file is one that `replacing` left behind when it was killed."""
    return _TEMPORARY.fullmatch(path.name) is not None


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing of anybody's.

    Raises:
        InputError: if it cannot be looked at.
    """
    try:
        return folder.is_dir() and all(f.name in LEFT_BY_SYSTEMS or is_temporary(f) for f in folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror or error}; choose another place") from error
