"""What a student handed in, read before anybody's code runs, and copied for each check."""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_ddm.compute.scratch import scratch_folder
from mnist_ddm.errors import InputError
from mnist_ddm.exercises.naming import answers_in
from mnist_ddm.exercises.registry import sheet_of
from mnist_ddm.exercises.workspace import read_progress
from mnist_ddm.storage.door import read_bytes

_SOURCE_MOST, _FILES_MOST, _BYTES_MOST = 2**20, 500, 2**25
"""Bytes of a source, and files and bytes of all that lies beside it."""


@dataclass(frozen=True)
class HandIn:
    """One student's files.

    Attributes:
        student: the name of the folder, as text that any file can hold.
        files: their bytes, by path within the folder.
        answers: the path of the file that answers each exercise, of those that have one.
        refused: exercises whose file was not read, and why.
        hints: how many the student's own folder says were shown, for each exercise of which it says something.
    """

    student: str
    files: Mapping[str, bytes]
    answers: Mapping[str, str]
    refused: Mapping[str, str]
    hints: Mapping[str, int]

    @contextlib.contextmanager
    def copied(self) -> Iterator[Path]:
        """A fresh folder with all files, for one check."""
        with scratch_folder("hand-in") as folder:
            for path, content in self.files.items():
                place = folder / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            yield folder


def take(folder: Path, exercises: Sequence[str]) -> HandIn:
    """Read a student's folder: the files of exercises, and what lies beside them.

    Links are not followed, and of what lies beside the exercises only so much is read as a hand-in may need.
    """
    files: dict[str, bytes] = {}
    answers: dict[str, str] = {}
    refused: dict[str, str] = {}
    for name, candidates in answers_in(folder, exercises).items():
        if not candidates:
            continue
        if len(candidates) > 1:
            told = ", ".join(shown_path(str(path)) for path in candidates[:4])
            refused[name] = f"more than one file may be meant ({told}); keep one of them"
            continue
        place = folder / candidates[0]
        try:
            kept = place.lstat()
            if stat.S_ISLNK(kept.st_mode):
                refused[name] = f"{place.name} is a link, not a file"
            elif stat.S_ISREG(kept.st_mode):
                if kept.st_size > _SOURCE_MOST:
                    refused[name] = f"{place.name} has {kept.st_size / 2**20:.1f} megabytes; a source has at most one"
                else:
                    answers[name] = str(candidates[0])
                    files[answers[name]] = read_bytes(place, _SOURCE_MOST)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            refused[name] = f"{place.name} cannot be read: {error.strerror}"
        except InputError as error:
            refused[name] = str(error)
    hints = {}
    for name in exercises:
        progress = read_progress((folder / answers.get(name, f"{name}.py")).parent, name)
        if progress is not None:
            hints[name] = progress.hints
    return HandIn(shown_name(folder), {**_neighbours(folder), **files}, answers, refused, hints)


def _neighbours(folder: Path) -> dict[str, bytes]:
    """What lies beside the exercises, as far as it is small: modules that a file imports, data that it reads."""
    files: dict[str, bytes] = {}
    left = _BYTES_MOST
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__")))
        for name in sorted(names):
            path = Path(place) / name
            with contextlib.suppress(OSError, InputError):
                kept = path.lstat()
                if stat.S_ISREG(kept.st_mode) and kept.st_size <= left and len(files) < _FILES_MOST:
                    files[str(path.relative_to(folder))] = read_bytes(path, left)
                    left -= kept.st_size
    return files


def shown_path(path: str) -> str:
    """A path within a folder as text; see `shown_name`."""
    return "/".join(shown_name(Path(part)) for part in Path(path).parts)


def shown_name(folder: Path) -> str:
    """The name of a folder as text: bytes that are no text, and control characters, are spelled out."""
    name = folder.name.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def is_stub(source: bytes, name: str) -> bool:
    """Whether a source is the stub as it was given, apart from spaces and line ends."""
    return source.split() == sheet_of(name).stub.encode().split()


def written(source: bytes, name: str) -> int:
    """How many lines of a source are neither empty nor comments nor of the stub."""
    given = {line.strip() for line in sheet_of(name).stub.encode().splitlines()}
    own = (line.strip() for line in source.splitlines())
    return sum(1 for line in own if line and not line.startswith(b"#") and line not in given)
