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


def read_picture(file: Path) -> "Image.Image":
    """A picture, unpacked, in the colours that it has, upright: cameras only note how they were held.

    Raises:
        InputError: if the file is no picture, is damaged, or has more than 178 million pixels.
    """
    from PIL import Image, ImageOps

    content = read_bytes(file, LARGE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures, which will do, and of odd metadata
            picture = Image.open(io.BytesIO(content), formats=_FORMATS)
            picture.load()
            return ImageOps.exif_transpose(picture)
    except Image.DecompressionBombError:
        raise InputError(
            f"{file} has too many pixels to unpack; make it smaller or take it out of the folder"
        ) from None
    except Exception as error:  # a damaged picture makes its reader raise nearly anything
        told = f"{type(error).__name__}: {str(error)[:80]}"
        raise InputError(f"{file} is not a picture that can be read ({told}); take it out of the folder") from None
