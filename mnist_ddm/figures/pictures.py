"""Pictures of samples."""

import math
from collections.abc import Mapping
from pathlib import Path

from PIL.Image import Resampling, fromarray
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torchvision.utils import make_grid

from mnist_ddm.storage.files import replacing

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
    grid = make_grid(images.detach().float().cpu().clamp(0, 1), nrow=columns, padding=1, pad_value=0.35)
    picture = fromarray((grid * 255).round().byte().permute(1, 2, 0).numpy())
    scale = max(1, round(_SMALLEST_IMAGE / images.shape[-1]))
    picture = picture.resize((picture.width * scale, picture.height * scale), Resampling.NEAREST)
    info = PngInfo()
    for key, text in description.items():
        info.add_text(key, text)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=info)
