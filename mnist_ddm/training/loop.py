"""Fitting one model by one objective, resumable at any moment, whatever is trained."""

import contextlib
import csv
import io
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, final

import lightning
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from torch import Tensor, nn

from mnist_ddm.compute.parallel import OnProgress
from mnist_ddm.compute.precision import computing_in
from mnist_ddm.errors import InputError
from mnist_ddm.models.presets import Recipe
from mnist_ddm.training.data import StepBatches, StepDataModule, Streams
from mnist_ddm.training.module import TrainingModule, learning_rate
from mnist_ddm.training.objectives import Data, Objective
from mnist_ddm.training.state import LogRow, load_state, save_state
from mnist_ddm.versions import History, continued, versions

LOG_EVERY = 50
"""Steps between two rows of the loss log; the resume state is saved with a row."""
SAVE_SECONDS = 5.0
"""The least time between two saved states: a small network's steps are shorter than the writing of its state."""
TIME_BINS = 10
DIVERGED = 10.0
"""A mean loss this many times the first one ends the training."""


@dataclass(frozen=True)
class Fitted:
    """A finished fit.

    Attributes:
        model: with the averaged weights.
        rows: of the loss log: mean loss, and mean loss by time, of every so many steps.
        seconds: spent, over all attempts.
        versions: of the software, over all attempts.
    """

    model: nn.Module
    rows: list[LogRow]
    seconds: float
    versions: History


@dataclass(frozen=True)
class Fit(Generic[Data]):
    """What is fitted, to what, and how; a pure function of what it holds.

    Attributes:
        name: of the model, for messages.
        streams: what everything random of this training is derived from.
        identity: a digest of everything that decides the result.
        objective: of the training.
        recipe: how it is trained.
        data: all that it may see.
        state_file: where the resume state is while the training runs; the caller deletes it when the result is safe.
        device: `cpu`, `cuda`, ...
        show: whether to draw Lightning's progress bar.
        after_step: called after each step.
    """

    name: str
    streams: Streams
    identity: str
    objective: Objective[Data]
    recipe: Recipe
    data: Data
    state_file: Path
    device: str = "cpu"
    show: bool = False
    after_step: Callable[[TrainingModule[Data]], None] = lambda module: None

    def __call__(self, model: nn.Module, report: OnProgress) -> Fitted:
        """Fit a fresh model, or go on where the state file left it.

        Raises:
            InputError: if the loss diverges, or the state file is of another training.
        """
        module, watch = TrainingModule(model, self.objective, self.recipe), _Watch(self, report)
        if self.state_file.exists():
            watch.rows, watch.spent, before = load_state(self.state_file, module, self.identity)
            watch.versions = continued(before)
        if module.done < self.recipe.steps:
            self._run(module, watch)
        return Fitted(module.averaged, watch.rows, watch.spent, watch.versions)

    def _run(self, module: TrainingModule[Data], watch: "_Watch[Data]") -> None:
        batches = StepBatches(
            self.data, self.objective, self.recipe, range(module.done, self.recipe.steps), self.streams
        )
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on loaders and loggers that does not apply to batches made here
            trainer = lightning.Trainer(
                max_steps=self.recipe.steps - module.done,
                **_accelerator(self.device),
                logger=False,
                enable_checkpointing=False,
                enable_model_summary=False,
                enable_progress_bar=self.show,
                callbacks=[watch, *([RichProgressBar()] if self.show else [])],
            )
            try:
                with _repeatable(torch.device(self.device)):
                    trainer.fit(module, StepDataModule(batches))
            except SystemExit as error:  # Lightning's answer to Ctrl-C
                raise KeyboardInterrupt from error


@contextlib.contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """Let a GPU train in float32 and by kernels that sum in a fixed order, so that a resumed training is the same."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        with computing_in("float32", device):
            yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before


def _accelerator(device: str) -> dict[str, Any]:
    """A device in Lightning's words, which has the kind and the number apart."""
    kind, _, number = device.partition(":")
    return {"accelerator": kind, "devices": 1 if kind != "cuda" else [int(number or 0)]}


@final
class _Watch(Callback, Generic[Data]):
    """Keeps the loss log and the resume state, reports progress, and stops a training that diverges."""

    def __init__(self, fit: Fit[Data], report: OnProgress) -> None:
        self.fit = fit
        self.report = report
        self.rows: list[LogRow] = []
        self.spent = 0.0
        self.versions = versions()
        self._since = time.monotonic()
        self._saved = -math.inf
        self._losses: list[Tensor] = []
        self._times: list[Tensor] = []
        self._checked = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._since = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        pl_module.finish_step()
        steps, done = self.fit.recipe.steps, pl_module.done
        self._losses.append(outputs["losses"])
        self._times.append(outputs["t"])
        logged = done % LOG_EVERY == 0 or done == steps
        # To look at a loss is to wait for the device, which could begin the next step meanwhile.
        if logged or pl_module.device.type == "cpu":
            self._check(done)
        self.fit.after_step(pl_module)
        if logged:
            self._add_row(done)
            now = time.monotonic()
            if now - self._saved >= SAVE_SECONDS or done == steps:
                self.spent, self._since, self._saved = self.spent + now - self._since, now, now
                save_state(self.fit.state_file, pl_module, self.fit.identity, self.rows, self.spent, self.versions)
        self.report(done / steps)

    def _check(self, done: int) -> None:
        """Refuse a loss that is not finite, of the steps since the last look."""
        unseen = self._losses[self._checked :]
        for step, mean in enumerate(torch.stack([losses.mean() for losses in unseen]).tolist(), done - len(unseen) + 1):
            if not math.isfinite(mean):
                raise InputError(f"the loss of {self.fit.name} became {mean} at step {step}; lower its learning rate")
        self._checked = len(self._losses)

    def _add_row(self, done: int) -> None:
        losses, times = torch.cat(self._losses).cpu(), torch.cat(self._times).cpu()
        self._losses, self._times, self._checked = [], [], 0
        bins = (times * TIME_BINS).long().clamp(max=TIME_BINS - 1)
        row = {"step": done, "learning_rate": learning_rate(self.fit.recipe, done - 1), "loss": float(losses.mean())}
        for i in range(TIME_BINS):
            row[f"loss_t{i / TIME_BINS:.1f}"] = float(losses[bins == i].mean())
        self.rows.append(row)
        if row["loss"] > DIVERGED * self.rows[0]["loss"]:
            raise InputError(
                f"the loss of {self.fit.name} diverged from {self.rows[0]['loss']:.3g} to {row['loss']:.3g} at step "
                f"{done}; lower its learning rate"
            )


def loss_log(rows: list[LogRow]) -> str:
    """The rows of a loss log as CSV."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: v if k == "step" else f"{v:.6g}" for k, v in row.items()})
    return buffer.getvalue()
