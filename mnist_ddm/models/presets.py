"""Presets: the sizes of the networks and how each is trained, as data in `presets.toml`."""

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from mnist_ddm.errors import unknown

if TYPE_CHECKING:
    from torch import nn

    from mnist_ddm.models.classifier import ClassifierConfig
    from mnist_ddm.models.router import RouterConfig
    from mnist_ddm.models.unet import UNetConfig

PARTS = ("expert", "router", "monolith", "classifier")
"""The kinds of model that a system is made of."""


@dataclass(frozen=True)
class Recipe:
    """How one kind of model is trained: AdamW, one-cycle learning rate, averaged weights.

    Attributes:
        steps: optimiser steps; the monolith's are for each expert, so that both get the same total budget.
        batch: images in a step.
        learning_rate: at its peak.
        weight_decay: of AdamW.
        warmup: share of the steps in which the rate rises; after that it falls to 0 along a cosine.
        averaging: the averaged weights forget over this share of the steps.
        time_mean: training times are logit-normal with this mean; above 0 they lie nearer to noise.
        time_spread: and this standard deviation.
    """

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    warmup: float
    averaging: float
    time_mean: float = 0.0
    time_spread: float = 1.0


@dataclass(frozen=True)
class Size:
    """How large a network for ten experts and classes is.

    Attributes:
        parameters: that are trained.
        flops: floating-point operations of one evaluation of one sample; a multiply and an add are two.
    """

    parameters: int
    flops: int


@dataclass(frozen=True)
class Preset:
    """A size of the MNIST system.

    Attributes:
        name: of the preset.
        purpose: what it is for.
        unet: shape of an expert and of the monolith.
        router: shape of the router.
        classifier: shape of the classifier.
        recipes: for each of `PARTS`.
        sizes: of expert, router and classifier.
    """

    name: str
    purpose: str
    unet: "UNetConfig"
    router: "RouterConfig"
    classifier: "ClassifierConfig"
    recipes: dict[str, Recipe]
    sizes: dict[str, Size]

    def build(self, part: str, n_experts: int, classes: int) -> "nn.Module":
        """A fresh network of one of `PARTS`, in channels-last layout.

        Its weights are drawn from torch's global random state unless built on the meta device; callers fork it.
        """
        import torch

        from mnist_ddm.models.classifier import DigitClassifier
        from mnist_ddm.models.router import Router
        from mnist_ddm.models.unet import UNet

        if part in ("expert", "monolith"):
            model: nn.Module = UNet(self.unet)
        elif part == "router":
            model = Router(self.router, n_experts)
        else:
            model = DigitClassifier(self.classifier, classes)
        return model.to(memory_format=torch.channels_last)

    def started(self, *, linear: bool) -> "Preset":
        """The same sizes for UNets with a linear start or without one."""
        return replace(self, unet=replace(self.unet, linear=linear))

    def size(self, part: str) -> str:
        """Parameters and floating-point operations of one of `PARTS` for ten experts and classes, to be read."""
        size = self.sizes["expert" if part == "monolith" else part]
        return f"{size.parameters / 1e6:.2f} M parameters, {size.flops / 1e6:.0f} MFLOP"


def preset_names() -> list[str]:
    """The presets that exist."""
    return list(_table())


def preset_named(name: str) -> Preset:
    """The preset of that name.

    Raises:
        InputError: if there is none; the message lists those that exist.
    """
    if name not in _table():
        raise unknown("preset", name, preset_names())
    from mnist_ddm.models.classifier import ClassifierConfig
    from mnist_ddm.models.router import RouterConfig
    from mnist_ddm.models.unet import UNetConfig

    entry = _table()[name]
    return Preset(
        name=name,
        purpose=entry["purpose"],
        unet=UNetConfig(**_frozen(entry["unet"])),
        router=RouterConfig(**_frozen(entry["router"])),
        classifier=ClassifierConfig(**_frozen(entry["classifier"])),
        recipes={part: Recipe(**entry["recipe"][part]) for part in PARTS},
        sizes={part: Size(**size) for part, size in entry["size"].items()},
    )


def _frozen(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}


@cache
def _table() -> dict[str, Any]:
    table = tomllib.loads(files("mnist_ddm.models").joinpath("presets.toml").read_text(encoding="utf-8"))
    return {name: _over(table[entry["like"]], entry) if "like" in entry else entry for name, entry in table.items()}


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """A table with what another one says of it said instead."""
    both = {key: _over(below[key], value) for key, value in above.items() if isinstance(value, dict)}
    return {**below, **above, **both}
