"""Recordings on disk: a folder for each key, in it one for each block of samples, and there a file for each name.

So what was killed goes on where it stopped, blocks can be computed in parallel without changing a bit, a smaller
recording reads the blocks of a larger one, and one more file leaves the others as they are. Each file has a seal
(`storage/seals.py`): one that was changed is never read, but named and made again.
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import folder_size, read_json, tensors_of, write_json, write_tensors
from mnist_ddm.storage.seals import is_whole, read_sealed, seal

if TYPE_CHECKING:
    from torch import Tensor

_INDEX = "recording.json"
_BLOCK = re.compile(r"(\d{6,12})-(\d{6,12})", re.ASCII)


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
        index = self.folder / key / _INDEX
        said: dict[str, Any] | None = None
        if index.exists():
            with contextlib.suppress(InputError):  # a damaged one is written again
                said = read_json(index)
        if said != json.loads(json.dumps(what)):
            write_json(index, what)

    def missing(self, key: str, block: range, names: Sequence[str]) -> list[str]:
        """Those of some files of a block that are not there, or were changed since they were written."""
        return [name for name in names if self._find(key, block, name) is None]

    def write(self, key: str, block: range, name: str, tensors: "Mapping[str, Tensor]") -> None:
        """Write one file of a block, atomically, and seal it."""
        write_tensors(self._own(key, block, name), tensors)
        seal(self._own(key, block, name))

    def read(self, key: str, block: range, name: str) -> "dict[str, Tensor]":
        """One file of a block, cut to its samples where a larger recording stored more.

        Raises:
            InputError: if it is missing or damaged.
        """
        file = self.file(key, block, name)
        tensors = tensors_of(file, read_sealed(file))
        if any(value.ndim == 0 or len(value) < len(block) for value in tensors.values()):
            raise InputError(f"{file} does not hold the samples that its folder says; delete it and record again")
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
                files = [(f.stem, last) for folder, last in _blocks(place) for f in folder.glob("*.safetensors")]
                names = sorted({stem.rsplit(".", 1)[0] for stem, _ in files if "." in stem})
                complete = [last for stem, last in files if "." not in stem]
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
        for folder, last in _blocks(self.folder / key, f"{block.start:06d}-*"):
            file = folder / f"{name}.safetensors"
            if last >= block.stop and file.exists() and is_whole(file):
                return file
        return None


def _blocks(place: Path, pattern: str = "*-*") -> Iterator[tuple[Path, int]]:
    """The folders of blocks of a recording, each with the number of the sample after its last one."""
    for folder in sorted(place.glob(pattern)):
        if matched := _BLOCK.fullmatch(folder.name):
            yield folder, int(matched[2])
