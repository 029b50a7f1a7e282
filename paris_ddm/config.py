"""What the configuration files of a Paris folder say, and what they leave open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from mnist_ddm.errors import InputError, unknown
from mnist_ddm.storage.files import read_json

Time = Literal["999t", "round", "1000t"]
Activation = Literal["gelu-tanh", "gelu", "silu"]
Order = Literal["hwc", "chw"]
NullText = Literal["empty", "zeros"]
_EPSILONS = frozenset(("norm_eps", "head_norm_eps"))


@dataclass(frozen=True)
class Details:
    """What public sources do not settle; the defaults are those of the best known port.

    Attributes:
        norm_eps: of every LayerNorm without weights of its own, 1e-6 or 1e-5.
        head_norm_eps: of the one with weights, in the router's head: 1e-6, or torch's default, 1e-5.
        time: what the time embedding gets: 999 t, its rounded value, or 1000 t.
        head_activation: in the router's head.
        patch_order: of the numbers inside an output patch: height, width, channel or channel, height, width.
        null_text: what an unconditional pass sees: the empty string's embedding or zeros.

    Raises:
        InputError: if a value is none of those.
    """

    norm_eps: float = 1e-6
    head_norm_eps: float = 1e-6
    time: Time = "999t"
    head_activation: Activation = "gelu-tanh"
    patch_order: Order = "hwc"
    null_text: NullText = "empty"

    def __post_init__(self) -> None:
        for name in _EPSILONS:
            if getattr(self, name) not in (1e-6, 1e-5):
                raise InputError(f"{name} must be 1e-6 or 1e-5, not {getattr(self, name)}")
        for name, kind in (
            ("time", Time),
            ("head_activation", Activation),
            ("patch_order", Order),
            ("null_text", NullText),
        ):
            if getattr(self, name) not in get_args(kind):
                raise InputError(f"{name} must be one of {', '.join(get_args(kind))}, not {getattr(self, name)!r}")

    @property
    def identity(self) -> dict[str, object]:
        """What decides numbers; a detail that came later only where it differs, so that older recordings keep names."""
        later = {"head_norm_eps"} if self.head_norm_eps == Details.head_norm_eps else set()
        return {name: value for name, value in vars(self).items() if name not in later}


def parse_details(stated: Sequence[str]) -> Details:
    """Details from settings such as `time=1000t` and `norm_eps=1e-5`.

    Raises:
        InputError: if there is no such detail, or it has no such value.
    """
    values: dict[str, Any] = {}
    known = [field.name for field in fields(Details)]
    for text in stated:
        name, equals, value = text.partition("=")
        if name not in known or not equals:
            raise unknown("detail", text, [f"{name}=..." for name in known])
        values[name] = value
    for name in _EPSILONS & values.keys():
        try:
            values[name] = float(values[name])
        except ValueError:
            raise InputError(f"{name} must be 1e-6 or 1e-5, not {values[name]!r}") from None
    return Details(**values)


@dataclass(frozen=True)
class RootConfig:
    """`config.json` of the whole model.

    Attributes:
        num_experts: K.
        image_size: side of the square latent.
        num_channels: of the latent.
    """

    num_experts: int
    image_size: int
    num_channels: int


@dataclass(frozen=True)
class DiTExpertConfig:
    """`config.json` of one expert."""

    hidden_size: int
    num_layers: int
    num_heads: int
    patch_size: int
    in_channels: int
    out_channels: int
    mlp_ratio: float
    text_embed_dim: int


@dataclass(frozen=True)
class DiTRouterConfig:
    """`config.json` of the router; an MLP ratio that it does not state is 4."""

    num_clusters: int
    hidden_size: int
    num_layers: int
    num_heads: int
    patch_size: int
    in_channels: int
    mlp_ratio: float = 4.0


_FLAGS: Mapping[type, Mapping[str, object]] = {
    RootConfig: {"use_latents": True, "expert_architecture": "dit", "router_architecture": "dit"},
    DiTExpertConfig: {
        "use_text_conditioning": True,
        "use_class_conditioning": False,
        "use_dit_time_embed": True,
        "use_adaln_single": True,
    },
    DiTRouterConfig: {"use_dit_time_embed": True},
}
"""Settings that the networks here are written for; another value is another architecture."""

Config = TypeVar("Config", RootConfig, DiTExpertConfig, DiTRouterConfig)


def read_config(path: Path, kind: type[Config]) -> Config:
    """Read a configuration file strictly; keys that decide nothing here are ignored.

    Raises:
        InputError: if the file is missing, a number is missing or no positive number, sizes do not divide, or the
            file describes another architecture.
    """
    stated = read_json(path)
    for key, expected in _FLAGS[kind].items():
        if stated.get(key, expected) != expected:
            raise InputError(f"{path} has {key} = {stated[key]!r}, but only {expected!r} is supported")
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name in stated:
            values[field.name] = _positive(path, field.name, stated[field.name], whole=field.name != "mlp_ratio")
        elif field.name != "mlp_ratio" or kind is DiTExpertConfig:
            raise InputError(f"{path} does not say {field.name}")
    _refuse_huge(path, values)
    if "num_heads" in values and values["hidden_size"] % values["num_heads"]:
        raise InputError(f"{path}: {values['num_heads']} heads do not divide hidden_size {values['hidden_size']}")
    return kind(**values)


_MOST: Mapping[str, int] = {
    "num_experts": 1024, "num_clusters": 1024, "image_size": 1024, "num_channels": 1024, "hidden_size": 1 << 15,
    "num_layers": 1024, "num_heads": 1024, "patch_size": 256, "in_channels": 1024, "out_channels": 1024,
    "mlp_ratio": 64, "text_embed_dim": 1 << 15,
}  # fmt: skip
"""Far above any model of this architecture; a larger number would only fill the memory before something else fails."""


def _refuse_huge(path: Path, values: Mapping[str, int | float]) -> None:
    for name, value in values.items():
        if value > _MOST[name]:
            raise InputError(f"{path} has {name} = {value!r}, but at most {_MOST[name]} is possible")


def _positive(path: Path, name: str, value: object, *, whole: bool) -> int | float:
    number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    if not number or (whole and not isinstance(value, int)):
        raise InputError(f"{path} has {name} = {value!r}; it must be a positive {'integer' if whole else 'number'}")
    assert isinstance(value, int | float)
    return value
