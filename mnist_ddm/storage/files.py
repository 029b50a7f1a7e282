"""Files that are whole or absent: written to a temporary name, then renamed.

Torch is imported where a file holds tensors: commands that only look around do without.
"""

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import SMALL, check_file, open_file, parse_json, read_text

if TYPE_CHECKING:
    from torch import Tensor


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; it takes the place of ``path`` when the block ends without an exception.

    Raises:
        InputError: if the folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Of a long name only the beginning, as the temporary one is longer and names have a limit.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=f".tmp{path.suffix[:12]}")
        os.close(handle)
    except OSError as error:
        raise cannot_write(path, error) from error
    except ValueError as error:  # a zero byte or half a character in the name
        raise InputError(f"cannot write {str(path)!r}: {error}; choose another name") from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~umask())
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def umask() -> int:
    """The permissions that this user withholds from new files."""
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
        try:
            temporary.write_text(text, encoding="utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"cannot write {path}: its text holds half a character; where does it come from?"
            ) from error


def write_json(path: Path, value: object) -> None:
    """Write a JSON file atomically, indented and with keys in the order given."""
    write_text(path, json.dumps(value, indent=2, allow_nan=True) + "\n")


def read_json(path: Path, limit: int = SMALL) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: if the file is missing, is larger than ``limit`` bytes, or is not a JSON object.
    """
    value = parse_json(read_text(path, limit), str(path))
    if not isinstance(value, dict):
        raise InputError(f"{path} is not a JSON object; restore or delete it")
    return value


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, object] | None = None) -> None:
    """Write a safetensors file atomically; ``metadata`` is kept as JSON in its header."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    header = {"json": json.dumps(metadata or {})}
    with replacing(path) as temporary:
        try:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, header)
        except SafetensorError as error:  # how safetensors says that the disk is full
            raise InputError(f"cannot write {path}: {error}; choose another place or free it") from error


def read_tensors(path: Path, *, finite: bool = False) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    """Read a safetensors file: tensors and metadata. Nothing in such a file is ever executed.

    The tensors are views of the mapped file, which is read where they are used.

    Args:
        path: of the file.
        finite: refuse tensors with NaN or infinite numbers, as weights must not have.

    Raises:
        InputError: if the file is missing, truncated, not a safetensors file, or not finite; the message names the
            tensor.
    """
    from safetensors import SafetensorError, safe_open

    check_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("json", "{}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        raise _no_tensors(path, error) from error
    if finite:
        check_finite(path, tensors)
    return tensors, _metadata(path, header)


def tensors_of(path: Path, content: bytes) -> "dict[str, Tensor]":
    """The tensors in the content of a safetensors file that was read from ``path``.

    Raises:
        InputError: if it is none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content)
    except (SafetensorError, ValueError, TypeError, AttributeError, RuntimeError, OverflowError, KeyError) as error:
        raise _no_tensors(path, error) from error


def _metadata(path: Path, header: str) -> dict[str, Any]:
    value = parse_json(header, f"the header of {path}")
    if not isinstance(value, dict):
        raise InputError(f"the header of {path} is not a JSON object; restore or delete the file")
    return value


def _no_tensors(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is not a whole safetensors file ({str(error)[:100]}); restore or delete it")


def check_finite(path: Path, tensors: "Mapping[str, Tensor]") -> None:
    """Refuse tensors of a file that hold NaN or infinite numbers.

    Raises:
        InputError: if one does; the message names file and tensor.
    """
    for name, tensor in tensors.items():
        if not is_finite(tensor):
            raise InputError(
                f"{path} holds numbers in {name!r} that are not finite; restore it or train that part again"
            )


def is_finite(tensor: "Tensor") -> bool:
    """Whether all numbers are finite."""
    import torch

    if not tensor.is_floating_point():
        return not tensor.is_complex() or is_finite(torch.view_as_real(tensor))
    # A sum takes no memory, and is finite nearly always if all numbers are; if not, it may only be too large.
    wide = tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.to(torch.float32)
    return bool(wide.sum().isfinite()) or bool(wide.isfinite().all())


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex.

    Raises:
        InputError: if it cannot be read.
    """
    with open_file(path) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error


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
