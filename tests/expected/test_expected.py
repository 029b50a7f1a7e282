"""Trainings go as they went: the losses of each part of a tiny system, step for step."""

import math
from dataclasses import replace

import losses
import pytest
from losses import HERE, PARTS, rows, trained_losses

from mnist_ddm.models.presets import preset_named
from mnist_ddm.storage.door import read_text

TOLERANCE = 3e-5
"""Relative. Another processor sums in another order: with the instruction sets of older ones and with two threads the
losses of 20 steps differed by at most 1e-5, the rounding of their six digits."""


def apart(part, found):
    """The largest relative difference to the losses that are kept."""
    kept = rows(read_text(HERE / f"{part}.csv"))
    assert [list(row) for row in found] == [list(row) for row in kept]
    largest = 0.0
    for a, b in zip(found, kept, strict=True):
        assert {k for k in a if math.isnan(a[k])} == {k for k in b if math.isnan(b[k])}, "other times were drawn"
        largest = max(largest, *(abs(a[k] - b[k]) / abs(b[k]) for k in a if not math.isnan(a[k])))
    return largest


@pytest.mark.parametrize("part", PARTS)
def test_the_losses_are_those_that_are_kept(images, tmp_path, part):
    found = apart(part, rows(trained_losses(images, part, tmp_path / "out")))
    assert found <= TOLERANCE, "a training moved: `python tests/expected` keeps its losses, and the commit says why"


def test_a_small_change_of_a_training_is_noticed(images, tmp_path, monkeypatch):
    """Half of the weight decay, which moves weights by 5e-5 of themselves in a step at the most."""
    preset = preset_named("tiny")
    recipes = {part: replace(r, weight_decay=r.weight_decay / 2) for part, r in preset.recipes.items()}
    monkeypatch.setattr(losses, "preset_named", lambda name: replace(preset, recipes=recipes))
    assert apart("router", rows(trained_losses(images, "router", tmp_path / "out"))) > TOLERANCE
