"""The one door through which files are read: regular files alone, of a limited size, nested to a limited depth.

Whatever is wrong with a file becomes one `InputError` that names it. Nothing else in the two packages opens files for
reading; a test says so.
"""

import csv
import io
import json
import os
import re
import stat
import zlib
from pathlib import Path
from typing import Any

from mnist_ddm.errors import InputError

SMALL = 16 << 20
"""Bytes of a file that a person or this program writes to be read at once: cards, manifests, tables, configurations."""
LARGE = 1 << 30
"""Bytes of a file of data that is read at once: pictures, captions, IDX files."""
DEPTH = 64
"""How deeply JSON may be nested; ours needs ten."""

_UNKNOWN = 1 << 20
"""Bytes that are read of a file whose size the system says is nought, as of those that it makes up."""

_GZIP = b"\x1f\x8b"
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_INTEGERS = range(-(2**63), 2**64)
"""Those that torch, numpy and seeds know; a longer number is a mistake or an attack."""


def open_file(path: Path) -> io.BufferedReader:
    """Open a regular file for reading.

    Raises:
        InputError: if it does not exist, is a folder, a pipe or a device, or may not be read.
    """
    try:
        # Without O_NONBLOCK, opening a pipe would wait for somebody to write into it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:  # a zero byte in the name, or half a character that the file system cannot write
        raise InputError(f"cannot read {str(path)!r}: {error}") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InputError(f"cannot read {path}: it is no file but a folder, a pipe or a device")
    return os.fdopen(handle, "rb")


def check_file(path: Path) -> None:
    """Make sure that ``path`` can be opened, for a library that opens it itself.

    Raises:
        InputError: as `open_file`.
    """
    open_file(path).close()


def read_bytes(path: Path, limit: int = SMALL) -> bytes:
    """The content of a file.

    Raises:
        InputError: as `open_file`, and if it has more bytes than ``limit``.
    """
    with open_file(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            # Never more than the system said, or, where it does not know, more than a little.
            content = file.read(max(size, _UNKNOWN)) if size <= limit else b""
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    if max(size, len(content)) > limit:
        raise InputError(f"{path} is too large ({max(size, len(content)) / 1e6:.0f} MB; at most {limit / 1e6:.0f} MB)")
    return content


def read_text(path: Path, limit: int = SMALL) -> str:
    """The text of a file in UTF-8; a byte order mark is left out.

    Raises:
        InputError: as `read_bytes`, and if it is no UTF-8.
    """
    return decoded(read_bytes(path, limit), str(path))


def decoded(content: bytes, name: str) -> str:
    """Bytes in UTF-8 as text; a byte order mark is left out.

    Raises:
        InputError: if they are none; the message begins with ``name``.
    """
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not a text file in UTF-8 ({error.reason} at byte {error.start})") from None


def read_unpacked(path: Path, limit: int = LARGE) -> bytes:
    """The content of a file, unpacked if it is gzipped, whatever its name says; never more than ``limit`` bytes.

    Raises:
        InputError: as `read_bytes`, and if it is gzipped and damaged.
    """
    packed, pieces, size = read_bytes(path, limit), list[bytes](), 0
    if not packed.startswith(_GZIP):
        return packed
    try:
        while packed:  # a gzip file is one member after the other
            member = zlib.decompressobj(16 + zlib.MAX_WBITS)
            pieces.append(member.decompress(packed, limit - size + 1))
            size += len(pieces[-1])
            if size > limit:
                raise InputError(f"{path} unpacks to more than {limit / 1e6:.0f} MB; replace it")
            if not member.eof:
                raise InputError(f"{path} cannot be read (it ends too early); replace it")
            packed = member.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise InputError(f"{path} cannot be read ({error}); replace it") from None
    return b"".join(pieces)


def parse_json(text: str, name: str) -> Any:
    """The value of a JSON text.

    Raises:
        InputError: if it is no JSON, is nested too deeply, or holds a number or a character that cannot be used; the
            message begins with ``name``.
    """
    _check_depth(text, name)
    try:
        value = json.loads(text, parse_int=_integer)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{name} holds half a character (a lone surrogate); restore or delete it") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} cannot be read as JSON ({error}); restore or delete it") from None
    return value


def _check_depth(text: str, name: str) -> None:
    if text.count("[") + text.count("{") <= DEPTH:
        return
    depth = 0
    for token in _TOKEN.finditer(text.encode("utf-8", "surrogatepass")):
        first = token.group()[:1]
        if first in b"[{":
            depth += 1
            if depth > DEPTH:
                raise InputError(f"{name} is nested more than {DEPTH} levels deep; restore or delete it")
        elif first in b"]}":
            depth -= 1


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= 20 else _INTEGERS.stop
    if value not in _INTEGERS:
        raise ValueError(f"the number {digits[:20]}... is too large")
    return value


def read_csv(path: Path, limit: int = SMALL) -> list[list[str]]:
    """The rows of a CSV file.

    Raises:
        InputError: as `read_text`, and if it is no CSV.
    """
    text = read_text(path, limit)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as CSV ({error}); restore or delete it") from None
