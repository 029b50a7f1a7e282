"""What a student handed in, read before anybody's code runs, and copied for each check."""

import contextlib
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_ddm.compute.scratch import scratch_folder
from mnist_ddm.errors import InputError
from mnist_ddm.exercises.naming import Candidate, answers_in, is_aside
from mnist_ddm.exercises.registry import exercise_names, sheet_of
from mnist_ddm.exercises.submissions import BYTES_MOST, FILES_MOST, Place, Submission, submissions_in
from mnist_ddm.exercises.workspace import PICTURES, STATE, read_progress
from mnist_ddm.storage.door import read_bytes

_SOURCE_MOST = 2**20
"""Bytes of a source."""
_NAMED = 4
"""Files that are named where there are many."""
_NOT_ANSWERS = {STATE, "leaderboard.csv", "__init__.py", "desktop.ini", "thumbs.db"}
"""Names of what commands and systems write, and nobody means as an answer."""


@dataclass(frozen=True)
class HandIn:
    """One student's files.

    Attributes:
        student: the name, as text that any file can hold.
        files: their bytes, by path within the folder.
        answers: the path of the file that answers each exercise, of those that have one.
        others: further files that define the function of an exercise, and may be meant as well.
        refused: exercises whose file was not read, and why.
        hints: how many the student's own folder says were shown, for each exercise of which it says something.
        unplaced: files that answer no exercise and that no answer mentions.
    """

    student: str
    files: Mapping[str, bytes]
    answers: Mapping[str, str]
    others: Mapping[str, Sequence[str]]
    refused: Mapping[str, str]
    hints: Mapping[str, int]
    unplaced: Sequence[str] = ()

    @contextlib.contextmanager
    def copied(self) -> Iterator[Path]:
        """A fresh folder with all files, for one check.

        An answer that was renamed also has its plain name, where that is free, for others that import it.
        """
        with scratch_folder("hand-in") as folder:
            plain = {str(Path(path).with_name(f"{name}.py")): self.files[path] for name, path in self.answers.items()}
            for path, content in {**plain, **self.files}.items():
                place = folder / path
                with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):  # odd archives
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(content)
            yield folder


def hand_ins(folder: Path) -> tuple[list[HandIn], list[str]]:
    """What the students of a class handed in, and the files that are no student's.

    Raises:
        InputError: if there is no folder, or nobody handed in an exercise.
    """
    submissions, loose = submissions_in(folder)
    taken, loose = [take(submission) for submission in submissions], [shown_name(Path(name)) for name in loose]
    if not any(handin.answers or handin.refused for handin in taken):
        left = loose + [f"{handin.student}/{path}" for handin in taken for path in handin.unplaced]
        told = f" (there are {few(left)})" if left else ""
        raise InputError(
            f"nothing in {folder} answers an exercise, as ada/flow.py would{told}; "
            "give the folder that holds one folder or .zip for each student"
        )
    return taken, loose


def take(submission: Submission) -> HandIn:
    """Read what a student gave: the files of exercises, and what lies beside them.

    Links are not followed, and of what lies beside the exercises only so much is read as a hand-in may need.
    """
    found = answers_in(submission.files, exercise_names())
    placed = {c.path for candidates in found.values() for c in candidates}
    files, faults = _read(submission.files, placed)
    plain = {c.path for candidates in found.values() for c in candidates if not c.renamed}
    answers: dict[str, Path] = {}
    others: dict[str, list[str]] = {}
    refused: dict[str, str] = {}
    for name, candidates in found.items():
        meant = _meant(name, candidates, files, plain)
        placed.update(meant)
        if len(meant) > 1:
            refused[name] = _undecided(submission.student, meant)
        elif meant and meant[0] not in files:
            refused[name] = faults.get(meant[0], f"{meant[0].name} is one file of too many")
        elif meant:
            answers[name] = meant[0]
            rest = [c.path for c in _own(name, candidates, files) if c.path != meant[0]]
            others[name] = [shown_path(path) for path in rest if _defines(files.get(path, b""), name)]
    hints = {}
    for name in found:
        progress = read_progress(files.get(answers.get(name, Path(name)).parent / STATE, b""), name)
        if progress is not None:
            hints[name] = progress.hints
    return HandIn(
        shown_name(Path(submission.student)),
        {str(path): content for path, content in files.items()},
        {name: str(path) for name, path in answers.items()},
        others,
        refused,
        hints,
        _unplaced(set(submission.files) - placed, [files[path] for path in set(answers.values())]),
    )


