"""Training of one model from the data it may see, resumable at any moment."""

import contextlib
import csv
import hashlib
import io
import logging
import math
import time
import warnings
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import lightning
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from torch import Tensor

from mnist_ddm.core.errors import InputError
from mnist_ddm.core.files import digest, write_tensors, write_text
from mnist_ddm.core.parallel import Report
from mnist_ddm.data import to_state
from mnist_ddm.models.checkpoint import (
    PartCard,
    SystemCard,
    is_finished,
    kept_file,
    part_kind,
    save_part,
    system_digest,
)
from mnist_ddm.models.presets import PARTS, Preset, Recipe
from mnist_ddm.models.unet import UNet
from mnist_ddm.training.batches import Key, StepBatches, StepDataModule, torch_generator
from mnist_ddm.training.module import TrainingModule, learning_rate
from mnist_ddm.training.objectives import OBJECTIVES, TrainingData
from mnist_ddm.training.state import load_state, save_state
from mnist_ddm.versions import versions

SAVE_EVERY = 50
"""Steps between two rows of the loss log, and between two saved states."""
TIME_BINS = 10
DIVERGED = 10.0
"""A mean loss this many times the first one ends the training."""


@dataclass(frozen=True)
class TrainingJob:
    """The training of one model; a pure function of what it holds.

    Attributes:
        part: name of the model, such as `expert-3`.
        system: the system that it belongs to.
        preset: sizes.
        recipe: how it is trained.
        data: all that it may see.
        out: the checkpoint folder.
        device: `cpu`, `cuda`, ...
        keep_every: also keep the averaged weights after every so many steps; 0 for never.
        show: whether to draw Lightning's progress bar.
        command: for the card.
    """

    part: str
    system: SystemCard
    preset: Preset
    recipe: Recipe
    data: TrainingData
    out: Path
    device: str = "cpu"
    keep_every: int = 0
    show: bool = False
    command: str = ""

    @property
    def key(self) -> Key:
        """What the randomness of this training is derived from."""
        number = int(self.part.split("-")[1]) if "-" in self.part else 0
        return (self.system.seed, PARTS.index(part_kind(self.part)), number)

    @property
    def state_file(self) -> Path:
        """Where the resume state is while the training runs."""
        return self.out / "state" / f"{self.part}.safetensors"

    def __call__(self, report: Report) -> PartCard | None:
        """Train, or go on training; does nothing if the part is finished already.

        Raises:
            InputError: if the loss diverges, or the folder holds another training's state.
        """
        if is_finished(self.out, self.part):
            report(1.0)
            return None
        kind = part_kind(self.part)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch_generator(*self.key, 2).initial_seed()))
            model = self.preset.build(kind, self.system.n_experts, self.system.classes)
        if isinstance(model, UNet):
            model.fit_linear(to_state(self.data.images))
        module = TrainingModule(model, OBJECTIVES[kind], self.recipe)
        watch = _Watch(self, report)
        if self.state_file.exists():
            watch.rows, watch.spent = load_state(self.state_file, module, self.identity)
        if module.done < self.recipe.steps:
            self._fit(module, watch)
        return self._finish(module, watch)

    @cached_property
    def identity(self) -> str:
        """A digest of everything that decides the result."""
        seen = hashlib.sha256(self.data.images.numpy().tobytes() + self.data.targets.numpy().tobytes()).hexdigest()
        return digest([self.part, system_digest(self.system), asdict(self.recipe), seen, self.keep_every])

    def _fit(self, module: TrainingModule, watch: "_Watch") -> None:
        batches = StepBatches(self.data, module.objective, self.recipe, range(module.done, self.recipe.steps), self.key)
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on loaders and loggers that does not apply to batches made here
            trainer = lightning.Trainer(
                max_steps=self.recipe.steps - module.done,
                accelerator=self.device.split(":")[0],
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_model_summary=False,
                enable_progress_bar=self.show,
                callbacks=[watch, *([RichProgressBar()] if self.show else [])],
            )
            try:
                trainer.fit(module, StepDataModule(batches))
            except SystemExit as error:  # Lightning's answer to Ctrl-C
                raise KeyboardInterrupt from error

    def _finish(self, module: TrainingModule, watch: "_Watch") -> PartCard:
        write_text(self.out / "losses" / f"{self.part}.csv", _csv(watch.rows))
        card = PartCard(
            part=self.part,
            system=system_digest(self.system),
            sha256="",
            recipe=asdict(self.recipe),
            figures={
                "images": len(self.data.images),
                "seconds": round(watch.spent, 1),
                "first_loss": watch.rows[0]["loss"],
                "last_loss": watch.rows[-1]["loss"],
            },
            versions=versions(),
            command=self.command,
        )
        save_part(self.out, module.averaged, card)
        self.state_file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others are still training
            self.state_file.parent.rmdir()
        return card


@final
class _Watch(Callback):
    """Keeps the loss log and the resume state, reports progress, and stops a training that diverges."""

    def __init__(self, job: TrainingJob, report: Report) -> None:
        self.job = job
        self.report = report
        self.rows: list[dict[str, float]] = []
        self.spent = 0.0
        self._since = time.monotonic()
        self._losses: list[Tensor] = []
        self._times: list[Tensor] = []

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._since = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        pl_module.finish_step()
        steps, done = self.job.recipe.steps, pl_module.done
        mean = float(outputs["losses"].mean())
        if not math.isfinite(mean):
            raise InputError(f"the loss of {self.job.part} became {mean} at step {done}; lower its learning rate")
        self._losses.append(outputs["losses"].cpu())
        self._times.append(outputs["t"].cpu())
        keep_every = self.job.keep_every
        if keep_every and done % keep_every == 0 and done < steps:
            path = kept_file(self.job.out, self.job.part, done)
            write_tensors(path, pl_module.averaged.state_dict(), {"done": done})
        if done % SAVE_EVERY == 0 or done == steps:
            self._add_row(done)
            now = time.monotonic()
            self.spent, self._since = self.spent + now - self._since, now
            save_state(self.job.state_file, pl_module, self.job.identity, self.rows, self.spent)
        self.report(done / steps)

    def _add_row(self, done: int) -> None:
        losses, times = torch.cat(self._losses), torch.cat(self._times)
        self._losses, self._times = [], []
        bins = (times * TIME_BINS).long().clamp(max=TIME_BINS - 1)
        row = {"step": done, "learning_rate": learning_rate(self.job.recipe, done - 1), "loss": float(losses.mean())}
        for i in range(TIME_BINS):
            row[f"loss_t{i / TIME_BINS:.1f}"] = float(losses[bins == i].mean())
        self.rows.append(row)
        if row["loss"] > DIVERGED * self.rows[0]["loss"]:
            raise InputError(
                f"the loss of {self.job.part} diverged from {self.rows[0]['loss']:.3g} to {row['loss']:.3g} at step "
                f"{done}; lower its learning rate"
            )


def _csv(rows: list[dict[str, float]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: v if k == "step" else f"{v:.6g}" for k, v in row.items()})
    return buffer.getvalue()
