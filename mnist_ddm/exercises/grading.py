"""Grading: every exercise of every student, each in a process of its own, into one CSV file."""

import ast
import csv
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mnist_ddm.errors import InputError
from mnist_ddm.exercises.leaderboard import Entry, entry_of
from mnist_ddm.exercises.registry import exercise_names
from mnist_ddm.exercises.runner import Limits, run_check
from mnist_ddm.exercises.workspace import is_stub, read_progress

MISSING: Final = "not handed in"
COLUMNS = (
    "student", "exercise", "result", "message", "seconds", "hints_used", "imports_mnist_ddm", "same_file_as", "sha256",
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
    score: Entry | None = None


def student_folders(folder: Path) -> list[Path]:
    """The folders of students: those below ``folder`` that hold a file of an exercise, or of which one was expected.

    Raises:
        InputError: if there is no folder, or none below it holds an exercise.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the folder that holds one folder for each student")
    students = sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith((".", "__")))
    if not any((f / f"{name}.py").is_file() for f in students for name in exercise_names()):
        raise InputError(
            f"no folder in {folder} holds an exercise such as flow.py; give the folder above the students'"
        )
    return students


def grade_all(
    folders: Sequence[Path],
    exercises: Sequence[str],
    limits: Limits,
    workers: int,
    on_graded: Callable[[Grade], None] = lambda grade: None,
) -> list[Grade]:
    """Grade all exercises of all students; in order of student and exercise, whatever the number of workers.

    Args:
        folders: one for each student.
        exercises: their names.
        limits: for each file.
        workers: how many files run side by side.
        on_graded: called with each grade as it comes.
    """
    jobs = [(folder, name) for folder in folders for name in exercises]
    with ThreadPoolExecutor(max_workers=workers) as threads:
        running = {threads.submit(_grade, folder, name, limits): i for i, (folder, name) in enumerate(jobs)}
        try:
            grades: dict[int, Grade] = {}
            for done in as_completed(running):
                grades[running[done]] = done.result()
                on_graded(done.result())
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return _with_copies([grades[i] for i in range(len(jobs))])


def _grade(folder: Path, name: str, limits: Limits) -> Grade:
    file = folder / f"{name}.py"
    if not file.is_file():
        return Grade(folder.name, name, MISSING)
    progress = read_progress(folder, name)
    graded = Grade(folder.name, name, "", hints=progress.hints if progress else None)
    try:
        if is_stub(file, name):
            return replace(graded, result="not done", message="the stub as it was given")
        outcome = run_check(name, file, limits)
    except (InputError, OSError) as error:
        return replace(graded, result="error", message=str(error))
    return replace(
        graded,
        result=outcome.result,
        message=outcome.message,
        seconds=outcome.seconds,
        imports_package=_imports_package(file),
        sha256=outcome.sha256,
        score=None if outcome.score is None else entry_of(folder.name, outcome.score, outcome.sha256),
    )


def _imports_package(file: Path) -> bool:
    """Whether a file says `import mnist_ddm` or `from mnist_ddm... import`, other than for names of types."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return False
    names = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    names += [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    return any(name.split(".")[0] == "mnist_ddm" and not name.endswith("catalogue.contest") for name in names)


def _with_copies(grades: list[Grade]) -> list[Grade]:
    """The same grades, each with the other students who handed in the same bytes."""
    owners: dict[tuple[str, str], list[str]] = {}
    for g in grades:
        owners.setdefault((g.exercise, g.sha256), []).append(g.student)
    return [
        replace(g, same_as=tuple(s for s in owners[g.exercise, g.sha256] if s != g.student)) if g.sha256 else g
        for g in grades
    ]


def to_csv(grades: Sequence[Grade]) -> str:
    """One row for each student and exercise."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for g in grades:
        message = "; ".join(line.strip() for line in g.message.splitlines())
        row = [g.student, g.exercise, g.result, message, f"{g.seconds:.2f}", "" if g.hints is None else g.hints]
        row += ["yes" if g.imports_package else "", " ".join(g.same_as), g.sha256]
        writer.writerow([_cell(value) for value in row])
    return buffer.getvalue()


def _cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text
