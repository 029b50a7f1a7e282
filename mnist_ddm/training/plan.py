"""Training of many models: which jobs there are, and running them in parallel."""

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from mnist_ddm.compute.launches import CudaGraphs
from mnist_ddm.compute.parallel import OnProgress
from mnist_ddm.core.noise import MAX_SEED
from mnist_ddm.data import Images
from mnist_ddm.data.partition import divide
from mnist_ddm.errors import InputError
from mnist_ddm.models.checkpoint import (
    SystemCard,
    is_finished,
    open_system,
    part_kind,
    part_names,
    read_part_card,
    share_part,
)
from mnist_ddm.models.presets import Preset, Recipe
from mnist_ddm.training.job import TrainingJob
from mnist_ddm.training.objectives import TrainingData
from mnist_ddm.training.together import fit_together

SHARED = ("monolith", "classifier")
"""The parts whose training does not depend on the partition."""


@dataclass(frozen=True)
class TrainingPlan:
    """What to train.

    Attributes:
        images: the data set.
        preset: sizes and recipes.
        partition: how the data are divided among the experts.
        n_experts: K; ``None`` for one for each class.
        seed: of everything random.
        out: the checkpoint folder.
        steps: optimiser steps of each expert instead of the preset's; the monolith gets K times as many.
        device: `cpu`, `cuda`, ...
        keep_every: also keep the averaged weights after every so many steps; 0 for never.
        command: for the cards.
    """

    images: Images
    preset: Preset
    out: Path
    partition: str = "digit"
    n_experts: int | None = None
    seed: int = 0
    steps: int | None = None
    device: str = "cpu"
    keep_every: int = 0
    command: str = ""

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise InputError(f"the number of steps must be at least 1, not {self.steps}")
        most = len(self.images.train_labels)
        if self.n_experts is not None and not 1 <= self.n_experts <= most:
            raise InputError(f"the number of experts must be between 1 and {most}, not {self.n_experts}")
        if self.keep_every < 0:
            raise InputError(f"--keep-every must be at least 0, not {self.keep_every}")
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"the seed must be between 0 and {MAX_SEED}, not {self.seed}")

    @property
    def system(self) -> SystemCard:
        """The card that all parts share."""
        return SystemCard(
            preset=self.preset.name,
            partition=self.partition,
            n_experts=self.images.classes if self.n_experts is None else self.n_experts,
            classes=self.images.classes,
            seed=self.seed,
            data=self.images.name,
            data_digest=self.images.digest,
            labels=self.images.labels,
            names=self.images.names,
            place=_seen_from(self.out, self.images.folder),
            linear=self.preset.unet.linear,
        )


def _seen_from(out: Path, data: Path | None) -> str:
    """Where data are, as seen from a folder: both may move together."""
    if data is None:
        return ""
    with contextlib.suppress(ValueError):  # another drive
        return Path(os.path.relpath(data.resolve(), out.resolve())).as_posix()
    return str(data.resolve())


def training_jobs(plan: TrainingPlan, parts: Iterable[str]) -> list[TrainingJob]:
    """The unfinished jobs of a plan for the given parts; makes the checkpoint folder.

    Each expert's job holds its own images and nothing else of the data.

    Raises:
        InputError: if a part does not exist, or the folder holds another run, or parts that were trained otherwise.
    """
    system, known = plan.system, part_names(plan.system.n_experts)
    wanted = list(dict.fromkeys(parts))
    for part in wanted:
        if part not in known:
            raise InputError(f"there is no part {part!r}; there are: {', '.join(known)}")
    assignment = divide(plan.images, plan.partition, system.n_experts, plan.seed)
    open_system(plan.out, system)
    _check_finished(plan, wanted)
    return [_job(plan, part, assignment) for part in wanted if not is_finished(plan.out, part)]


