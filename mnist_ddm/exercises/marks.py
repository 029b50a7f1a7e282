"""Points and feedback from grades: what a teacher enters into a list, and what a student gets back."""

import csv
import io
from collections.abc import Sequence

from mnist_ddm.exercises.grading import MISSING, Grade
from mnist_ddm.exercises.registry import sheet_of
from mnist_ddm.exercises.runner import PASSED
from mnist_ddm.storage.names import file_name
from mnist_ddm.tables.spreadsheets import spreadsheet_cell


def points_of(grade: Grade) -> int:
    """A passed exercise counts its minutes, any other one nothing."""
    return sheet_of(grade.exercise).minutes if grade.result == PASSED else 0


def total_of(exercises: Sequence[str]) -> int:
    """The points of all exercises."""
    return sum(sheet_of(name).minutes for name in exercises)


def points_csv(grades: Sequence[Grade]) -> str:
    """One row for each student: the points of each exercise, and the total; the last row has the most there are."""
    by_student = _by_student(grades)
    exercises = list(dict.fromkeys(g.exercise for g in grades))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["student", *exercises, "total"])
    for student, own in by_student.items():
        points = {g.exercise: points_of(g) for g in own}
        row = [student, *(points.get(name, 0) for name in exercises), sum(points.values())]
        writer.writerow(map(spreadsheet_cell, row))
    writer.writerow(["(most)", *(total_of([name]) for name in exercises), total_of(exercises)])
    return buffer.getvalue()


def feedback_files(grades: Sequence[Grade]) -> dict[str, str]:
    """For each student, by the name of a file, what the check says of each exercise, as it would say it to them."""
    files: dict[str, str] = {}
    taken: set[str] = set()
    for student, own in _by_student(grades).items():
        lines = [f"{student}: {sum(map(points_of, own))} of {total_of([g.exercise for g in own])} points", ""]
        for g in own:
            if g.result != MISSING:
                lines += [f"{g.exercise} ({points_of(g)} of {total_of([g.exercise])}): {g.result}"]
                lines += [f"  {line}" for line in (*g.message.splitlines(), g.doubt) if line]
        if missing := [g for g in own if g.result == MISSING]:
            lines += [f"{MISSING} ({total_of([g.exercise for g in missing])} points): {_listed(missing)}"]
            lines += [f"  {missing[0].message}"] if missing[0].message else []
        name, number = file_name(student), 1
        while name.lower() in taken:  # students whose names differ by what no file name has
            number += 1
            name = f"{file_name(student)}-{number}"
        taken.add(name.lower())
        files[f"{name}.txt"] = "\n".join(lines) + "\n"
    return files


def _listed(grades: Sequence[Grade]) -> str:
    return ", ".join(g.exercise for g in grades)


def remarks_on(grades: Sequence[Grade]) -> list[str]:
    """What a teacher may want to look at in one student's grades."""
    shared: dict[tuple[str, ...], list[Grade]] = {}
    for g in grades:
        if g.same_as:
            shared.setdefault(g.same_as, []).append(g)
    remarks = [f"same {_listed(own)} as {', '.join(others)}" for others, own in shared.items()]
    remarks += [f"imports mnist_ddm in {g.exercise}" for g in grades if g.imports_package]
    remarks += [f"{g.exercise}: {g.doubt}" for g in grades if g.doubt]
    return remarks + sorted({g.message for g in grades if g.result == MISSING and g.message})


def _by_student(grades: Sequence[Grade]) -> dict[str, list[Grade]]:
    """The grades of each student, in order."""
    found: dict[str, list[Grade]] = {}
    for g in grades:
        found.setdefault(g.student, []).append(g)
    return found
