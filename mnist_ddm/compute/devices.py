"""The devices of this machine, under the names that `--device` takes, and what they can and cannot compute."""

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mnist_ddm.errors import unknown

AUTO = "auto"
"""The name that stands for the best device there is."""

ALL_GPUS = "cuda"
"""The name of NVIDIA's GPUs without a number: several workers divide them."""

_VISIBLE = "CUDA_VISIBLE_DEVICES"

WITHOUT_FLOAT64 = frozenset(("mps",))
"""Kinds of device that have no numbers of 64 bits."""


def available_devices() -> Mapping[str, str]:
    """What there is to compute on: each device by its name, with the name of its model where it has one."""
    cuda = {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    return {"cpu": "", **cuda, **({"mps": ""} if torch.backends.mps.is_available() else {})}


def chosen_device(name: str) -> str:
    """The device that a name means: `auto` is the first of cuda, mps and cpu that this machine has.

    Of several GPUs it is all, `cuda`.

    Raises:
        InputError: if this machine has no such device; the message lists those that it has.
    """
    available = list(available_devices())
    if name == AUTO:
        if "cuda:1" in available:
            return ALL_GPUS
        return next(device for kind in ("cuda", "mps", "cpu") for device in available if device.startswith(kind))
    if name not in available and not (name == ALL_GPUS and "cuda:0" in available):
        raise unknown("device", name, [AUTO, *available])
    return name


def described(name: str) -> str:
    """A device with its model, to be read: `cuda:0 (NVIDIA H100)`; of several GPUs with that of the first."""
    available = available_devices()
    model = available.get("cuda:0" if name == ALL_GPUS else name, "")
    count = sum(device.startswith(ALL_GPUS) for device in available)
    told = f"{count} of {model}" if model and name == ALL_GPUS and count > 1 else model
    return f"{name} ({told})" if told else name


def shared_gpus(device: str | torch.device) -> tuple[str, ...]:
    """The GPUs that workers divide among them, as `take_gpu` wants them; none unless the device is `cuda`, all GPUs."""
    if str(device) != ALL_GPUS:
        return ()
    count, told = torch.cuda.device_count(), os.environ.get(_VISIBLE)
    return tuple(map(str, range(count))) if told is None else tuple(told.split(",")[:count])


def take_gpu(gpus: Sequence[str], folder: Path) -> None:
    """Let this process, one of several workers, see one GPU alone from now on, which is `cuda:0` to it.

    Each takes the one after that of the worker that began before it. When a worker was killed all begin again, and
    take them in turn again.

    Args:
        gpus: of `shared_gpus`, asked by the process that starts the workers.
        folder: an existing one that all workers see; they leave empty files there.
    """
    for number in itertools.count():
        try:
            (folder / f"worker-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        os.environ[_VISIBLE] = gpus[number % len(gpus)]
        return


def widest(device: torch.device) -> torch.dtype:
    """The most exact real numbers that a device has."""
    return torch.float32 if device.type in WITHOUT_FLOAT64 else torch.float64


def widened(x: Tensor) -> Tensor:
    """``x`` in float64: where it lies if that device has such numbers, else on the CPU."""
    return (x.cpu() if x.device.type in WITHOUT_FLOAT64 else x).double()


def sent(values: Tensor, to: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """The values on another device, without waiting for it: for what goes there and is not looked at here again."""
    return values.to(to, dtype, non_blocking=True)
