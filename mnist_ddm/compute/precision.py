"""Precisions in which networks compute, by name; states, weights and sums stay in float32."""

import contextlib
from collections.abc import Iterator

import torch

from mnist_ddm.errors import unknown

PRECISIONS = ("float32", "tf32", "bfloat16")
"""`float32` throughout; `tf32` rounds the factors of products to 10 bits, on NVIDIA's GPUs; `bfloat16` to 7."""
_AUTOCAST = ("cpu", "cuda", "mps")
"""Types of devices on which bfloat16 can be chosen."""


def check_precision(name: str) -> str:
    """The name itself.

    Raises:
        InputError: if there is no such precision.
    """
    if name not in PRECISIONS:
        raise unknown("precision", name, PRECISIONS)
    return name


@contextlib.contextmanager
def computing_in(precision: str, device: torch.device) -> Iterator[None]:
    """Let networks compute in one of `PRECISIONS` inside the block, whatever was chosen around it.

    Torch's own default is TF32 for convolutions.
    """
    half = precision == "bfloat16"
    other = device.type in _AUTOCAST and (half or torch.is_autocast_enabled(device.type))
    if device.type == "cpu" and not other:
        yield  # there is nothing to choose
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision == "tf32"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=half) if other else contextlib.nullcontext():
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
