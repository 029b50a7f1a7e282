"""Versions of the software that decides results, for cards and manifests."""

import platform
from importlib.metadata import PackageNotFoundError, version

History = dict[str, str]
"""For each package its version, or its versions in their order: `2.6.0, then 2.7.1`."""
_THEN = ", then "
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


def continued(history: History) -> History:
    """The versions of work that was begun under those of ``history`` and goes on under today's."""
    now = versions()
    return {
        package: (
            f"{history[package]}{_THEN}{version_now}"
            if package in history and history[package].split(_THEN)[-1] != version_now
            else history.get(package, version_now)
        )
        for package, version_now in now.items()
    }


def changed(history: History) -> History:
    """Those packages of a history that did not keep their version."""
    return {package: told for package, told in history.items() if _THEN in told}
