"""What is trained for the small Paris, where, and how one part of it is fitted."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnist_ddm.compute.parallel import OnProgress
from mnist_ddm.data import Images
from mnist_ddm.errors import InputError, unknown
from mnist_ddm.models.presets import Recipe
from mnist_ddm.storage.files import digest, write_json, write_text
from mnist_ddm.training.data import Streams
from mnist_ddm.training.loop import Fit, Fitted, loss_log
from mnist_ddm.training.objectives import Data, Objective
from mnist_ddm.versions import changed
from paris_ddm.config import RootConfig
from paris_ddm.folder import (
    MONOLITH,
    ParisFolder,
)
from paris_ddm.mini import parts
from paris_ddm.mini.data import (
    COLOURS,
    DIGITS,
    ColouredDigits,
    held_out_set,
    training_set,
)

EXPERTS = 8
CLUSTERINGS = {"embedding": EXPERTS, "ink": len(COLOURS), "ground": len(COLOURS), "digit": len(DIGITS)}
"""What the clusters are, and how many: what the image embedding finds alike, or one for each value of an attribute."""
_FIRST_KIND = 60
"""Kinds below are those of the mnist system; streams of both never meet."""
_KEYS = ("autoencoder", "towers", "classifier", "expert", "router", "monolith")


@dataclass(frozen=True)
class MiniPlan:
    """What to train, and where.

    Attributes:
        images: MNIST, or a set like it with digits as labels.
        out: the folder of the model.
        preset: `mini` or `tiny`.
        seed: of everything random.
        command: for the card.
        clusters: what they are, of `CLUSTERINGS`.
        source: a finished model of the same preset, seed and data, whose parts that do not depend on the clusters are
            taken; ``None`` to train all.
        device: where parts are trained and images encoded; whatever it is, results lie on the CPU.
    """

    images: Images
    out: Path
    preset: str = "mini"
    seed: int = 0
    command: str = ""
    clusters: str = "embedding"
    source: Path | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.clusters not in CLUSTERINGS:
            raise unknown("kind of clusters", self.clusters, list(CLUSTERINGS))
        if self.images.classes > len(DIGITS):
            raise InputError(
                f"the small Paris writes digits: {self.images.name} has {self.images.classes} classes, not 10"
            )

    @property
    def work(self) -> Path:
        """What is needed until the model is finished."""
        return self.out / "work"

    @property
    def experts(self) -> int:
        """How many experts there are, one for each cluster."""
        return CLUSTERINGS[self.clusters]

    @property
    def folder(self) -> ParisFolder:
        """The folder, whose parts come one by one."""
        return ParisFolder(self.out, RootConfig(self.experts, parts.LATENT_SIDE, parts.LATENT_CHANNELS))

    @cached_property
    def training(self) -> ColouredDigits:
        """The training images."""
        return training_set(self.images, self.seed)

    @cached_property
    def held_out(self) -> ColouredDigits:
        """The held-out images."""
        return held_out_set(self.images, self.seed)

    def recipe(self, part: str) -> Recipe:
        """How a part is trained; the monolith as long as all experts together."""
        if part == MONOLITH:
            one = parts.recipe(self.preset, "expert")
            return replace(one, steps=one.steps * self.experts)
        return parts.recipe(self.preset, part)

    def describe(self) -> dict[str, Any]:
        """What makes two plans the same."""
        described: dict[str, Any] = {
            "preset": self.preset,
            "sizes": parts.preset_named(self.preset),
            "seed": self.seed,
            "data": self.images.digest,
        }
        if self.clusters != "embedding":
            described["clusters"] = self.clusters
        # Captions call a class by the word of its number here; what the files call it is told beside.
        return described | ({"labels": list(self.images.labels)} if self.images.labels else {})


def fit_part(
    plan: MiniPlan,
    name: str,
    kind: str,
    number: int,
    make: Callable[[], nn.Module],
    objective: Objective[Data],
    data: Data,
    report: OnProgress,
) -> Fitted:
    """Train one part; its resume state stays until the caller has written the result."""
    streams = Streams(plan.seed, _FIRST_KIND + _KEYS.index(kind), number)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(streams.torch_seed())
        model = make()
    fitted = Fit(
        name=name,
        streams=streams,
        identity=digest([name, plan.describe(), asdict(plan.recipe(kind)), len(data)]),
        objective=objective,
        recipe=plan.recipe(kind),
        data=data,
        state_file=plan.work / f"{name}.safetensors",
        device=plan.device,
    )(model, report)
    write_text(plan.out / "losses" / f"{name}.csv", loss_log(fitted.rows))
    said = {"seconds": round(fitted.seconds, 1), "rows": len(data)}
    begun_otherwise = {"versions": changed(fitted.versions)} if changed(fitted.versions) else {}
    write_json(plan.work / f"{name}.json", said | begun_otherwise)
    fitted.model.cpu().eval().requires_grad_(False)
    return fitted


def forget_state(plan: MiniPlan, name: str) -> None:
    """Delete the resume state of a part whose result is written."""
    (plan.work / f"{name}.safetensors").unlink(missing_ok=True)
