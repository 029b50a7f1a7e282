"""A folder in which somebody does exercises: the files of the student, and one file that remembers how far they are.

What a student wrote is never overwritten: `start` leaves a file that exists, `reset` moves it aside.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

from mnist_ddm.errors import InputError
from mnist_ddm.exercises.confine import memory_of_a_judge
from mnist_ddm.exercises.limits import Limits
from mnist_ddm.exercises.processes import Start, start_fresh
from mnist_ddm.exercises.registry import Sheet, exercise_names, sheet_of
from mnist_ddm.exercises.runner import CheckResult, run_check
from mnist_ddm.storage.door import decoded, parse_json, read_bytes
from mnist_ddm.storage.files import read_json, write_json, write_text
from mnist_ddm.storage.typed import as_kind

STATE = "exercises.json"
PICTURES = "pictures"
_SCHEMA = 1
_JUDGES_MEGABYTES = 6144
"""Beyond what the program has before the check: torch, and what an answer leads it to compute."""


@dataclass(frozen=True)
class Progress:
    """What is remembered of one exercise.

    Attributes:
        started: when, or empty.
        checks: how often it was checked.
        hints: how many were shown.
        passed: when the file was right for the first time, or empty.
        sha256: of the file that was right.
        best: the smallest score of an open exercise.
    """

    started: str = ""
    checks: int = 0
    hints: int = 0
    passed: str = ""
    sha256: str = ""
    best: float | None = None


@dataclass(frozen=True)
class _State:
    current: str = ""
    exercises: dict[str, Progress] = field(default_factory=dict)


@final
class Workspace:
    """The exercises in one folder."""

    def __init__(self, folder: Path) -> None:
        """Open a folder; nothing is written before something is done.

        Raises:
            InputError: if its `exercises.json` is damaged.
        """
        self.folder = folder
        self._place = folder / STATE
        self._state = _state_of(read_json(self._place), str(self._place)) if self._place.exists() else _State()

    def progress(self, name: str) -> Progress:
        """What is remembered of an exercise."""
        return self._state.exercises.get(name, Progress())

    @property
    def current(self) -> str:
        """The exercise that was started, checked or reset last; empty if there is none."""
        return self._state.current

    def next_exercise(self) -> str | None:
        """The first exercise that is not passed, in their order."""
        return next((name for name in exercise_names() if not self.progress(name).passed), None)

    def file(self, name: str) -> Path:
        """The student's file."""
        return self.folder / f"{name}.py"

    def start(self, name: str) -> bool:
        """Write the stub of an exercise, unless its file is there already; returns whether it was written."""
        sheet, file = sheet_of(name), self.file(name)
        fresh = not file.exists()
        if fresh:
            write_text(file, sheet.stub)
        before = self.progress(name)
        self._remember(name, replace(before, started=before.started or _now()))
        return fresh

    def check(
        self,
        name: str,
        limits: Limits,
        start: Start = start_fresh,
        on_passed: Callable[[str], None] = lambda message: None,
    ) -> tuple[CheckResult, Path]:
        """Check the student's file, and draw the picture if it is right.

        Args:
            name: of the exercise.
            limits: what the file may use.
            start: starts its process.
            on_passed: called with the message of a right answer, before its picture is drawn.

        Returns:
            What came of it, and where the picture would be.

        Raises:
            InputError: if the exercise was not started.
        """
        file, picture = self.file(name), self.folder / PICTURES / f"{name}.png"
        sheet_of(name)
        if not file.is_file():
            raise InputError(f"there is no {file}; `mnist-ddm exercises start {name}` makes it")
        with memory_of_a_judge(_JUDGES_MEGABYTES):
            outcome = run_check(name, file, limits, picture, start=start, on_passed=on_passed)
        now = replace(self.progress(name), checks=self.progress(name).checks + 1)
        if outcome.passed:
            now = replace(now, passed=now.passed or _now(), sha256=outcome.sha256)
        if outcome.score is not None:
            value = float(outcome.score["value"])
            now = replace(now, best=value if now.best is None else min(value, now.best))
        self._remember(name, now)
        return outcome, picture

    def hint(self, name: str) -> tuple[Sheet, int, bool]:
        """Show one hint more; which exercise one is at stays as it is.

        Once an exercise is passed, its hints are free: all are shown, and none of them counts.

        Returns:
            The sheet, how many of its hints are shown now, and whether one was added.
        """
        sheet, before = sheet_of(name), self.progress(name)
        if before.passed:
            return sheet, len(sheet.hints), False
        shown = min(before.hints + 1, len(sheet.hints))
        self._remember(name, replace(before, hints=shown), current=self.current)
        return sheet, shown, shown > before.hints

    def reset(self, name: str) -> Path | None:
        """Begin an exercise anew; returns where the student's file was moved to, if there was one."""
        sheet, file = sheet_of(name), self.file(name)
        moved = None
        if file.exists() and read_bytes(file) != sheet.stub.encode():
            numbers = range(1, 10_000)
            moved = next(p for i in numbers if not (p := self.folder / f"{name}.old-{i}.py").exists())
            file.rename(moved)
        write_text(file, sheet.stub)
        self._remember(name, Progress(started=_now()))
        return moved

    def _remember(self, name: str, progress: Progress, current: str | None = None) -> None:
        current = name if current is None else current
        self._state = _State(current, {**self._state.exercises, name: progress})
        kept = {key: asdict(p) for key, p in self._state.exercises.items()}
        write_json(self._place, {"schema": _SCHEMA, "current": current, "exercises": kept})


def read_progress(content: bytes, name: str) -> Progress | None:
    """What an `exercises.json` says about an exercise; nothing if it says nothing that can be read."""
    try:
        return _state_of(parse_json(decoded(content, STATE), STATE), STATE).exercises.get(name, Progress())
    except InputError:
        return None


def _state_of(stored: Any, place: str) -> _State:
    state = as_kind(stored, _State, place, _WHAT)
    known = {own.name for own in fields(Progress)}
    whole = stored.keys() == {"schema", *(own.name for own in fields(_State))}
    if not whole or any(progress.keys() - known for progress in stored["exercises"].values()):
        raise InputError(f"{place} is not {_WHAT}")
    if not all(_is_sensible(progress) for progress in state.exercises.values()):
        raise InputError(f"{place} counts what cannot be; restore it, or move it away")
    return state


_WHAT = "what this command wrote; restore it, or move it away"


def _is_sensible(progress: Progress) -> bool:
    """Whether the numbers are some that this command could have written."""
    counts = (progress.checks, progress.hints)
    return all(0 <= n < _MOST_CHECKS for n in counts) and (progress.best is None or math.isfinite(progress.best))


_MOST_CHECKS = 10**9


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
