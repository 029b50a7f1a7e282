"""What a command says: while it records, a line for what is made, none for what is there; lines end between words."""

import io

from rich.console import Console

from mnist_ddm.core.visits import Sampling
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.plan import Plan
from mnist_ddm.terminal.progress import counted
from mnist_ddm.terminal.recordings import record_with_progress
from mnist_ddm.terminal.words import at_words


def _said(plan):
    console = Console(file=io.StringIO(), width=200)
    record_with_progress(console, plan, 1)
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
    plan = Plan(gaussian, {Sampling("top1", n=2, seed=0, steps=2): ()}, RecordingStore(tmp_path))
    assert "besides the start and what is made of them" in _said(plan)[0]


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
