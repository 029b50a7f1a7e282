"""Where things are kept between runs."""

import os
from pathlib import Path

from mnist_ddm.errors import InputError
from mnist_ddm.storage.recordings import RecordingStore


def cache_folder() -> Path:
    """`$MNIST_DDM_CACHE`, else the user's cache folder.

    Raises:
        InputError: if this user has no home.
    """
    if chosen := os.environ.get("MNIST_DDM_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnist-ddm"
    except RuntimeError:
        raise InputError("this user has no home folder; set MNIST_DDM_CACHE to a folder for recordings") from None


def recording_store() -> RecordingStore:
    """The recordings that all commands share."""
    return RecordingStore(cache_folder() / "recordings")
