"""What a command says: while it records, a line for what is made, none for what is there; lines end between words."""

import io
import re
from contextlib import contextmanager

import pytest
from rich.console import Console

from mnist_ddm.cli import _COMMANDS
from mnist_ddm.core.visits import Sampling
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.plan import Plan
from mnist_ddm.terminal.progress import counted, progress_bars
from mnist_ddm.terminal.recordings import record_with_progress
from mnist_ddm.terminal.words import at_words


def _said(plan, tables=None):
    console = Console(file=io.StringIO(), width=200)
    record_with_progress(console, plan, 1, tables=tables)
    return console.file.getvalue().splitlines()


def test_what_was_recorded_before_gets_no_line(gaussian, tmp_path):
    store = RecordingStore(tmp_path)
    first, second = (Sampling(routing, n=2, seed=0, steps=2) for routing in ("top1", "top2"))
    assert _said(Plan(gaussian, {first: ()}, store))[1:] == ["100% of the work, 1 of 1 done"]
    said = _said(Plan(gaussian, {first: (), second: ()}, store))
    assert said[0].startswith("making 1 of 2 recordings")
    assert len(said) == 2
    (told,) = _said(Plan(gaussian, {first: (), second: ()}, store))
    assert told.startswith("all 2 recordings")


def test_tables_are_not_made_in_silence_where_there_is_no_terminal():
    console = Console(file=io.StringIO(), width=200)
    with counted(console, "tables", ["quality", "stability"]) as done:
        for count in range(3):
            done(count)
    assert console.file.getvalue() == "tables 1 of 2: quality\n"  # the second began within half a minute


def test_the_expected_time_says_of_what_it_is(gaussian, tmp_path):
    store = RecordingStore(tmp_path)
    first, second = (Plan(gaussian, {Sampling("top1", n=2, seed=seed, steps=2): ()}, store) for seed in (0, 1))
    assert _said(first)[0].endswith("with 1 worker, besides the start and what is made of them")
    assert _said(second, 16)[0].endswith("with 1 worker, besides the start; then 16 s of tables")
    assert _said(second, 16)[0].endswith("; then 16 s of tables")  # when they are there


def _lines(width, shares):
    """The last lines that bars leave on a terminal after ten steps of two seconds, to these shares of ten jobs."""
    now = [0.0]
    screen = {"width": width, "force_terminal": True, "color_system": None, "get_time": lambda: now[0]}
    console = Console(file=io.StringIO(), **screen)
    with progress_bars([f"a name of many words, and the number {i}" for i in range(10)], console) as update:
        for step in range(10):
            now[0] += 2
            for job, share in enumerate(shares):
                update(job, share * (step + 1) / 10)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue()).replace("\r", "\n").split("\n")


@pytest.mark.parametrize("width", [40, 60, 80])
def test_bars_say_what_is_left_at_any_width(width):
    lines = [line.rstrip() for line in _lines(width, [0.5] * 10) if line.startswith("a name")][-10:]
    assert all(re.fullmatch(r"a name.*  50% \d+ s left", line) for line in lines)
    assert max(map(len, lines)) <= width
    assert ("0:00:18" in lines[-1]) == (width >= 60)


def test_nothing_is_left_at_the_end():
    last = [line for line in _lines(80, [1.0] * 10) if line.startswith("all")][-1]
    assert last.split()[-2:] == ["0:00:20", "100%"]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("sample", ["--out", "a.jpg"]),
        ("explore", ["--out", "a.jpg"]),
        ("train", ["--preset", "none"]),
        ("train-experts", ["--preset", "none"]),
        ("measure", ["nowhere"]),
        ("analyze", ["--analysis", "none"]),
        ("reproduce", ["--scale", "none"]),
    ],
)
def test_what_is_imported_first_is_waited_for_in_words(call_command, monkeypatch, command, arguments):
    told = []

    @contextmanager
    def waiting(console, what):
        told.append(what)
        yield

    monkeypatch.setattr(f"{_COMMANDS[command].target.split(':')[0]}.waiting", waiting)
    code, _, err = call_command(command, *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert told[0] == "starting"


def test_long_lines_end_between_words_and_go_on_below_their_text():
    told = at_words("v came out wrong\n  expected: -3.72605 at [1, 0, 1, 1]\n" + "x" * 40, 32)
    assert told.splitlines() == [
        "v came out wrong",
        "  expected: -3.72605 at [1, 0,",
        "            1, 1]",
        "x" * 40,
    ]
    assert at_words("a " * 100) == "a " * 100  # no terminal here


def test_a_paragraph_is_joined_before_it_ends_between_words_and_a_formula_stays():
    text = "What is left of a\nstory, wrapped where\nit was written:\n\n    x_t = a b\n\nThe\nend."
    told = at_words(text, 40, paragraphs=True)
    assert told == "What is left of a story, wrapped where\nit was written:\n\n    x_t = a b\n\nThe end."
    assert max(map(len, at_words("ab " * 200, 400, paragraphs=True).splitlines())) < 120
