"""The networks of the small Paris before they are trained, and how they are written in the release's format."""

import contextlib
import math
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_ddm.errors import unknown
from mnist_ddm.models.presets import Recipe
from mnist_ddm.storage.files import umask, write_json, write_tensors
from paris_ddm.attributes import AttributeClassifier
from paris_ddm.config import DiTExpertConfig, DiTRouterConfig
from paris_ddm.dit import ExpertDiT, ExpertLayer, RouterDiT, RouterLayer
from paris_ddm.folder import CONFIG
from paris_ddm.mini.data import SIDE, attributes
from paris_ddm.mini.tokenizer import END, START

LATENT_CHANNELS, LATENT_SIDE = 4, 8
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
"""Of the image encoder's pixels."""


@cache
def presets() -> Mapping[str, Any]:
    """Sizes and recipes by name, `mini` and `tiny`."""
    return tomllib.loads(files("paris_ddm.mini").joinpath("recipes.toml").read_text(encoding="utf-8"))


def preset_named(name: str) -> Mapping[str, Any]:
    """One of `presets`.

    Raises:
        InputError: if there is none of that name.
    """
    if name not in presets():
        raise unknown("preset", name, list(presets()))
    chosen: Mapping[str, Any] = presets()[name]
    return chosen


def recipe(preset: str, part: str) -> Recipe:
    """How a kind of part is trained."""
    return Recipe(**preset_named(preset)[part]["recipe"])


def autoencoder(preset: str) -> Any:
    """A fresh AutoencoderKL of four latent channels and a quarter of the side."""
    from diffusers import AutoencoderKL

    channels = preset_named(preset)["autoencoder"]["channels"]
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=tuple(channels),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        sample_size=SIDE,
    )


@final
class Towers(nn.Module):
    """An image tower and a text tower with one space in common; what is kept are the towers alone."""

    def __init__(self, preset: str, tokens: Mapping[str, int]) -> None:
        """Build for a vocabulary."""
        from transformers import CLIPTextConfig, CLIPTextModel, Dinov2Config, Dinov2Model

        super().__init__()
        sizes = preset_named(preset)["towers"]
        special = {"bos_token_id": tokens[START], "eos_token_id": tokens[END], "pad_token_id": tokens[END]}
        text = CLIPTextConfig(vocab_size=len(tokens), **sizes["text"], **special)
        self.image = Dinov2Model(Dinov2Config(image_size=SIDE, **sizes["image"]))
        self.text = CLIPTextModel(text)
        common = sizes["image"]["hidden_size"]
        self.image_head = nn.Linear(common, common, bias=False)
        self.text_head = nn.Linear(sizes["text"]["hidden_size"], common, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Similarities of images ``(B, 3, 32, 32)`` in ``[0, 1]`` and tokens ``(B, L)``, shape ``(B, B)``."""
        pixels = (images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
        seen = self.image_head(self.image(pixels).last_hidden_state[:, 0])
        read = self.text_head(self.text(tokens).pooler_output)
        similarity = functional.normalize(seen, dim=1) @ functional.normalize(read, dim=1).T
        return self.log_scale.clamp(max=math.log(100.0)).exp() * similarity


def classifier(preset: str) -> AttributeClassifier:
    """A fresh classifier of digit, ink and ground."""
    return AttributeClassifier(tuple(preset_named(preset)["classifier"]["channels"]), attributes())


def expert_config(preset: str) -> DiTExpertConfig:
    """The configuration of an expert and of the monolith."""
    sizes = preset_named(preset)
    text = sizes["towers"]["text"]["hidden_size"]
    return DiTExpertConfig(
        in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS, text_embed_dim=text, **sizes["expert"]["config"]
    )


def expert(preset: str) -> ExpertDiT:
    """A fresh expert: its layers begin as the identity, its velocity as 0."""
    network = ExpertDiT(expert_config(preset), LATENT_SIDE)
    _gentle(network.t_block[1])
    for layer in network.layers:
        assert isinstance(layer, ExpertLayer)
        nn.init.zeros_(layer.cross_attn.out_proj.weight)
    nn.init.zeros_(network.final_layer.linear.weight)
    nn.init.zeros_(network.final_layer.linear.bias)
    return network


def router_config(preset: str, n_experts: int) -> DiTRouterConfig:
    """The configuration of the router."""
    sizes = preset_named(preset)["router"]["config"]
    return DiTRouterConfig(num_clusters=n_experts, in_channels=LATENT_CHANNELS, **sizes)


def router(preset: str, n_experts: int) -> RouterDiT:
    """A fresh router."""
    network = RouterDiT(router_config(preset, n_experts), LATENT_SIDE)
    nn.init.normal_(network.cls_token, std=0.02)
    for layer in network.layers:
        assert isinstance(layer, RouterLayer)
        _gentle(layer.adaLN_modulation[1])
    return network


def _gentle(linear: Any) -> None:
    """Modulations near 0, so that training starts smoothly."""
    nn.init.normal_(linear.weight, std=0.02)
    nn.init.zeros_(linear.bias)


def write_expert(folder: Path, weights: str, network: ExpertDiT, number: int | None) -> None:
    """Write an expert in the release's format, in bfloat16; the weights last."""
    flags = {
        "use_text_conditioning": True,
        "use_class_conditioning": False,
        "use_dit_time_embed": True,
        "use_adaln_single": True,
        "cfg_dropout_prob": 0.1,
    }
    identity = {} if number is None else {"expert_id": number}
    write_json(folder / CONFIG, {**asdict(network.config), **flags, **identity})
    write_tensors(folder / weights, _half(network))


def write_router(folder: Path, weights: str, network: RouterDiT) -> None:
    """Write the router in the release's format, in bfloat16; the weights last."""
    write_json(folder / CONFIG, {**asdict(network.config), "use_dit_time_embed": True})
    write_tensors(folder / weights, _half(network))


def _half(network: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().bfloat16() for name, parameter in network.named_parameters()}


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``folder`` when the block ends without an exception."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield temporary
        if folder.exists():
            shutil.rmtree(folder)
        temporary.chmod(0o777 & ~umask())
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
