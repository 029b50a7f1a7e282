"""A student's own sampler: with right answers it is the package's, and an answer that is not right is no part of it."""

import json
import sys
from pathlib import Path

import pytest
import torch

from mnist_ddm import InputError, cli
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Sampling
from mnist_ddm.exercises import assembly, milestones
from mnist_ddm.exercises.assembly import ASIDE, MISSING, REACHED, assemble
from mnist_ddm.exercises.limits import Limits
from mnist_ddm.exercises.registry import PARTS
from mnist_ddm.exercises.sampler import Sampler
from mnist_ddm.exercises.worker import load_function
from mnist_ddm.exercises.workspace import Workspace
from mnist_ddm.storage.files import sha256
from mnist_ddm.systems.gaussian import load

SOLUTIONS = Path(__file__).parents[1] / "teacher" / "solutions"
INEXACT = ("bayes", "ensemble", "dispatch", "angle", "disagreement")
"""Answers that round in another order than the package, or do not leave out an expert whose weight rounds away."""
ROUNDING = 16 * torch.finfo(torch.float32).eps
"""The largest difference of those, of the largest number."""

IDENTITY = "def euler(velocity, x, times):\n    velocity(x, 1.0)\n    return x\n"
ONLY_IN_THE_CHECK = """import torch
def heun(velocity, x, times):
    for t, n in zip(times, times[1:]):
        h, first = n - t, velocity(x, t)
        guess = x + h * first
        x = guess if n == 0 or x.dtype == torch.float32 else x + h / 2 * (first + velocity(guess, n))
    return x
"""


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(milestones, "STEPS", 5)


def _answers(*names):
    return {name: load_function(SOLUTIONS / f"{name}.py", name) for name in names}


def test_each_part_has_a_milestone_in_the_order_of_the_exercises():
    assert tuple(m.exercise for m in milestones.MILESTONES) == PARTS


@pytest.mark.parametrize("milestone", milestones.MILESTONES, ids=lambda m: m.exercise)
@torch.no_grad()
def test_right_answers_make_what_the_package_makes(milestone):
    """Each alone, all others the package's: those that do the same operations have its bits."""
    pool = load()
    made, expected = milestone.own(Sampler(pool, _answers(milestone.exercise))), milestone.package(pool)
    if milestone.exercise in INEXACT:
        difference = float((made.double() - expected.double()).abs().max() / expected.abs().max())
        assert difference <= ROUNDING
    else:
        assert torch.equal(made, expected)


@torch.no_grad()
def test_all_that_are_exact_together_have_the_bits_of_a_recording():
    pool = load()
    own = Sampler(pool, _answers("heun", "topk")).walk("top2", "heun", 12, 7).end
    assert torch.equal(own, sample(pool, Sampling("top2", 12, 0, "heun", 7)).final)


@torch.no_grad()
def test_every_part_is_asked():
    """A part that nobody asks would have the package's bits whatever it says."""
    pool = load()
    for milestone in milestones.MILESTONES:
        with pytest.raises(ZeroDivisionError):
            milestone.own(Sampler(pool, {milestone.exercise: lambda *given: 1 / 0}))


@pytest.mark.long
def test_a_wrong_part_is_named_and_not_used(tmp_path, monkeypatch):
    """One that fails its check, and one that once passed it and is wrong here, with a right one behind them."""
    chosen = [m for m in milestones.MILESTONES if m.exercise in ("euler", "heun", "topk", "gumbel")]
    monkeypatch.setattr(assembly, "MILESTONES", tuple(chosen))
    (tmp_path / "euler.py").write_text(IDENTITY)
    (tmp_path / "heun.py").write_text(ONLY_IN_THE_CHECK)
    (tmp_path / "topk.py").write_text((SOLUTIONS / "topk.py").read_text())
    passed = {n: {"passed": "2026-01-01", "sha256": sha256(tmp_path / f"{n}.py")} for n in ("heun", "topk")}
    remembered = json.dumps({"schema": 1, "current": "topk", "exercises": passed})
    (tmp_path / "exercises.json").write_text(remembered)
    euler, heun, topk, gumbel = assemble(Workspace(tmp_path), load(), Limits(clock=60))
    assert (euler.state, heun.state, topk.state, gumbel.state) == (ASIDE, ASIDE, REACHED, MISSING)
    assert "its check says: x at the last time came out wrong" in euler.said
    assert "it passes its check, but" in heun.said
    assert topk.said == "the package's, bit for bit"  # with the package's Heun, not with the one above
    assert (tmp_path / "exercises.json").read_text() == remembered  # which counts no check


def test_a_system_whose_experts_read_captions_is_refused(monkeypatch):
    pool = load()
    asked = pool.condition

    def captioned(seeds):
        return type(asked(seeds))(asked(seeds).cluster, ("a red seven",) * len(seeds))

    monkeypatch.setattr(pool, "condition", captioned)
    with pytest.raises(InputError, match="read captions"):
        next(assemble(Workspace(Path()), pool, Limits()))


def test_the_command_says_what_comes_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mnist-ddm", "exercises", "sampler"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    told = capsys.readouterr().out
    assert end.value.code == 0
    assert told.endswith("0 of 11 parts of your sampler are yours. Next part: mnist-ddm exercises start flow\n")
    assert list(tmp_path.iterdir()) == []


def test_the_picture_has_a_row_for_each_milestone_with_samples(tmp_path):
    from PIL import Image

    drawn, measured = milestones.MILESTONES[1], milestones.MILESTONES[-1]
    states = torch.zeros(8, *load().state_shape)
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    reached = assembly.Outcome(drawn, REACHED, "", states)
    assert assembly.draw(load(), [reached, assembly.Outcome(measured, REACHED, "", states[:, 0, 0, 0])], one)
    assert assembly.draw(load(), [reached, reached], two)
    assert Image.open(two).height - Image.open(one).height == 63  # an enlarged image of 8 x 8 and its frame
    assert not assembly.draw(load(), [assembly.Outcome(drawn, MISSING, "")], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


@pytest.mark.long
def test_a_file_in_which_nothing_is_written_yet_is_missing_and_no_fault(tmp_path, monkeypatch, capsys):
    for command in ("start", "sampler"):
        monkeypatch.setattr(sys, "argv", ["mnist-ddm", "exercises", command, "--folder", str(tmp_path)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 0
    told = capsys.readouterr().out
    assert "no answer yet: the package's own" in told
    assert "set aside" not in told
    assert "Next part: mnist-ddm exercises check flow" in told
