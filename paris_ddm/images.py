"""Images to latents and back by the VAE, and to features by DINOv2."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, final

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mnist_ddm.compute.batches import evaluate_in_batches
from mnist_ddm.errors import InputError
from mnist_ddm.storage.pictures import read_picture
from mnist_ddm.storage.typed import read_as
from paris_ddm.folder import VAE, ParisFolder
from paris_ddm.text import load_pretrained

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, which DINOv2 was trained with."""
_PIXELS = 16 * 32 * 32
"""In one batch; batches always have the same number of images, as convolutions of other sizes may round otherwise."""


_Side = Annotated[int, msgspec.Meta(ge=1, le=4096)]
_Colour = Annotated[float, msgspec.Meta(ge=1e-3, le=1e3)]


@final
class _Crop(msgspec.Struct, frozen=True):
    height: _Side | None = None


@final
class _Preparation(msgspec.Struct, frozen=True):
    """`preprocessor_config.json` of DINOv2."""

    crop_size: _Side | _Crop | None = None
    image_mean: tuple[float, float, float] = _MEAN
    image_std: tuple[_Colour, _Colour, _Colour] = _STD


def _in_batches(function: Callable[..., Tensor], *columns: Tensor, pixels: int) -> Tensor:
    size = max(1, _PIXELS // pixels)
    return evaluate_in_batches(function, *columns, multiple=size, largest=size)


@final
class ImageCodec:
    """The VAE: latents are its posterior's mean, times `scaling_factor` (0.18215 for Stable Diffusion's)."""

    def __init__(self, folder: ParisFolder, device: torch.device) -> None:
        """Take the VAE of a folder; it is loaded when it is first needed."""
        self._folder = folder.path / VAE
        self._device = device

    @cached_property
    def _model(self) -> Any:
        from diffusers import AutoencoderKL

        model = load_pretrained(AutoencoderKL, self._folder, use_safetensors=True)
        return model.to(self._device).eval().requires_grad_(False)

    @property
    def shrinkage(self) -> int:
        """Pixels for each latent number along a side."""
        return int(2 ** (len(self._model.config.block_out_channels) - 1))

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)`` in ``[0, 1]``."""
        scale = self._model.config.scaling_factor

        def image(z: Tensor) -> Tensor:
            decoded: Tensor = self._model.decode(z / scale).sample
            return (decoded / 2 + 0.5).clamp(0, 1)

        return _in_batches(image, latents.float(), pixels=latents[0, 0].numel() * self.shrinkage**2)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Latents of images ``(B, 3, H, W)`` in ``[0, 1]``."""

        def latents(image: Tensor) -> Tensor:
            scaled: Tensor = self._model.encode(image * 2 - 1).latent_dist.mean * self._model.config.scaling_factor
            return scaled

        return _in_batches(latents, images.float(), pixels=images[0, 0].numel())


@final
class ImageEncoder:
    """DINOv2 as an embedding of images; sizes and colours are adapted to what the model was trained with."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        """Take the model of a folder; it is loaded when it is first needed."""
        self._folder = folder
        self._device = device

    @cached_property
    def _model(self) -> Any:
        from transformers import Dinov2Model

        model = load_pretrained(Dinov2Model, self._folder, use_safetensors=True)
        return model.to(self._device).eval().requires_grad_(False)

    @cached_property
    def _preparation(self) -> tuple[int, Tensor, Tensor]:
        stated = self._folder / "preprocessor_config.json"
        what = "the preparation of DINOv2; restore it"
        config = read_as(stated, _Preparation, what) if stated.exists() else _Preparation()
        side = config.crop_size.height if isinstance(config.crop_size, _Crop) else config.crop_size
        own: int = self._model.config.image_size
        return own if side is None else side, torch.tensor(config.image_mean), torch.tensor(config.image_std)

    @property
    def dim(self) -> int:
        """Numbers in an embedding."""
        return int(self._model.config.hidden_size)

    def _tokens(self, images: Tensor) -> Tensor:
        side, mean, std = self._preparation
        rgb = images.float().expand(-1, 3, -1, -1)
        if rgb.shape[-2:] != (side, side):
            rgb = functional.interpolate(rgb, size=(side, side), mode="bicubic", antialias=True).clamp(0, 1)
        pixels = (rgb - mean.to(rgb)[:, None, None]) / std.to(rgb)[:, None, None]
        tokens: Tensor = self._model(pixels).last_hidden_state
        return tokens

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """The class token of images ``(B, 3, H, W)`` in ``[0, 1]``, shape ``(B, dim)``."""
        return _in_batches(
            lambda batch: self._tokens(batch)[:, 0], images.to(self._device), pixels=self._preparation[0] ** 2
        )

    @torch.no_grad()
    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """The mean squared distance of unit-normalised tokens, place by place, in ``[0, 4]``, shape ``(B,)``."""

        def distance(first: Tensor, second: Tensor) -> Tensor:
            units = [functional.normalize(self._tokens(batch), dim=2) for batch in (first, second)]
            return (units[0] - units[1]).square().sum(dim=2).mean(dim=1)

        return _in_batches(distance, a.to(self._device), b.to(self._device), pixels=self._preparation[0] ** 2)


def image_files(folder: Path) -> list[Path]:
    """The pictures below a folder, in order of their names.

    Raises:
        InputError: if there is no such folder or no picture in it.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise InputError(f"{folder} holds no picture ({', '.join(IMAGE_SUFFIXES)})")
    return files


def read_image(file: Path, side: int) -> Tensor:
    """A picture in ``[0, 1]``, its largest central square scaled to ``(3, side, side)``.

    Raises:
        InputError: if the file is no picture, or is too large.
    """
    from PIL import Image

    rgb = _eight_bits(read_picture(file)).convert("RGB")
    edge = min(rgb.size)
    left, top = (rgb.width - edge) // 2, (rgb.height - edge) // 2
    square = rgb.resize((side, side), Image.Resampling.LANCZOS, box=(left, top, left + edge, top + edge))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255


def _eight_bits(picture: Any) -> Any:
    """Grey of 16 bits as grey of 8; Pillow would cut off all that is brighter than 255."""
    from PIL import Image

    if not picture.mode.startswith("I"):
        return picture
    levels = np.asarray(picture).astype(np.float64) / 257
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))
