"""What crosses the pipe between a judge and a student's process: plain data, and nothing that could be executed.

A message is a head of JSON, and behind it the raw bytes of its tensors and arrays. Both have a limit, and what comes
from the student's side is read strictly: a tensor is a known type, a shape and exactly as many bytes as that takes.
"""

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Final, final

import numpy as np
import torch
from torch import Tensor

HEAD_MOST, BODY_MOST = 2**20, 2**24
"""Bytes of a message."""

_DEPTH_MOST = 12
_TEXT_MOST = 10_000
_SIZES: Final = struct.Struct("<IQ")
_DTYPES: Final = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
        torch.uint8, torch.bool, torch.complex64, torch.complex128,
    )
}  # fmt: skip


@final
class MessageError(ValueError):
    """A message that breaks the rules."""


@final
class TooLarge(ValueError):  # noqa: N818 (it says what is wrong)
    """A value that is too large to be sent."""


@final
@dataclass(frozen=True)
class LeftBehind:
    """Something that is no plain data and stays in the student's process.

    Attributes:
        number: by which that process knows it.
        shown: its `repr`, shortened.
        kind: the name of its type.
    """

    number: int
    shown: str
    kind: str

    def __repr__(self) -> str:
        return self.shown


def write_message(pipe: IO[bytes], head: dict[str, Any], body: bytes) -> None:
    """Write one message.

    Raises:
        TooLarge: if it is.
    """
    text = json.dumps(head).encode()
    if len(text) > HEAD_MOST or len(body) > BODY_MOST:
        raise TooLarge(f"more than {BODY_MOST // 2**20} megabytes")
    pipe.write(_SIZES.pack(len(text), len(body)) + text + body)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """The next message; ``None`` at the end.

    Raises:
        MessageError: if it is none, or too large.
    """
    sizes = pipe.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return None
    head_size, body_size = _SIZES.unpack(sizes)
    if head_size > HEAD_MOST or body_size > BODY_MOST:
        raise MessageError("a message is too large")
    text, body = pipe.read(head_size), pipe.read(body_size)
    if len(text) < head_size or len(body) < body_size:
        return None
    try:
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageError("a message is no JSON") from error
    if not isinstance(head, dict):
        raise MessageError("a message is no object")
    return head, body


@final
class Packer:
    """Makes plain data of values, and collects the bytes of their tensors."""

    def __init__(self, other: Callable[["Packer", Any], Any]) -> None:
        """Take what packs a value that is no plain data."""
        self._other = other
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def body(self) -> bytes:
        """The bytes of all tensors so far."""
        return b"".join(self._parts)

    def pack(self, value: Any, depth: int = 0) -> Any:
        """A value as JSON has it.

        Raises:
            TooLarge: if there are too many bytes.
        """
        if value is None or (isinstance(value, bool | float) and type(value) in (bool, float)):
            return value
        if type(value) is int and value.bit_length() < 4096:
            return value
        if type(value) is str and len(value) <= _TEXT_MOST:
            return value
        if isinstance(value, np.generic) and type(value.item()) in (bool, int, float, str):
            return self.pack(value.item())
        if isinstance(value, Tensor) and value.layout is torch.strided and str(value.dtype)[6:] in _DTYPES:
            return {"tensor": self._tensor(value)}
        if type(value) is np.ndarray and value.dtype.kind in "biufc" and value.dtype.name in _DTYPES:
            return {"array": self._tensor(torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape)))}
        if depth < _DEPTH_MOST:
            if isinstance(value, tuple):
                return {"tuple": [self.pack(part, depth + 1) for part in value]}
            if type(value) is list:
                return {"list": [self.pack(part, depth + 1) for part in value]}
            if type(value) is dict:
                return {"dict": [[self.pack(k, depth + 1), self.pack(v, depth + 1)] for k, v in value.items()]}
        return self._other(self, value)

    def _tensor(self, value: Tensor) -> list[Any]:
        size = value.numel() * value.element_size()
        if self._size + size > BODY_MOST:
            raise TooLarge(f"more than {BODY_MOST // 2**20} megabytes")
        plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        self._parts.append(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
        place, self._size = self._size, self._size + size
        return [str(value.dtype).removeprefix("torch."), list(value.shape), place]


@final
class Unpacker:
    """Makes values of plain data."""

    def __init__(self, body: bytes, other: Callable[["Unpacker", str, Any], Any]) -> None:
        """Take the bytes of the tensors, and what unpacks a value that is no plain data."""
        self._body, self._other = body, other

    def unpack(self, node: Any, depth: int = 0) -> Any:
        """The value of a part of a message.

        Raises:
            MessageError: if it breaks the rules.
        """
        if node is None or isinstance(node, bool | int | float | str):
            return node
        if not isinstance(node, dict) or len(node) != 1 or depth > _DEPTH_MOST + 4:
            raise MessageError("a value has no known form")
        ((form, told),) = node.items()
        try:
            if form == "tensor":
                return self._tensor(told)
            if form == "array":
                return self._tensor(told).numpy()
            if form == "list":
                return [self.unpack(part, depth + 1) for part in told]
            if form == "tuple":
                return tuple(self.unpack(part, depth + 1) for part in told)
            if form == "dict":
                return {self.unpack(key, depth + 1): self.unpack(value, depth + 1) for key, value in told}
            return self._other(self, form, told)
        except (TypeError, ValueError, KeyError, IndexError, OverflowError, RuntimeError) as error:
            raise MessageError(f"a value of the form {form!r} breaks the rules") from error

    def _tensor(self, told: Any) -> Tensor:
        name, shape, place = told
        dtype = _DTYPES[name]
        if not all(type(n) is int and 0 <= n <= BODY_MOST for n in [*shape, place]) or len(shape) > 16:
            raise ValueError("no shape")
        read_as = torch.uint8 if dtype is torch.bool else dtype
        size = math.prod(shape) * read_as.itemsize
        if place + size > len(self._body):
            raise ValueError("bytes are missing")
        if size == 0:
            return torch.empty(shape, dtype=dtype)
        values = torch.frombuffer(bytearray(self._body[place : place + size]), dtype=read_as).reshape(shape)
        # Any byte but 0 is true: a truth value of another byte would be neither.
        return values != 0 if dtype is torch.bool else values


def nothing_else(unpacker: Unpacker, form: str, told: Any) -> Any:
    """For a side that takes plain data alone.

    Raises:
        ValueError: always.
    """
    raise ValueError(form)
