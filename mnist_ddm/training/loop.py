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
SAVE_SHARE = 0.05
"""The share of the time that goes into saved states at most, where writing one takes long."""
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
        after_step: called after each step whose number ``every`` divides.
        every: see ``after_step``.
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
    every: int = 1

    def __call__(self, model: nn.Module, report: OnProgress) -> Fitted:
        """Fit a fresh model, or go on where the state file left it.

        Raises:
            InputError: if the loss diverges, or the state file is of another training.
        """
        module, keeper = TrainingModule(model, self.objective, self.recipe), Keeper(self, report)
        keeper.resume(module)
        if module.done < self.recipe.steps:
            self._run(module, keeper)
        return keeper.fitted(module)

    def next_look(self, done: int) -> int:
        """The first step after ``done`` at whose end a row is logged, something is called, or all is done."""
        return min(self.recipe.steps, *(done - done % every + every for every in (LOG_EVERY, self.every)))

    def _run(self, module: TrainingModule[Data], keeper: "Keeper[Data]") -> None:
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
                callbacks=[_Keeping(keeper), *([RichProgressBar()] if self.show else [])],
            )
            try:
                with repeatable(torch.device(self.device)):
                    trainer.fit(module, StepDataModule(batches))
            except SystemExit as error:  # Lightning's answer to Ctrl-C
                raise KeyboardInterrupt from error


@contextlib.contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
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
class Keeper(Generic[Data]):
    """Keeps the loss log and the resume state, reports progress, and stops a training that diverges."""

    def __init__(self, fit: Fit[Data], report: OnProgress, beside: int = 1) -> None:
        """Keep those of one fit, out of ``beside`` of its process, which share the time that goes into saved states."""
        self._fit = fit
        self._report = report
        self._beside = beside
        self._rows: list[LogRow] = []
        self._spent = 0.0
        self._versions = versions()
        self._since = time.monotonic()
        self._next_save = -math.inf
        self._losses: list[Tensor] = []
        self._times: list[Tensor] = []
        self._checked = 0

    def resume(self, module: TrainingModule[Data]) -> None:
        """Put a fresh training back to where its state file left it, if there is one.

        Raises:
            InputError: if the state file is damaged or of another training.
        """
        if self._fit.state_file.exists():
            self._rows, self._spent, before = load_state(self._fit.state_file, module, self._fit.identity)
            self._versions = continued(before)

    def look(self, module: TrainingModule[Data], losses: Tensor, times: Tensor) -> None:
        """Look at what the last ``n`` steps of a training gave: losses and times, shapes ``(n, B)``.

        Raises:
            InputError: if the loss diverges.
        """
        steps, done = self._fit.recipe.steps, module.done
        self._losses.append(losses)
        self._times.append(times)
        logged = done % LOG_EVERY == 0 or done == steps
        # To look at a loss is to wait for the device, which could begin the next step meanwhile.
        if logged or losses.device.type == "cpu":
            self._check(done)
        if done % self._fit.every == 0:
            self._fit.after_step(module)
        if logged:
            self._add_row(done)
            if time.monotonic() >= self._next_save or done == steps:
                self.save(module)
        self._report(done / steps)

    def save(self, module: TrainingModule[Data]) -> bool:
        """Save the state, which can be done where a row of the log ends; whether it was."""
        if not self._rows or self._rows[-1]["step"] != module.done:
            return False
        now = time.monotonic()
        self._spent, self._since = self._spent + now - self._since, now
        save_state(self._fit.state_file, module, self._fit.identity, self._rows, self._spent, self._versions)
        took = time.monotonic() - now
        self._next_save = now + max(SAVE_SECONDS, took * self._beside / SAVE_SHARE)
        return True

    def fitted(self, module: TrainingModule[Data]) -> Fitted:
        """The result, when all steps are done."""
        return Fitted(module.averaged, self._rows, self._spent, self._versions)

    def _check(self, done: int) -> None:
        """Refuse a loss that is not finite, of the steps since the last look."""
        means = torch.cat(self._losses[self._checked :]).mean(dim=1).tolist()
        for step, mean in enumerate(means, done - len(means) + 1):
            if not math.isfinite(mean):
                raise InputError(f"the loss of {self._fit.name} became {mean} at step {step}; lower its learning rate")
        self._checked = len(self._losses)

    def _add_row(self, done: int) -> None:
        losses, times = (torch.cat(seen).flatten().cpu() for seen in (self._losses, self._times))
        self._losses, self._times, self._checked = [], [], 0
        bins = (times * TIME_BINS).long().clamp(max=TIME_BINS - 1)
        row = {"step": done, "learning_rate": learning_rate(self._fit.recipe, done - 1), "loss": float(losses.mean())}
        for i in range(TIME_BINS):
            row[f"loss_t{i / TIME_BINS:.1f}"] = float(losses[bins == i].mean())
        self._rows.append(row)
        if row["loss"] > DIVERGED * self._rows[0]["loss"]:
            raise InputError(
                f"the loss of {self._fit.name} diverged from {self._rows[0]['loss']:.3g} to {row['loss']:.3g} at step "
                f"{done}; lower its learning rate"
            )


@final
class _Keeping(Callback):
    """Lets Lightning's trainer tell a `Keeper` of each step."""

    def __init__(self, keeper: Keeper[Any]) -> None:
        self._keeper = keeper

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        pl_module.finish_step()
        self._keeper.look(pl_module, outputs["losses"][None], outputs["t"][None])


def loss_log(rows: list[LogRow]) -> str:
    """The rows of a loss log as CSV."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: v if k == "step" else f"{v:.6g}" for k, v in row.items()})
    return buffer.getvalue()
