"""A student's file in a process of its own, the folder that remembers, the command line, and grading."""

import os
import shutil
import threading
from pathlib import Path

import click
import pytest

from mnist_ddm import InputError
from mnist_ddm.exercises.crashes import explain
from mnist_ddm.exercises.leaderboard import Entry, enter, read
from mnist_ddm.exercises.registry import exercise_named, exercise_names, sheet_of
from mnist_ddm.exercises.worker import load_function
from mnist_ddm.exercises.workspace import STATE, Workspace

SOLUTIONS = Path(__file__).parents[1] / "teacher" / "solutions"
HEAD = "def order(step_sizes, errors):\n"


def _file(tmp_path, text, name="order"):
    file = tmp_path / f"{name}.py"
    file.write_text(text)
    return file


@pytest.fixture
def run(run_exercises):
    return run_exercises


# What went wrong, in words


@pytest.mark.parametrize(
    ("text", "result", "says"),
    [
        ("def order(:\n", "error", "order.py, line 1"),
        ("    x = 1\n", "error", "unexpected indent"),
        ("import no_such_module\n", "error", "ModuleNotFoundError"),
        ("import sys\nsys.exit()\n", "error", "order.py, line 2: sys.exit()"),
        ("", "wrong", "has no function order"),
        ("def ordre(h, e):\n    return 1.0\n", "wrong", "expected: def order(...)\n  came:     def ordre\n  look"),
        ("order = 3\n", "wrong", "has no function order"),
        (HEAD + "    return 1 / 0\n", "error", "order.py, line 2: return 1 / 0"),
        (HEAD + "    raise KeyError('k')\n", "error", "KeyError"),
        (HEAD + "    return 'two'\n", "wrong", "'two' (str)"),
        (HEAD + "    return undefined\n", "error", "NameError"),
        ("\x00", "error", "Python cannot read the file"),
    ],
)
def test_errors_are_told_with_their_place(quick, tmp_path, text, result, says):
    file = _file(tmp_path, text)
    try:
        exercise_named("order").examine(load_function(file, "order"))
    except BaseException as error:
        found = explain(error, file)
    assert found[0] == result, found
    assert says in found[1]


@pytest.mark.parametrize("command", ["start", "hint"])
def test_a_story_is_told_between_words_at_the_width_of_the_terminal(run, monkeypatch, command):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((60, 24)))
    for name in exercise_names():
        code, out = run(command, name)
        assert code == 0
        long = [line for line in click.unstyle(out).splitlines() if len(line) > 60 and len(line.split()) > 1]
        assert [line for line in long if "/" not in line] == []  # a path has no end between words


# The folder


def test_start_never_overwrites_and_reset_keeps_the_work(tmp_path):
    space = Workspace(tmp_path)
    assert space.start("flow")
    (tmp_path / "flow.py").write_text("# mine\n")
    assert not Workspace(tmp_path).start("flow")
    assert (tmp_path / "flow.py").read_text() == "# mine\n"
    first = Workspace(tmp_path).reset("flow")
    assert first.read_text() == "# mine\n"
    assert (tmp_path / "flow.py").read_text() == sheet_of("flow").stub
    assert Workspace(tmp_path).reset("flow") is None
    (tmp_path / "flow.py").write_text("# again\n")
    second = Workspace(tmp_path).reset("flow")
    assert (first.read_text(), second.read_text()) == ("# mine\n", "# again\n")


def test_hints_come_one_at_a_time_and_are_remembered(tmp_path):
    for expected in (1, 2, 3, 3):
        _, shown, _ = Workspace(tmp_path).hint("flow")
        assert shown == expected
    assert Workspace(tmp_path).progress("flow").hints == 3


def test_hints_do_not_change_the_exercise_that_one_is_at_and_are_free_once_it_is_passed(run, quick, tmp_path):
    Workspace(tmp_path).start("order")
    code, _ = run("hint", "flow")
    assert code == 0
    assert Workspace(tmp_path).current == "order"
    shutil.copy(SOLUTIONS / "order.py", tmp_path / "order.py")
    run("check")
    code, out = run("hint")
    assert "hint 3 of 3" in out
    assert "do not count" in out
    assert Workspace(tmp_path).progress("order").hints == 0
    code, out = run("reset", "order")
    assert "order was passed on" in out
    assert "not passed" in out
    code, out = run("hint", "order")
    assert "hint 2 of 3" not in out


