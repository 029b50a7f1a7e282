"""Where things are kept between runs."""

import os
from pathlib import Path

from mnist_ddm.storage.recordings import RecordingStore


def cache_folder() -> Path:
    """`$MNIST_DDM_CACHE`, else the user's cache folder."""
    if chosen := os.environ.get("MNIST_DDM_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnist-ddm"


def recording_store() -> RecordingStore:
    """The recordings that all commands share."""
    return RecordingStore(cache_folder() / "recordings")
