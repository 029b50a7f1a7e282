"""Pictures of samples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL.Image import Image, Resampling, fromarray
from PIL.Image import new as new_image
from PIL.ImageDraw import Draw
from PIL.ImageFont import FreeTypeFont, ImageFont, load_default
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from mnist_ddm.storage.files import replacing

_LINE = 0.35
"""The grey of the lines between images."""
_SMALLEST_IMAGE = 56
"""Pixels: smaller images are enlarged to about this side, so that they can be looked at."""


_LETTERS = 13
"""Pixels of the type of names beside a grid."""
_WIDEST = 240
"""Pixels of the words below an image, which is enlarged until they fit; longer ones are cut."""
_SPACE = 10
"""Pixels that the words leave free below an image, left and right together."""
_PAPER, _INK = (255, 255, 255), (26, 30, 34)


@dataclass(frozen=True)
class GridNames:
    """What is written beside a grid.

    Attributes:
        columns: above each column.
        rows: left of each row.
        images: below each image, where a few words fit.
    """

    columns: Sequence[str] = ()
    rows: Sequence[str] = ()
    images: Sequence[str] = ()


def save_grid(
    images: Tensor,
    path: Path,
    description: Mapping[str, str],
    columns: int | None = None,
    names: GridNames | None = None,
) -> None:
    """Write images ``(B, C, H, W)`` in ``[0, 1]`` as one PNG grid.

    Args:
        images: values outside ``[0, 1]`` are clamped.
        path: of the PNG; replaced atomically.
        description: texts kept in the file's header, such as the command that made it.
        columns: images in a row; by default about square.
        names: what is written beside it; nothing by default.
    """
    columns = columns or math.ceil(math.sqrt(len(images)))
    scale = max(1, round(_SMALLEST_IMAGE / images.shape[-1]))
    pixels = images.detach().float().cpu().clamp(0, 1).expand(-1, 3, -1, -1)
    if names is not None and names.images:
        widest = min(_WIDEST, max(load_default(_LETTERS).getlength(name) for name in names.images))
        scale = max(scale, math.ceil((widest + _SPACE) / images.shape[-1]))
        pixels = torch.nn.functional.pad(pixels, (0, 0, 0, math.ceil((_LETTERS + 4) / scale)), value=1.0)
    grid = _grid(pixels, columns)
    picture = fromarray((grid * 255).round().byte().permute(1, 2, 0).numpy())
    picture = picture.resize((picture.width * scale, picture.height * scale), Resampling.NEAREST)
    if names is not None:
        picture = _named(picture, names, (scale * pixels.shape[-1], scale * pixels.shape[-2]), scale, columns)
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


def _named(picture: Image, names: GridNames, size: tuple[int, int], line: int, columns: int) -> Image:
    """A grid with names beside it; ``size`` is that of an image, and a ``line`` runs left of it and above."""
    font = load_default(_LETTERS)
    left = 8 + max((math.ceil(font.getlength(name)) for name in names.rows), default=-8)
    above = _LETTERS + 7 if names.columns else 0
    wide, tall = size
    paper = new_image("RGB", (picture.width + left, picture.height + above), _PAPER)
    paper.paste(picture, (left, above))
    pen = Draw(paper)

    def middle(column: int) -> float:
        return left + line + column * (line + wide) + wide / 2

    for i, name in enumerate(names.columns):
        pen.text((middle(i), above / 2), name, _INK, font, anchor="mm")
    for i, name in enumerate(names.rows):
        pen.text((left - 4, above + line + i * (line + tall) + tall / 2), name, _INK, font, anchor="rm")
    for i, name in enumerate(names.images):
        row, column = divmod(i, columns)
        place = (middle(column), above + (row + 1) * (line + tall) - (_LETTERS + 4) / 2)
        pen.text(place, _cut(name, wide - _SPACE, font), _INK, font, anchor="mm")
    return paper


def _cut(name: str, width: float, font: FreeTypeFont | ImageFont) -> str:
    """As much of a name as fits, with a mark where it goes on."""
    if font.getlength(name) <= width:
        return name
    return next(short for i in range(len(name), -1, -1) if font.getlength(short := f"{name[:i]}...") <= width or i == 0)
