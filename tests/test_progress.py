"""What a command says while it records, where there is no terminal: a line for what is made, none for what is there."""

import io

from rich.console import Console

from mnist_ddm.core.visits import Sampling
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.plan import Plan
from mnist_ddm.terminal.recordings import record_with_progress


def _said(plan):
    console = Console(file=io.StringIO(), width=200)
    record_with_progress(console, plan, 1)
    return console.file.getvalue().splitlines()


def test_what_was_recorded_before_gets_no_line(gaussian, tmp_path):
    store = RecordingStore(tmp_path)
    first, second = (Sampling(routing, n=2, seed=0, steps=2) for routing in ("top1", "top2"))
    assert _said(Plan(gaussian, {first: ()}, store))[1:] == ["100%  1 of 1 done"]
    said = _said(Plan(gaussian, {first: (), second: ()}, store))
    assert said[0].startswith("making 1 of 2 recordings")
    assert len(said) == 2
    (told,) = _said(Plan(gaussian, {first: (), second: ()}, store))
    assert told.startswith("all 2 recordings")
