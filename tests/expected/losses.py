"""The losses of a tiny training step for step, made by the jobs that make every checkpoint.

What they guard is all that decides a training and is seen nowhere else: batches, noise, times, initial weights,
networks, objectives, the optimiser and its schedule. A loss that moves is a training that moves.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch

from mnist_ddm.data import Images
from mnist_ddm.models.presets import Preset, preset_named
from mnist_ddm.storage.door import read_text
from mnist_ddm.training import loop
from mnist_ddm.training.plan import TrainingPlan, training_jobs

HERE = Path(__file__).parent
STEPS = 20
EXPERTS = 10
SEEN = 6000
"""Images of the training set, so that a test takes no longer than it must."""
PARTS = ("expert-3", "expert-3-plain", "router", "monolith", "classifier")
"""`expert-3-plain` has no linear start, the others are parts of one system."""


def trained_losses(images: Images, part: str, out: Path) -> str:
    """Train a part of a tiny system with seed 0 in a folder; its loss log with a row for each step, as CSV."""
    name = part.removesuffix("-plain")
    preset = preset_named("tiny").started(linear=part == name)
    steps = STEPS // EXPERTS if name == "monolith" else STEPS  # a monolith gets the steps of all experts
    # The schedule is that of a whole training: in one of so few steps the rate would be down at once.
    some = replace(images, train_images=images.train_images[:SEEN], train_labels=images.train_labels[:SEEN])
    plan = TrainingPlan(some, _scheduled(preset), out, steps=steps)
    torch.set_num_threads(1)
    with patch.object(loop, "LOG_EVERY", 1):
        for job in training_jobs(plan, [name]):
            job(lambda fraction: None)
    return read_text(out / "losses" / f"{name}.csv")


def _scheduled(preset: Preset) -> Preset:
    """The preset with a warmup of half of the steps, so that both parts of the schedule are walked through."""
    return replace(preset, recipes={part: replace(r, warmup=0.5) for part, r in preset.recipes.items()})


def rows(text: str) -> list[Mapping[str, float]]:
    """The rows of a loss log."""
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(io.StringIO(text))]
