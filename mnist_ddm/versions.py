"""Versions of the software that decides results, for cards and manifests."""

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("mnist-ddm", "torch", "torchvision", "lightning", "torchmetrics", "numpy", "scipy")


def versions() -> dict[str, str]:
    """Version of Python and of each package that matters."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
