"""Versions of the software that decides results, for cards and manifests."""

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("mnist-ddm", "torch", "torchvision", "lightning", "torchmetrics", "numpy", "scipy")


def versions() -> dict[str, str]:
    """Version of Python and of each package that matters."""
    numbers = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            numbers[package] = version(package)
        except PackageNotFoundError:
            numbers[package] = "not installed"
    return numbers
