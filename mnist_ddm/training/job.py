"""Training of one model from the data it may see, resumable at any moment."""

import contextlib
import hashlib
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from mnist_ddm.compute.parallel import OnProgress
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
from mnist_ddm.storage.files import digest, write_tensors, write_text
from mnist_ddm.training.data import Streams
from mnist_ddm.training.loop import Fit, Fitted, loss_log
from mnist_ddm.training.module import TrainingModule
from mnist_ddm.training.objectives import OBJECTIVES, TrainingData


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
    def streams(self) -> Streams:
        """What the randomness of this training is derived from."""
        number = int(self.part.split("-")[1]) if "-" in self.part else 0
        return Streams(self.system.seed, PARTS.index(part_kind(self.part)), number)

    @property
    def state_file(self) -> Path:
        """Where the resume state is while the training runs."""
        return self.out / "state" / f"{self.part}.safetensors"

    def __call__(self, report: OnProgress) -> PartCard | None:
        """Train, or go on training; does nothing if the part is finished already.

        Raises:
            InputError: if the loss diverges, or the folder holds another training's state.
        """
        if is_finished(self.out, self.part):
            report(1.0)
            return None
        fit, model = self.prepared()
        return self.finish(fit(model, report))

    def prepared(self) -> tuple[Fit[TrainingData], nn.Module]:
        """What is fitted and how, and the fresh model."""
        kind = part_kind(self.part)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.streams.torch_seed())
            model = self.preset.build(kind, self.system.n_experts, self.system.classes)
        if isinstance(model, UNet):
            model.fit_linear(to_state(self.data.images))
        fit = Fit(
            name=self.part,
            streams=self.streams,
            identity=self.identity,
            objective=OBJECTIVES[kind],
            recipe=self.recipe,
            data=self.data,
            state_file=self.state_file,
            device=self.device,
            show=self.show,
            after_step=self._keep,
            every=self.keep_every or self.recipe.steps,
        )
        return fit, model

    @cached_property
    def identity(self) -> str:
        """A digest of everything that decides the result."""
        seen = hashlib.sha256(self.data.images.numpy().tobytes() + self.data.targets.numpy().tobytes()).hexdigest()
        return digest([self.part, system_digest(self.system), asdict(self.recipe), seen, self.keep_every])

    def _keep(self, module: TrainingModule[TrainingData]) -> None:
        """Keep the averaged weights of this step, unless it is the last one, whose are the result."""
        if module.done < self.recipe.steps:
            path = kept_file(self.out, self.part, module.done)
            write_tensors(path, module.averaged.state_dict(), {"done": module.done})

    def finish(self, fitted: Fitted) -> PartCard:
        """Write what was fitted, and its card; the resume state is needed no longer."""
        write_text(self.out / "losses" / f"{self.part}.csv", loss_log(fitted.rows))
        card = PartCard(
            part=self.part,
            system=system_digest(self.system),
            sha256="",
            recipe=asdict(self.recipe),
            figures={
                "images": len(self.data.images),
                "seconds": round(fitted.seconds, 1),
                "first_loss": fitted.rows[0]["loss"],
                "last_loss": fitted.rows[-1]["loss"],
            },
            versions=fitted.versions,
            command=self.command,
        )
        save_part(self.out, fitted.model, card)
        self.state_file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others are still training
            self.state_file.parent.rmdir()
        return card
