"""What grading a class takes: 30 students with 17 exercises, of which five in six are right, on two cores.

Seconds of the clock are those of the machine as it was; seconds of the processor are of all processes together, and do
not depend on what else it does. What was measured is printed and written to `.benchmarks/grading.json`.
"""

import json
import resource
import time
from pathlib import Path

import pytest

from mnist_ddm.exercises.grading import grade_all
from mnist_ddm.exercises.handins import hand_ins
from mnist_ddm.exercises.limits import Limits
from mnist_ddm.exercises.registry import exercise_names

SOLUTIONS = Path(__file__).parents[2] / "teacher" / "solutions"
RESULT = Path(__file__).parents[2] / ".benchmarks" / "grading.json"
STUDENTS, WORKERS = 30, 2
MOST = 300.0
"""Seconds on two cores with nothing else to do."""

pytestmark = pytest.mark.slow


def processor() -> float:
    """Seconds of this process and of all that have ended under it."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def test_a_class_of_thirty(tmp_path):
    names = exercise_names()
    for i in range(STUDENTS):
        folder = tmp_path / f"student-{i:02}"
        folder.mkdir()
        for j, name in enumerate(names):
            right = (i + j) % 6
            source = (SOLUTIONS / f"{name}.py").read_text() if right else f"def {name}(*given):\n    return None\n"
            (folder / f"{name}.py").write_text(f"{source}\n# {i}\n")
    clock, used = time.perf_counter(), processor()
    grades = grade_all(hand_ins(tmp_path)[0], names, Limits(), WORKERS)
    clock, used = time.perf_counter() - clock, processor() - used
    report = {
        "students": STUDENTS,
        "exercises": len(names),
        "workers": WORKERS,
        "passed": sum(g.result == "passed" for g in grades),
        "seconds": round(clock, 1),
        "processor seconds": round(used, 1),
        "processor seconds a file": round(used / len(grades), 3),
        "minutes on two free cores": round(used / WORKERS / 60, 2),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    wrong = sum((i + j) % 6 == 0 for i in range(STUDENTS) for j in range(len(names)))
    assert report["passed"] == STUDENTS * len(names) - wrong
    assert used / WORKERS < MOST