def _check_finished(plan: TrainingPlan, wanted: list[str]) -> None:
    """Refuse to go on with parts that were trained by another recipe: with other steps, say.

    Experts are compared with each other even if only some are asked for: they make one system.
    """
    experts = [f"expert-{k}" for k in range(plan.system.n_experts)]
    together = experts if set(experts) & set(wanted) else []
    for part in dict.fromkeys([*wanted, *together]):
        if not is_finished(plan.out, part):
            continue
        mine, other = asdict(_recipe(plan, part_kind(part))), read_part_card(plan.out, part).recipe
        if mine != other:
            differs = ", ".join(
                f"{k}: {other.get(k)!r} there, {v!r} asked" for k, v in mine.items() if other.get(k) != v
            )
            raise InputError(
                f"the {part} in {plan.out} was trained otherwise ({differs}); choose another --out, or delete "
                f"{part}.json there to train it again"
            )


def share_parts(plan: TrainingPlan, source: Path, parts: Iterable[str]) -> None:
    """Take those of the parts that do not depend on the partition from another checkpoint, bit for bit.

    Raises:
        InputError: if the other system differs in more than the partition, or was trained for another number of steps.
    """
    open_system(plan.out, plan.system)
    for part in parts:
        if part in SHARED and not is_finished(plan.out, part):
            steps = _recipe(plan, part).steps
            if read_part_card(source, part).recipe["steps"] != steps:
                raise InputError(f"the {part} of {source} was not trained for {steps} steps; train it instead")
            share_part(source, part, plan.out, plan.system)


def _recipe(plan: TrainingPlan, kind: str) -> Recipe:
    recipe = plan.preset.recipes[kind]
    # The monolith gets the same total budget as all experts together (Table 3's first row).
    factor = plan.system.n_experts if kind == "monolith" else 1
    return replace(recipe, steps=(recipe.steps if plan.steps is None else plan.steps) * factor)


def _job(plan: TrainingPlan, part: str, assignment: Tensor) -> TrainingJob:
    kind, images = part_kind(part), plan.images
    if kind == "expert":
        rows = (assignment == int(part.split("-")[1])).nonzero()[:, 0]
        data = TrainingData(images.train_images[rows], torch.zeros(len(rows), dtype=torch.int64))
    elif kind == "router":
        data = TrainingData(images.train_images, assignment)
    else:
        data = TrainingData(images.train_images, images.train_labels)
    return TrainingJob(
        part=part,
        system=plan.system,
        preset=plan.preset,
        recipe=_recipe(plan, kind),
        data=data,
        out=plan.out,
        device=plan.device,
        keep_every=plan.keep_every,
        command=plan.command,
    )


@final
@dataclass(frozen=True)
class Together:
    """Trainings that share one device, as one job.

    Attributes:
        jobs: of one device.
    """

    jobs: tuple[TrainingJob, ...]

    def __call__(self, report: OnProgress) -> None:
        """Train all; the fraction that is reported is that of all their steps."""
        steps, done = [job.recipe.steps for job in self.jobs], [0.0] * len(self.jobs)

        def on_progress(number: int, fraction: float) -> None:
            done[number] = fraction
            report(sum(s * d for s, d in zip(steps, done, strict=True)) / sum(steps))

        self.train(on_progress)

    def train(self, on_progress: Callable[[int, float], None]) -> None:
        """Train, or go on training, what is not finished; ``on_progress`` takes a job's number and its fraction.

        Raises:
            InputError: if a loss diverges, or the folder holds another training's state.
        """
        wanted = []
        for number, job in enumerate(self.jobs):
            if is_finished(job.out, job.part):
                on_progress(number, 1.0)
            else:
                wanted.append((job, *job.prepared(), partial(on_progress, number)))
        on_gpu = any(torch.device(job.device).type == "cuda" for job in self.jobs)
        fit_together(
            [(fit, model, report) for _, fit, model, report in wanted],
            lambda number, fitted: wanted[number][0].finish(fitted),
            CudaGraphs if on_gpu else None,
        )


def divided(jobs: Sequence[TrainingJob], count: int) -> list[Together]:
    """The jobs in at most so many groups of about the same work; the longest jobs first."""
    groups: list[list[TrainingJob]] = [[] for _ in range(min(count, len(jobs)))]
    for job in jobs:
        min(groups, key=lambda group: sum(other.recipe.steps * other.recipe.batch for other in group)).append(job)
    return [Together(tuple(group)) for group in groups]
