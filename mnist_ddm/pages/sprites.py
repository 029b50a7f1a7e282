"""Sprites: many small images of one size in one picture, for pages."""

import io
import math
from dataclasses import dataclass

import torch
from PIL.Image import fromarray
from torch import Tensor

from mnist_ddm.pages.page import data_uri

LARGEST_TILE = 80
"""Pixels: larger images are shrunk to this side. A multiple of 8, so that JPEG's blocks keep to a square tile."""
_LOSSLESS = 32
"""Tiles of at most this side are kept bit for bit as PNG; larger ones become JPEG."""
_QUALITY = 88


@dataclass(frozen=True)
class Sprite:
    """A picture of tiles in rows.

    Attributes:
        uri: the picture as a data URI.
        width: of one tile in pixels.
        height: of one tile in pixels.
    """

    uri: str
    width: int
    height: int


def tile_size(height: int, width: int, largest: int = LARGEST_TILE) -> tuple[int, int]:
    """The height and width of the tile that an image becomes."""
    scale = min(1.0, largest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def make_sprite(images: Tensor, columns: int, largest: int = LARGEST_TILE) -> Sprite:
    """Put images ``(B, C, H, W)`` with values in ``[0, 1]`` side by side, row by row.

    Args:
        images: of one or three channels; values outside ``[0, 1]`` are clamped.
        columns: tiles in a row.
        largest: the side that larger images are shrunk to.
    """
    images = images.detach().float().cpu()
    height, width = tile_size(images.shape[2], images.shape[3], largest)
    if (height, width) != tuple(images.shape[2:]):
        images = torch.nn.functional.interpolate(images, (height, width), mode="bilinear", antialias=True)
    count, channels = images.shape[:2]
    rows = math.ceil(count / columns)
    tiles = images.new_zeros(rows * columns, channels, height, width)
    tiles[:count] = images.nan_to_num(0.0).clamp(0, 1)
    sheet = tiles.reshape(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    pixels = (sheet.reshape(rows * height, columns * width, channels) * 255).round().byte().numpy()
    picture = fromarray(pixels[:, :, 0] if channels == 1 else pixels[:, :, :3])
    buffer = io.BytesIO()
    if max(height, width) <= _LOSSLESS:
        picture.save(buffer, format="PNG", optimize=True)
        return Sprite(data_uri(buffer.getvalue()), width, height)
    picture.save(buffer, format="JPEG", quality=_QUALITY, subsampling=0, optimize=True)
    return Sprite(data_uri(buffer.getvalue(), "image/jpeg"), width, height)
