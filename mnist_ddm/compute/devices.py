"""The devices of this machine, under the names that `--device` takes, and what they can and cannot compute."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mnist_ddm.errors import unknown

AUTO = "auto"
"""The name that stands for the best device there is."""

WITHOUT_FLOAT64 = frozenset(("mps",))
"""Kinds of device that have no numbers of 64 bits."""


def available_devices() -> Mapping[str, str]:
    """What there is to compute on: each device by its name, with the name of its model where it has one."""
    cuda = {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    return {"cpu": "", **cuda, **({"mps": ""} if torch.backends.mps.is_available() else {})}


def chosen_device(name: str) -> str:
    """The device that a name means: `auto` is the first of cuda, mps and cpu that this machine has.

    Raises:
        InputError: if this machine has no such device; the message lists those that it has.
    """
    available = list(available_devices())
    if name == AUTO:
        return next(device for kind in ("cuda", "mps", "cpu") for device in available if device.startswith(kind))
    if name not in available and not (name == "cuda" and "cuda:0" in available):
        raise unknown("device", name, [AUTO, *available])
    return name


def described(name: str) -> str:
    """A device with its model, to be read: `cuda:0 (NVIDIA H100)`."""
    model = available_devices().get("cuda:0" if name == "cuda" else name, "")
    return f"{name} ({model})" if model else name


def widest(device: torch.device) -> torch.dtype:
    """The most exact real numbers that a device has."""
    return torch.float32 if device.type in WITHOUT_FLOAT64 else torch.float64


def widened(x: Tensor) -> Tensor:
    """``x`` in float64: where it lies if that device has such numbers, else on the CPU."""
    return (x.cpu() if x.device.type in WITHOUT_FLOAT64 else x).double()
