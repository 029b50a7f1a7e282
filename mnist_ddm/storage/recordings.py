"""Recordings on disk: a folder for each key, in it one for each block of samples, and there a file for each name.

So what was killed goes on where it stopped, blocks can be computed in parallel without changing a bit, a smaller
recording reads the blocks of a larger one, and one more file leaves the others as they are.
"""

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from torch import Tensor

from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import folder_size, read_json, read_tensors, write_json, write_tensors

_INDEX = "recording.json"


@dataclass(frozen=True)
class StoredRecording:
    """A recording on disk.

    Attributes:
        place: its folder.
        described: what it says of itself.
        samples: how many samples are complete.
        names: of the files that a block may have, without their versions.
        size: in bytes.
    """

    place: Path
    described: Mapping[str, object]
    samples: int
    names: tuple[str, ...]
    size: int


@final
@dataclass(frozen=True)
class RecordingStore:
    """The recordings in a folder.

    Attributes:
        folder: made when something is written.
    """

    folder: Path

    def describe(self, key: str, what: Mapping[str, object]) -> None:
        """Say what the recording of a key is, unless it says so already."""
        if not (self.folder / key / _INDEX).exists():
            write_json(self.folder / key / _INDEX, what)

    def missing(self, key: str, block: range, names: Sequence[str]) -> list[str]:
        """Those of some files of a block that are not there."""
        return [name for name in names if self._find(key, block, name) is None]

    def write(self, key: str, block: range, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write one file of a block, atomically."""
        write_tensors(self._own(key, block, name), tensors)

    def read(self, key: str, block: range, name: str) -> dict[str, Tensor]:
        """One file of a block, cut to its samples where a larger recording stored more.

        Raises:
            InputError: if it is missing or damaged.
        """
        tensors, _ = read_tensors(self.file(key, block, name))
        return {part: value[: len(block)] for part, value in tensors.items()}

    def file(self, key: str, block: range, name: str) -> Path:
        """The file that `read` reads.

        Raises:
            InputError: if it is missing.
        """
        path = self._find(key, block, name)
        if path is None:
            raise InputError(f"{self._own(key, block, name)} does not exist")
        return path

    def list(self) -> list[StoredRecording]:
        """All recordings that can be read.

        Raises:
            InputError: if the folder cannot be looked at.
        """
        self._look()
        stored = []
        for index in sorted(self.folder.glob(f"*/{_INDEX}")):
            with contextlib.suppress(InputError):
                place, described = index.parent, read_json(index)
                files = list(place.glob("*-*/*.safetensors"))
                names = sorted({f.stem.rsplit(".", 1)[0] for f in files if "." in f.stem})
                complete = [int(f.parent.name.split("-")[1]) for f in files if "." not in f.stem]
                size = folder_size(place)
                stored.append(StoredRecording(place, described, max(complete, default=0), tuple(names), size))
        return stored

    def clear(self) -> int:
        """Delete all recordings, those of older schemas included; returns the bytes freed.

        Raises:
            InputError: if one cannot be deleted.
        """
        self._look()
        places = [index.parent for index in self.folder.glob(f"*/{_INDEX}")]
        freed = sum(folder_size(place) for place in places)
        for place in places:
            try:
                shutil.rmtree(place)
            except OSError as error:
                raise InputError(f"cannot delete {place}: {error.strerror or error}") from error
        return freed

    def _look(self) -> None:
        """See to it that the folder can be looked at, which a search below it would pass over in silence.

        Raises:
            InputError: if it cannot.
        """
        try:
            with os.scandir(self.folder):
                pass
        except FileNotFoundError:
            pass
        except OSError as error:
            raise InputError(
                f"the cache {self.folder} cannot be read: {error.strerror or error}; set MNIST_DDM_CACHE to another"
            ) from error

    def _own(self, key: str, block: range, name: str) -> Path:
        return self.folder / key / f"{block.start:06d}-{block.stop:06d}" / f"{name}.safetensors"

    def _find(self, key: str, block: range, name: str) -> Path | None:
        """The block's own file, or the smallest that a larger recording stored."""
        for folder in sorted((self.folder / key).glob(f"{block.start:06d}-*")):
            file = folder / f"{name}.safetensors"
            if int(folder.name.split("-")[1]) >= block.stop and file.exists():
                return file
        return None
