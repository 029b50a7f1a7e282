"""Pictures of samples."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL.Image import Resampling, fromarray
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torchvision.utils import make_grid

from mnist_ddm.core.flow import predicted_clean
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import replacing

STRIP_TIMES = 11
_SMALLEST_IMAGE = 56
"""Pixels: smaller images are enlarged to about this side, so that they can be looked at."""


def are_images(samples: Tensor) -> bool:
    """Whether decoded samples are grey or coloured images ``(B, C, H, W)``, and can be looked at as such."""
    return samples.ndim == 4 and samples.shape[1] in (1, 3)


def save_grid(images: Tensor, path: Path, description: Mapping[str, str], columns: int | None = None) -> None:
    """Write images ``(B, C, H, W)`` in ``[0, 1]`` as one PNG grid.

    Args:
        images: values outside ``[0, 1]`` are clamped.
        path: of the PNG; replaced atomically.
        description: texts kept in the file's header, such as the command that made it.
        columns: images in a row; by default about square.

    Raises:
        InputError: if the samples are no images.
    """
    if not are_images(images):
        raise InputError(f"only images can be put into a picture, not samples of the shape {tuple(images.shape[1:])}")
    columns = columns or math.ceil(math.sqrt(len(images)))
    grid = make_grid(images.detach().float().cpu().clamp(0, 1), nrow=columns, padding=1, pad_value=0.35)
    picture = fromarray((grid * 255).round().byte().permute(1, 2, 0).numpy())
    scale = max(1, round(_SMALLEST_IMAGE / images.shape[-1]))
    picture = picture.resize((picture.width * scale, picture.height * scale), Resampling.NEAREST)
    info = PngInfo()
    for key, text in description.items():
        info.add_text(key, text)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=info)


def save_strips(pool: ExpertPool, recording: Recording, path: Path, description: Mapping[str, str]) -> None:
    """Write each sample as two rows over ``t`` from 1 (left) to 0 (right): the state, and the predicted clean image.

    Args:
        pool: the system, to decode states.
        recording: with the observables `x` and `velocity`.
        path: of the PNG.
        description: texts kept in the file's header.

    Raises:
        InputError: if the system's samples are no images.
    """
    picked = torch.linspace(0, len(recording.times) - 1, STRIP_TIMES - 1).round().long()
    rows = []
    for i in range(len(recording.final)):
        x, v = recording.observed["x"][i, picked], recording.observed["velocity"][i, picked]
        clean = predicted_clean(x, v, recording.times[picked].to(x.dtype))
        last = recording.final[i : i + 1]
        rows += [pool.decode(torch.cat([x, last])), pool.decode(torch.cat([clean, last]))]
    save_grid(torch.cat(rows), path, description, columns=STRIP_TIMES)
