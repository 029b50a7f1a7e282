"""Pictures of samples."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL.Image import Resampling, fromarray
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from mnist_ddm.storage.files import replacing

_LINE = 0.35
"""The grey of the lines between images."""
_SMALLEST_IMAGE = 56
"""Pixels: smaller images are enlarged to about this side, so that they can be looked at."""


def save_grid(images: Tensor, path: Path, description: Mapping[str, str], columns: int | None = None) -> None:
    """Write images ``(B, C, H, W)`` in ``[0, 1]`` as one PNG grid.

    Args:
        images: values outside ``[0, 1]`` are clamped.
        path: of the PNG; replaced atomically.
        description: texts kept in the file's header, such as the command that made it.
        columns: images in a row; by default about square.
    """
    columns = columns or math.ceil(math.sqrt(len(images)))
    grid = _grid(images.detach().float().cpu().clamp(0, 1).expand(-1, 3, -1, -1), columns)
    picture = fromarray((grid * 255).round().byte().permute(1, 2, 0).numpy())
    scale = max(1, round(_SMALLEST_IMAGE / images.shape[-1]))
    picture = picture.resize((picture.width * scale, picture.height * scale), Resampling.NEAREST)
    info = PngInfo()
    for key, text in description.items():
        info.add_text(key, text)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=info)


def _grid(images: Tensor, columns: int) -> Tensor:
    """Images ``(B, 3, H, W)`` in rows, with lines between and around them: ``(3, H', W')``.

    What torchvision has for this makes every command wait for the import of its models.
    """
    count, (_, height, width) = len(images), images.shape[1:]
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    framed = torch.nn.functional.pad(images, (1, 0, 1, 0), value=_LINE)
    empty = framed.new_full((rows * columns - count, *framed.shape[1:]), _LINE)
    tiles = torch.cat([framed, empty]).reshape(rows, columns, 3, height + 1, width + 1)
    grid = tiles.permute(2, 0, 3, 1, 4).reshape(3, rows * (height + 1), columns * (width + 1))
    return torch.nn.functional.pad(grid, (0, 1, 0, 1), value=_LINE)
