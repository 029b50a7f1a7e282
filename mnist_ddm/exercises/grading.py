"""Grading: every exercise of every student, each in a process of its own, into one CSV file."""

import csv
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from mnist_ddm.exercises.confine import memory_of_a_judge, out_of_reach
from mnist_ddm.exercises.handins import HandIn, few, is_stub, shown_path, written
from mnist_ddm.exercises.leaderboard import Entry, entry_of
from mnist_ddm.exercises.limits import Limits
from mnist_ddm.exercises.nursery import Nursery
from mnist_ddm.exercises.processes import end_all
from mnist_ddm.exercises.runner import run_check
from mnist_ddm.tables.spreadsheets import spreadsheet_cell

MISSING: Final = "not handed in"
UNPLACED: Final = "the folder has what answers no exercise: "
_SHORT = 5
"""Lines beside those of the stub: so short an answer two students may well write alike."""
_JUDGES_MEGABYTES = 6144
"""Beyond what the program has when it begins to grade: torch, and what answers lead it to compute."""

COLUMNS = (
    "student", "exercise", "result", "message", "seconds", "hints_used", "imports_mnist_ddm", "same_file_as", "sha256",
    "file",
)  # fmt: skip


@dataclass(frozen=True)
class Grade:
    """One exercise of one student.

    Attributes:
        student: the name of the folder.
        exercise: which.
        result: `passed`, `wrong`, `not done`, `error`, `time`, `memory`, `crash` or `not handed in`.
        message: the check's, as the student would see it.
        seconds: of the processor that import and check took.
        hints: how many the student's own folder says were shown; ``None`` if it says nothing.
        imports_package: whether the file imports this package, which has solutions inside.
        same_as: other students whose file has the same bytes.
        sha256: of the file.
        short: whether so little was written that two may well have written the same.
        walled: whether the file ran behind walls.
        file: that was graded, within the student's folder.
        others: that may be meant as well, if the one that was graded is not right.
        score: of an open exercise, for the leaderboard.
    """

    student: str
    exercise: str
    result: str
    message: str = ""
    seconds: float = 0.0
    hints: int | None = None
    imports_package: bool = False
    same_as: tuple[str, ...] = ()
    sha256: str = ""
    short: bool = False
    walled: bool = False
    file: str = ""
    others: tuple[str, ...] = ()
    score: Entry | None = None

    @property
    def doubt(self) -> str:
        """What to tell if another file may be meant; else empty."""
        return (
            f"{shown_path(Path(self.file))} was graded; {few(self.others)} may be meant as well" if self.others else ""
        )


def grade_all(
    handins: Sequence[HandIn],
    exercises: Sequence[str],
    limits: Limits,
    workers: int,
    on_graded: Callable[[Grade], None] = lambda grade: None,
) -> list[Grade]:
    """Grade all exercises of all students; in order of student and exercise, whatever the number of workers.

    All files have been read before any of them runs, and each runs from a copy of its own, so that no student's code
    can change what another one handed in.

    Args:
        handins: of each student.
        exercises: their names.
        limits: for each file.
        workers: how many files run side by side.
        on_graded: called with each grade as it comes.
    """
    out_of_reach()
    jobs = [(handin, name) for handin in handins for name in exercises]
    with (
        Nursery() as nursery,
        memory_of_a_judge(_JUDGES_MEGABYTES),
        ThreadPoolExecutor(max_workers=workers) as threads,
    ):
        running = {threads.submit(_graded, handin, name, limits, nursery): i for i, (handin, name) in enumerate(jobs)}
        try:
            grades: dict[int, Grade] = {}
            for done in as_completed(running):
                grades[running[done]] = done.result()
                on_graded(done.result())
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise
    return _with_copies([grades[i] for i in range(len(jobs))])


def _graded(handin: HandIn, name: str, limits: Limits, nursery: Nursery) -> Grade:
    """A grade, whatever a student's files lead to: the others' must not depend on it."""
    try:
        return _grade(handin, name, limits, nursery)
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return Grade(handin.student, name, "error", message=f"the check itself failed ({told})")


def _grade(handin: HandIn, name: str, limits: Limits, nursery: Nursery) -> Grade:
    grade = Grade(handin.student, name, MISSING, hints=handin.hints.get(name))
    if name in handin.refused:
        return replace(grade, result="error", message=handin.refused[name])
    if name not in handin.answers:
        told = f"{UNPLACED}{few(handin.unplaced)}" if handin.unplaced else ""
        return replace(grade, hints=None, message=told)
    answer = handin.answers[name]
    source, grade = handin.files[answer], replace(grade, file=answer)
    if is_stub(source, name):
        return replace(grade, result="not done", message="the stub as it was given")
    with handin.copied() as folder:
        file = folder / answer
        outcome = run_check(name, file, limits, confined=True, start=nursery.start)
        if outcome.result == "crash" and nursery.gone:  # another student's code may have ended it
            outcome = run_check(name, file, limits, confined=True)
    return replace(
        grade,
        result=outcome.result,
        message=outcome.message,
        seconds=outcome.seconds,
        imports_package=outcome.imports_package,
        sha256=sha256(source).hexdigest(),
        short=written(source, name) <= _SHORT,
        walled=outcome.walled,
        others=() if outcome.passed else tuple(handin.others[name]),
        score=None if outcome.score is None else entry_of(handin.student, outcome.score, outcome.sha256),
    )


def _with_copies(grades: list[Grade]) -> list[Grade]:
    """The same grades, each with the other students who handed in the same bytes, unless the answer is a short one."""
    owners: dict[tuple[str, str], list[str]] = {}
    for g in grades:
        owners.setdefault((g.exercise, g.sha256), []).append(g.student)
    return [
        replace(g, same_as=tuple(s for s in owners[g.exercise, g.sha256] if s != g.student))
        if g.sha256 and not g.short
        else g
        for g in grades
    ]


def to_csv(grades: Sequence[Grade]) -> str:
    """One row for each student and exercise."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for g in grades:
        message = "; ".join(line.strip() for line in (*g.message.splitlines(), g.doubt) if line)
        row = [g.student, g.exercise, g.result, message, f"{g.seconds:.2f}", "" if g.hints is None else g.hints]
        row += [
            "yes" if g.imports_package else "",
            "; ".join(g.same_as),
            g.sha256,
            shown_path(Path(g.file)),
        ]
        writer.writerow(map(spreadsheet_cell, row))
    return buffer.getvalue()
