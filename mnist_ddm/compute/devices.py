"""The devices of this machine, under the names that `--device` takes."""

from collections.abc import Mapping

import torch

from mnist_ddm.errors import unknown


def available_devices() -> Mapping[str, str]:
    """What there is to compute on: each device by its name, with the name of its model where it has one."""
    cuda = {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    return {"cpu": "", **cuda, **({"mps": ""} if torch.backends.mps.is_available() else {})}


def check_device(device: str) -> None:
    """Refuse a device that this machine does not have.

    Raises:
        InputError: with the devices that there are.
    """
    available = list(available_devices())
    if device not in available and not (device == "cuda" and "cuda:0" in available):
        raise unknown("device", device, available)
