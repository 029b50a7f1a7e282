"""What a student handed in, read before anybody's code runs, and copied for each check."""

import ast
import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_ddm.compute.scratch import scratch_folder
from mnist_ddm.errors import InputError
from mnist_ddm.exercises.naming import answers_in
from mnist_ddm.exercises.registry import exercise_names, sheet_of
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
        unplaced: Python files and notebooks that answer no exercise and that no answer imports.
    """

    student: str
    files: Mapping[str, bytes]
    answers: Mapping[str, str]
    refused: Mapping[str, str]
    hints: Mapping[str, int]
    unplaced: Sequence[str] = ()

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
    files = {**_neighbours(folder), **files}
    for name in exercises:
        if name not in answers and name not in refused and len(found := _defining(name, files)) == 1:
            answers[name] = found[0]
    return HandIn(shown_name(folder), files, answers, refused, hints, _unplaced(folder, files, answers))


def _defining(name: str, files: Mapping[str, bytes]) -> list[str]:
    """The files, whatever they are called, that define the function of an exercise."""
    word = f"def {name}".encode()
    return [
        path for path, source in files.items() if path.endswith(".py") and word in source and _defines(source, name)
    ]


def _defines(source: bytes, name: str) -> bool:
    if f"def {name}".encode() not in source:
        return False
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body)


def _unplaced(folder: Path, files: Mapping[str, bytes], answers: Mapping[str, str]) -> list[str]:
    """What a student may have meant as an answer and is none."""
    sources = [files[path] for path in set(answers.values())]
    every = {str(path) for paths in answers_in(folder, exercise_names()).values() for path in paths}
    found = []
    for path in sorted(files.keys() - set(answers.values()) - every):
        stem, ending = Path(path).stem, Path(path).suffix
        imported = any(re.search(rb"\b%b\b" % re.escape(stem.encode("utf-8", "surrogateescape")), s) for s in sources)
        if ending in (".py", ".ipynb") and not imported:
            found.append(shown_path(path))
    return found


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
