"""The bookkeeping of the benchmark, which needs no GPU."""

import json
import sys

import benchmark
import pytest
import torch
from benchmark import EXPERT_STEPS, EXPERTS

from mnist_ddm.training import loop, together


@pytest.mark.parametrize(("cap", "finished"), [(100, True), (0.01, False)])
def test_a_command_is_ended_at_its_cap_and_says_so(cap, finished):
    (row,) = benchmark.whole(["--version"], cap)
    assert row["finished"] is finished
    assert row["s"] < 100


def test_what_fails_or_has_no_time_left_is_named_and_the_rest_goes_on(monkeypatch, capsys):
    def fail():
        raise RuntimeError("as asked")

    def sections(device, quick, left):
        assert 0 < left() <= 60
        yield "one", "works", lambda: [{"ms": 1}]
        yield "two", "fails", fail
        yield "one", "works too", lambda: [{"ms": 2}]

    monkeypatch.setattr(benchmark, "sections", sections)
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--device", "cpu", "--seconds", "60"])
    benchmark.main()
    table = json.loads(capsys.readouterr().out)
    assert table["one"] == [{"ms": 1}, {"ms": 2}]
    assert table["not measured"] == ["two: fails (RuntimeError: as asked)"]


def test_each_part_has_its_turn_and_the_whole_command_gets_what_is_left():
    names = [what for _, what, _ in benchmark.sections(torch.device("cpu"), False, lambda: 1.0)]
    assert names[:4] == ["processes", "float32", "paper", "a step"]
    assert names[-1] == "reproduce, full"
    there = [what for _, what, _ in benchmark.sections(torch.device("cuda"), False, lambda: 1.0)]
    assert there[-2:] == ["compiled, tf32", "reproduce, full"]


def test_forwards_and_what_ten_experts_take_have_their_figures(monkeypatch):
    monkeypatch.setattr(benchmark, "PRESETS", ("tiny",))
    monkeypatch.setattr(benchmark, "REPEATS", 2)
    (forward,) = benchmark.forwards(torch.device("cpu"), "float32", (16,))
    assert forward["launches"] == "eager"
    assert forward["ms"] > 0
    (training,) = benchmark.training(torch.device("cpu"), 6)
    assert training["minutes of ten experts"] == pytest.approx(training["ms"] * EXPERTS * EXPERT_STEPS / 6e4, rel=0.05)


def test_an_expert_alone_and_experts_at_once_have_their_figures(monkeypatch):
    for module in (benchmark, loop, together):
        monkeypatch.setattr(module, "LOG_EVERY", 2)
    alone, beside = benchmark.at_once(torch.device("cpu"), "tiny", 2)
    assert (alone["at once"], beside["at once"]) == (1, 2)
    for row in (alone, beside):
        assert row["ms a model-step"] > 0
        taken = row["ms a model-step"] * EXPERTS * EXPERT_STEPS / 6e4
        assert row["minutes of ten experts"] == pytest.approx(taken, rel=0.05)
