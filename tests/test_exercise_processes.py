"""The process in which a student's file runs: what it may do, how it ends, and what is said of that."""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from mnist_ddm.exercises import student
from mnist_ddm.exercises.limits import Limits
from mnist_ddm.exercises.nursery import Nursery
from mnist_ddm.exercises.processes import OUTPUT_KEPT, end
from mnist_ddm.exercises.registry import exercise_names
from mnist_ddm.exercises.runner import run_check

SOLUTIONS = Path(__file__).parents[1] / "teacher" / "solutions"
HEAD = "def order(step_sizes, errors):\n"


def _file(tmp_path, text, name="order"):
    file = tmp_path / f"{name}.py"
    file.write_text(text)
    return file


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="there is a nursery on Linux alone")
def test_processes_of_a_nursery_end_as_they_would_by_themselves(tmp_path):
    """How they end, what they print, and what the end of the nursery itself means for them and for those after it."""
    file, limits = _file(tmp_path, HEAD + "    return 2.0\n"), Limits(clock=30)
    ends = {
        "print('here'); import os; os._exit(7)": (7, b"here\n"),
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)": (-11, b""),
    }
    with Nursery() as nursery:
        outcome = run_check("order", file, limits, start=nursery.start)
        assert (outcome.result, nursery.gone) == ("wrong", False)
        first = _started(nursery, tmp_path, "while True: pass")
        for text, (code, printed) in ends.items():
            process = _started(nursery, tmp_path, text)
            assert process.wait(60) == code, text
            assert printed in process.stderr.read()
            end(process)
        assert first.poll() is None
        os.kill(nursery._process.pid, signal.SIGKILL)
        assert first.wait(60) == -signal.SIGKILL
        assert nursery.gone
        file.write_text((SOLUTIONS / "order.py").read_text())
        assert run_check("order", file, limits, start=nursery.start).passed


def _started(nursery, tmp_path, text):
    file = _file(Path(tempfile.mkdtemp(dir=tmp_path)), text)
    process = nursery.start(["order", str(file), str(tmp_path), "20", "1024", ""], tmp_path)
    process.stdin.close()
    return process


@pytest.mark.slow
def test_a_right_file_passes_in_its_own_process_with_a_picture(tmp_path):
    file = _file(tmp_path, "import helper\n" + (SOLUTIONS / "order.py").read_text())
    (tmp_path / "helper.py").write_text("print('hello from a neighbour')\n")
    (tmp_path / "random.py").write_text("raise RuntimeError('shadowed')\n")
    told = []
    found = run_check(
        "order", file, Limits(), tmp_path / "p.png", on_passed=lambda m: told.append((m, (tmp_path / "p.png").exists()))
    )
    assert found.passed, found.message
    assert told == [(found.message, False)]  # before there is a picture
    assert found.picture
    assert (tmp_path / "p.png").exists()
    assert found.printed == "hello from a neighbour"
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.long
def test_an_endless_loop_that_prints_is_stopped(tmp_path):
    file = _file(tmp_path, HEAD + "    while True:\n        print('x' * 1000)\n")
    found = run_check("order", file, Limits(seconds=1))
    assert found.result == "time"
    assert "loop without an end" in found.message
    assert len(found.printed) < 2 * OUTPUT_KEPT
    assert "characters more" in found.printed


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process computes")
def test_a_busy_machine_gives_a_file_that_computes_more_time_and_none_to_one_that_sleeps(tmp_path, monkeypatch):
    monkeypatch.setattr(Limits, "patience", property(lambda self: 0.4))
    monkeypatch.setattr(student, "_COMPUTES", 0.02)
    monkeypatch.setattr(student, "_EXTENSIONS", 200)
    computes = "import time\n" + HEAD + "    while time.process_time() < begin + 1: pass\n    return 2.0\n"
    with Nursery() as nursery:
        found = run_check(
            "order",
            _file(tmp_path, "import time; begin = time.process_time()\n" + computes),
            Limits(),
            start=nursery.start,
        )
        assert found.result == "wrong", found  # it had its time
        monkeypatch.setattr(student, "_EXTENSIONS", 1)
        found = run_check(
            "order", _file(tmp_path, HEAD + "    while True: pass\n"), Limits(seconds=60), start=nursery.start
        )
        assert found.result == "time"
        if "busy machine" in found.message:
            assert found.seconds >= 1
        found = run_check(
            "order", _file(tmp_path, HEAD + "    import time; time.sleep(600)\n"), Limits(), start=nursery.start
        )
        assert (found.result, "does it wait for something" in found.message) == ("time", True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "result", "says"),
    [
        ("    import os; os._exit(0)\n", "crash", "exit code 0"),
        ("    import os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n", "crash", "SIGSEGV"),
        ("    return [0.0] * 10**12\n", "memory", "more memory"),
        ("    import torch; return torch.zeros(10**12)\n", "memory", "more memory"),
        ("    x = []\n    while True: x.append(bytes(10**6))\n", "memory", "more memory"),
        ("    import sys; sys.exit(0)\n", "error", "ended the program"),
        ("    return order(step_sizes, errors)\n", "error", "calls itself without end"),
        ("    import time; time.sleep(600)\n", "time", "does it wait for something"),
        (
            "    import torch; x = torch.randn(3000, 3000)\n    while True: x @ x\n",
            "time",
            "no answer after 1 s of computing",
        ),
        (
            "    try:\n        while True: pass\n    except BaseException: pass\n",
            "time",
            "no answer after 1 s of computing",
        ),
        ("    import subprocess; subprocess.run(['sleep', '600'])\n", "time", "does it wait for something"),
        ("    print('x' * 10**8); return 2.0\n", "wrong", "the order came out wrong"),
        ("    input(); return 2.0\n", "error", "EOFError"),
    ],
)
def test_whatever_a_student_does_is_an_answer(tmp_path, body, result, says):
    clock = 5 if "sleep" in body else None
    found = run_check("order", _file(tmp_path, HEAD + body), Limits(seconds=1, megabytes=512, clock=clock))
    assert found.result == result, found
    assert says in found.message


@pytest.mark.slow
@pytest.mark.parametrize("name", exercise_names())
def test_every_solution_passes_as_a_student_would_run_it(tmp_path, name):
    file = tmp_path / f"{name}.py"
    shutil.copy(SOLUTIONS / file.name, file)
    found = run_check(name, file, Limits(seconds=5), tmp_path / "p.png")
    assert found.passed, found
    assert found.picture
