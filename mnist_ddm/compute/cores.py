"""How many processes a machine has room for, and whether anything but its cores could compute."""

import ctypes
import sys

import joblib

_DRIVERS = ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so")


def default_workers() -> int:
    """One worker for each core that this process may use, the limits of a container among what decides that."""
    return max(1, int(joblib.cpu_count()))


def may_have_accelerator() -> bool:
    """Whether torch could find more than the CPU here; without a driver one need not import it to ask."""
    return sys.platform == "darwin" or any(map(_can_be_loaded, _DRIVERS))


def _can_be_loaded(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
