"""Code that cheats, breaks or destroys: the judge is out of reach, and everybody else's result stands."""

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_ddm.exercises.grading import grade_all, to_csv
from mnist_ddm.exercises.handins import hand_ins
from mnist_ddm.exercises.limits import Limits
from mnist_ddm.exercises.runner import run_check
from mnist_ddm.exercises.student import _mirror, _signature
from mnist_ddm.exercises.wire import (
    BODY_MOST,
    LeftBehind,
    MessageError,
    Packer,
    TooLarge,
    Unpacker,
    nothing_else,
    read_message,
    write_message,
)
from mnist_ddm.exercises.worker import imports_package
from mnist_ddm.exercises.workspace import STATE, read_progress
from mnist_ddm.tables.spreadsheets import spreadsheet_cell

SOLUTIONS = Path(__file__).parents[1] / "teacher" / "solutions"
HEAD = "def order(step_sizes, errors):\n"

PATCHES = """
import builtins, gc, sys
import mnist_ddm.exercises.answers as answers
import mnist_ddm.exercises.base as base
import mnist_ddm.exercises.catalogue.order as catalogue
import torch
answers._difference = answers._one = lambda *a, **k: None
answers.judge = base.judge = lambda *a, **k: None
base.ClosedExercise.examine = lambda self, function: base.Pass("right")
torch.equal = lambda *a: True
builtins.abs = lambda value: 0.0
def order(step_sizes, errors):
    return 0.0
"""
FORGES = """
import gc
def order(step_sizes, errors):
    for student in [o for o in gc.get_objects() if type(o).__name__ == "_Student"]:
        student.tell({forged})
    return 0.0
"""
DESTROYS = """
import os, shutil
for place in {places!r}:
    shutil.rmtree(place, ignore_errors=True)
for process in [os.getppid(), *(int(p) for p in os.listdir("/proc") if p.isdigit())]:
    if {kill} and process != os.getpid():
        try:
            os.kill(process, 9)
        except OSError:
            pass
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        PATCHES,
        FORGES.format(forged='"passed", message="right"'),
        FORGES.format(forged='"returned", value={"tensor": ["float64", [10**9], 0]}, changed=[]'),
        FORGES.format(forged='"returned", value=0.0, changed=[[0, "__class__", 1]]'),
        FORGES.format(forged='"raised", result="passed", message="\\x1b[31mright"'),
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'x' * 4096)\n    except OSError: pass\n"
        + HEAD
        + "    return 0.0\n",
    ],
)
def test_a_file_cannot_pass_by_reaching_for_the_judge(tmp_path, text):
    file = tmp_path / "order.py"
    file.write_text(text)
    outcome = run_check("order", file, Limits(clock=20))
    assert not outcome.passed, outcome
    assert "\x1b" not in outcome.message


@pytest.mark.slow
def test_each_students_result_stands_alone(tmp_path):
    students = {name: tmp_path / "class" / name for name in ("ada", "bob", "eve", "kim", "mal", "zoe")}
    for student in students.values():
        student.mkdir(parents=True)
    alike = (SOLUTIONS / "order.py").read_text() + "".join(
        f"\nnote_{i} = {i}\n" for i in range(6)
    )  # too long for chance
    (students["ada"] / "order.py").write_text(alike)
    (students["bob"] / "order.py").write_text("x = " + "(" * 50_000 + ")" * 50_000 + "\n")
    (students["bob"] / STATE).write_text("[" * 100_000)
    (students["eve"] / "order.py").write_text("x = " + "-" * 100_000 + "1\n")
    (students["kim"] / "order.py").symlink_to(students["zoe"] / "order.py")
    places = [str(tmp_path / "class"), "/tmp/mnist-ddm-hand-in-nowhere"]
    text = DESTROYS.format(places=places, kill=False) + (SOLUTIONS / "order.py").read_text()
    (students["mal"] / "order.py").write_text(text)
    (students["zoe"] / "order.py").write_text(alike)
    (students["zoe"] / STATE).write_text(json.dumps({"current": "", "exercises": {"order": {"hints": "=1+1"}}}))
    told = {g.student: g for g in grade_all(hand_ins(tmp_path / "class")[0], ["order"], Limits(), 1)}
    assert {name: grade.result for name, grade in told.items()} == {
        "ada": "passed", "bob": "error", "eve": "memory", "kim": "error", "mal": "passed", "zoe": "passed",
    }  # fmt: skip
    assert "is a link" in told["kim"].message
    assert told["ada"].same_as == ("zoe",)
    assert told["zoe"].hints is None
    assert told["mal"].same_as == ()
    if told["mal"].walled:
        assert (students["ada"] / "order.py").exists()
    assert "=1+1" not in to_csv(list(told.values()))


@pytest.mark.slow
def test_walls_hide_processes_disk_and_network(tmp_path):
    file = tmp_path / "order.py"
    file.write_text(
        DESTROYS.format(places=[], kill=True)
        + "import socket\n"
        + "told = []\n"
        + f"for place in ({str(tmp_path / 'x')!r}, '/tmp/mnist-ddm-x', '/dev/shm/../x', {str(Path.home() / 'x')!r}):\n"
        + "    try: open(place, 'w'); told.append(place)\n"
        + "    except OSError: pass\n"
        + "try: socket.create_connection(('127.0.0.1', 9), 1)\n"
        + "except OSError as error: told.append(error.errno)\n"
        + "open('mine.txt', 'w').write('x')\n"
        + "def order(h, e):\n    return str(told)\n"
    )
    outcome = run_check("order", file, Limits(), confined=True)
    if not outcome.walled:
        pytest.skip("this system has no namespaces for ordinary users")
    assert outcome.result == "wrong", outcome
    assert "'[101]' (str)" in outcome.message  # the network cannot be reached


def _through(value, other=lambda packer, value: {"kept": [0, repr(value), type(value).__name__]}):
    packer, pipe = Packer(other), io.BytesIO()
    write_message(pipe, {"value": packer.pack(value)}, packer.body)
    head, body = read_message(io.BytesIO(pipe.getvalue()))
    return Unpacker(body, lambda unpacker, form, told: LeftBehind(*told)).unpack(head["value"])


@pytest.mark.parametrize(
    "value",
    [
        None, True, -3, 2**100, 0.1, float("inf"), "text", "\udcff", [], (1, "a"), {"a": [1.5], 2: ()},
        torch.arange(6.0).reshape(2, 3).T, torch.tensor(3), torch.zeros(0, 4), torch.tensor([True, False]),
        torch.ones(2, dtype=torch.bfloat16), torch.ones(1).expand(5), torch.ones(2, requires_grad=True),
    ],
)  # fmt: skip
def test_plain_data_cross_the_pipe_bit_for_bit(value):
    came = _through(value)
    if isinstance(value, torch.Tensor):
        assert came.dtype == value.dtype
        assert came.shape == value.shape
        assert torch.equal(came, value.detach())
    else:
        assert came == value
        assert type(came) is type(value)


def test_numpys_values_cross_as_what_they_are_and_the_rest_stays_behind():
    assert _through(np.float64(2.5)) == 2.5
    assert _through(np.array([1, 2])).tolist() == [1, 2]
    assert _through(float("nan")) != _through(float("nan"))
    kept = _through({1, 2})
    assert (kept.shown, kept.kind) == ("{1, 2}", "set")
    deep = []
    for _ in range(100_000):
        deep = [deep]
    deep_kept = _through(deep, lambda packer, value: {"kept": [0, "...", "list"]})
    assert "..." in repr(deep_kept)
    with pytest.raises(TooLarge):
        _through(torch.zeros(1).expand(10**12))


@pytest.mark.parametrize(
    "node",
    [
        {"tensor": ["float64", [2], 0]},
        {"tensor": ["float64", [-1], 0]},
        {"tensor": ["float64", [10**30, 0], 0]},
        {"tensor": ["object", [0], 0]},
        {"tensor": ["float64", [True], 0]},
        {"tensor": "x"},
        {"tensor": ["float64", [0], 0, 0]},
        {"object": ["os:system", {}]},
        {"function": [0, "x"]},
        {"dict": [[{"list": []}, 1]]},
        {"dict": 3},
        {"list": None},
        {"list": [], "tuple": []},
        {},
        [],
        {"kept": ["x", "", ""]},
    ],
)
def test_a_value_that_breaks_the_rules_is_refused(node):
    with pytest.raises(MessageError):
        Unpacker(b"", nothing_else).unpack(node)


def test_a_message_that_breaks_the_rules_is_refused():
    for head, body in ((b"[" * 10_000, b""), (b"[]", b""), (b"\xff", b""), (b"", b"")):
        with pytest.raises(MessageError):
            read_message(io.BytesIO(struct.pack("<IQ", len(head), len(body)) + head + body))
    with pytest.raises(MessageError):
        read_message(io.BytesIO(struct.pack("<IQ", 2, BODY_MOST + 1)))
    assert read_message(io.BytesIO(b"short")) is None
    assert read_message(io.BytesIO(struct.pack("<IQ", 10, 0) + b"{")) is None
    for changed in (None, 3, [3], [[5, "", 1]], [[0, "nothing", 1]], [[-1, "", 1]], [[True, "", 1]], [[0, "", 1, 2]]):
        with pytest.raises(MessageError):
            _mirror(({},), changed, Unpacker(b"", nothing_else))
    for parameters in (3, [3], [["1x", 1, False]], [["x", 9, False]], [["x", 1, False], ["x", 1, False]]):
        with pytest.raises(MessageError):
            _signature(parameters)


def test_changes_of_arguments_are_mirrored():
    tensor, memory = torch.zeros(2), {"old": 1}
    _mirror((tensor, memory), [[0, "", {"tensor": ["float32", [1], 0]}], [1, "", {"dict": [["new", 2]]}]],
            Unpacker(struct.pack("<f", 7.0), nothing_else))  # fmt: skip
    assert tensor.tolist() == [7.0]
    assert memory == {"new": 2}


def test_the_source_is_looked_at_without_being_run_and_however_it_is_nested():
    assert imports_package(b"import mnist_ddm.core as c")
    assert not imports_package(b"from mnist_ddm.exercises.catalogue.contest import Moment")
    assert not imports_package(b"x = " + b"(" * 100_000)
    assert not imports_package(b"x = " + b"-" * 100_000 + b"1")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"current": 1, "exercises": {"order": {"hints": "=1"}}}', '{"exercises": {"order": []}}', "\0",
     '{"current": "", "exercises": {"order": {"hints": -1}}}',
     '{"current": "", "exercises": {"order": {"best": "x"}}}'],
)  # fmt: skip
def test_a_students_own_notes_can_say_anything(text):
    assert read_progress(text.encode(), "order") is None


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("=1", "'=1"), ("+1", "'+1"), ("-1", "'-1"), ("@a", "'@a"), ("\t=1", "'\t=1"), ("  =1", "'  =1"),
        ("a\n=1", "a\n'=1"), ("a\r\n\t@x\nb", "a\r\n'\t@x\nb"), ("\uff1d1", "'\uff1d1"), ("a=1", "a=1"),
        ("ada", "ada"), ("'=1", "'=1"), ("\udcff", "\\udcff"), (-1.5, -1.5), (3, 3), ("", ""),
    ],
)  # fmt: skip
def test_a_spreadsheet_computes_nothing(text, safe):
    assert spreadsheet_cell(text) == safe