def _read(places: Mapping[Path, Place], wanted: set[Path]) -> tuple[dict[Path, bytes], dict[Path, str]]:
    """The contents of files, those that are wanted and what lies beside them first, and why others were not read."""
    files: dict[Path, bytes] = {}
    faults: dict[Path, str] = {}
    homes, left = {path.parent for path in wanted}, BYTES_MOST
    for path in sorted(places, key=lambda path: (path not in wanted, path.parent not in homes)):
        if len(files) == FILES_MOST:
            break
        try:
            content = _content(places[path], path.name, min(_SOURCE_MOST, left) if path in wanted else left)
        except InputError as error:
            faults[path] = str(error)
            continue
        files[path] = content
        left -= len(content)
    return files, faults


def _content(place: Place, name: str, most: int) -> bytes:
    """The content of a file, which is no link.

    Raises:
        InputError: if it is no file, cannot be read, or has more bytes.
    """
    if isinstance(place, bytes):
        size = len(place)
    else:
        try:
            kept = place.lstat()
        except OSError as error:
            raise InputError(f"{name} cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(kept.st_mode):
            raise InputError(f"{name} is {'a link' if stat.S_ISLNK(kept.st_mode) else 'something else'}, not a file")
        size = kept.st_size
    if size > most:
        raise InputError(f"{name} has {size / 2**20:.1f} megabytes; a source has at most one")
    return place if isinstance(place, bytes) else read_bytes(place, most)


def _meant(name: str, candidates: Sequence[Candidate], files: Mapping[Path, bytes], plain: set[Path]) -> list[Path]:
    """The files that are meant for an exercise; one alone if it is plain which.

    That is the plain name; else a renamed file that defines the function; else any other file that does; else a
    renamed one, and at last the stub.
    """
    own = _own(name, candidates, files)
    named = {c.path for c in candidates}
    renamed = [c for c in own if c.renamed]
    defining = [path for path, source in files.items() if path.suffix == ".py" and _defines(source, name)]
    others = sorted(Candidate(path in plain, 0, path) for path in defining if path not in named and not is_aside(path))
    elsewhere = _own(name, others, files)
    free = [c for c in elsewhere if c.path not in plain]  # an answer may well define another one's function
    groups = (
        [c for c in own if not c.renamed],
        [c for c in renamed if _defines(files.get(c.path, b""), name)],
        free if candidates else free or elsewhere,
        renamed,
        candidates[:1],
    )
    first = next((group for group in groups if group), [])
    return [c.path for c in first if c.depth == first[0].depth]


def _own(name: str, candidates: Sequence[Candidate], files: Mapping[Path, bytes]) -> list[Candidate]:
    """Candidates without the stub, of files with the same bytes one."""
    first: dict[bytes | Path, Candidate] = {}
    for candidate in candidates:
        content = files.get(candidate.path)
        if content is None or not is_stub(content, name):
            first.setdefault(candidate.path if content is None else content, candidate)
    return list(first.values())


def _defines(source: bytes, name: str) -> bool:
    """Whether a source defines a function of that name; one that Python cannot read may as well."""
    return re.search(rf"^(def +{name}\b|{name}\s*=)".encode(), source, re.MULTILINE) is not None


def _undecided(student: str, paths: Sequence[Path]) -> str:
    told = f"more than one file may be meant ({few([shown_path(path) for path in paths])}); keep one of them"
    apart = all(len(path.parts) > 1 for path in paths) and len({path.parts[0] for path in paths}) == len(paths)
    return f"{told}, or grade {shown_name(Path(student))} by itself if its folders are students'" if apart else told


def _unplaced(paths: set[Path], sources: Sequence[bytes]) -> list[str]:
    """What a student may have meant as an answer and is none."""
    every = b"\0".join(sources)
    return [
        shown_path(path)
        for path in sorted(paths)
        if path.name.lower() not in _NOT_ANSWERS
        and path.parent.name != PICTURES
        and not is_aside(path)
        and not re.search(rb"\b%b\b" % re.escape(path.stem.encode("utf-8", "surrogateescape")), every)
    ]


def few(names: Sequence[str]) -> str:
    """Names in a row, of many the first ones and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def shown_path(path: Path) -> str:
    """A path within a folder as text; see `shown_name`."""
    return "/".join(shown_name(Path(part)) for part in path.parts)


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
