"""Pictures through the one door: of known formats, and not larger than memory allows."""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import LARGE, read_bytes

if TYPE_CHECKING:
    from PIL import Image

_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""What is looked at; some other formats of the library start programs."""
_PIXELS = 200_000_000
"""Of the largest picture that is unpacked; the largest cameras have 150 million."""


def read_picture(file: Path) -> "Image.Image":
    """A picture, unpacked, in the colours that it has, upright: cameras only note how they were held.

    Raises:
        InputError: if the file is no picture, is damaged, or is too large.
    """
    from PIL import Image, ImageOps

    content = read_bytes(file, LARGE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a size that is checked below, and of odd metadata
            picture = Image.open(io.BytesIO(content), formats=_FORMATS)
            if picture.width * picture.height > _PIXELS:
                raise InputError(
                    f"{file} has {picture.width} x {picture.height} pixels, too many to unpack; make it smaller or "
                    "take it out of the folder"
                )
            picture.load()
            return ImageOps.exif_transpose(picture)
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(
            f"{file} has too many pixels to unpack; make it smaller or take it out of the folder"
        ) from None
    except Exception as error:  # a damaged picture makes its reader raise nearly anything
        told = f"{type(error).__name__}: {str(error)[:80]}"
        raise InputError(f"{file} is not a picture that can be read ({told}); take it out of the folder") from None