def test_a_typing_error_in_a_name_is_answered_with_the_name_that_is_like_it(run):
    code, out = run("check", "floww")
    assert code == 2
    assert "did you mean 'flow'?" in out
    assert "checking" not in out


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"current": "", "exercises": {"flow": {"colour": 1}}}', '{"current": ""}']
)
def test_a_damaged_memory_is_said_and_not_overwritten(tmp_path, text):
    (tmp_path / STATE).write_text(text)
    with pytest.raises(InputError, match=r"exercises\.json"):
        Workspace(tmp_path)
    assert (tmp_path / STATE).read_text() == text


# The command line


def test_a_students_first_hour(run, quick, tmp_path):
    code, out = run("list")
    assert code == 0
    assert all(name in out for name in exercise_names())
    assert list(tmp_path.iterdir()) == []
    code, out = run("start")
    assert code == 0
    assert "flow.py" in out
    assert "mnist-ddm exercises check flow" in out
    code, out = run("check")
    assert code == 1
    assert "raise NotImplementedError" in out
    code, out = run("hint")
    assert code == 0
    assert "hint 1 of 3" in out
    assert "hint 2" not in out
    shutil.copy(SOLUTIONS / "flow.py", tmp_path / "flow.py")
    for name in ("./flow.py", "FLOW", "flow.py"):
        code, out = run("check", name)
        assert code == 0
        assert "flow: passed" in out
    assert "start euler" in out
    code, out = run("progress")
    assert f"1 of {len(exercise_names())} passed" in out
    assert "4 checks, 1 hint" in out
    code, out = run("start", "flow")
    assert "left as it is" in out
    code, out = run("reset", "flow")
    assert "flow.old-1.py" in out


def test_what_cannot_be_used_is_one_line_and_exit_code_2(run, tmp_path):
    for arguments in (
        ("check",),
        ("hint",),
        ("check", "nothing"),
        ("start", "nothing"),
        ("reset", "nothing"),
        ("check", "flow"),
        ("check", "flow", "--time-limit", "0"),
        ("check", "other/flow.py"),
        ("check", "flow.old"),
        ("sampler", "--folder", "nowhere"),
        ("grade", "nowhere"),
        ("grade", tmp_path),
    ):
        code, out = run(*arguments)
        assert code == 2, arguments
        assert "Traceback" not in out
    assert not (tmp_path / STATE).exists()


def test_the_leaderboard_keeps_the_best_of_each_name(tmp_path):
    path = tmp_path / "leaderboard.csv"
    enter(path, Entry("ada", 0.5, 2.0, "0.5", "a"))
    enter(path, Entry("bob", 0.4, 1.0, "0.4", "b"))
    entries, better = enter(path, Entry("ada", 0.6, 2.0, "0.6", "c"))
    assert not better
    assert (
        [(e.name, e.value) for e in entries] == [("bob", 0.4), ("ada", 0.5)] == [(e.name, e.value) for e in read(path)]
    )
    path.write_text("something,else\n")
    with pytest.raises(InputError, match="not a leaderboard"):
        enter(path, Entry("ada", 0.1, 2.0, "0.1", "d"))
    assert path.read_text() == "something,else\n"


def test_the_open_exercise_is_scored_on_a_leaderboard(run, quick, tmp_path):
    shutil.copy(SOLUTIONS / "contest.py", tmp_path / "contest.py")
    code, out = run("check", "contest", "--name", "ada", "--leaderboard", "board.csv")
    assert code == 0, out
    (entry,) = read(tmp_path / "board.csv")
    assert entry.name == "ada"
    assert entry.cost == 1
    assert len(entry.rounds.split()) == 4


def test_a_watched_file_is_checked_again_when_it_is_saved(run, quick, tmp_path, monkeypatch):
    from mnist_ddm.cli import exercises as command

    def saved(file):
        shutil.copy(SOLUTIONS / "flow.py", file)

    assert run("start", "flow")[0] == 0
    monkeypatch.setattr(command, "_wait_for_change", saved)
    code, out = run("check", "flow", "--watch")
    assert code == 0, out
    assert out.index("not yet") < out.index("waiting for") < out.index("flow: passed")


def test_a_change_of_a_file_is_noticed(tmp_path):
    from mnist_ddm.cli.exercises import _wait_for_change

    file = tmp_path / "flow.py"
    file.write_text("a")
    threading.Timer(0.1, lambda: file.write_text("ab")).start()
    _wait_for_change(file)
    assert file.read_text() == "ab"
