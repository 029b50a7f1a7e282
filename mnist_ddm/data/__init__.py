"""Image data: the MNIST database that ships here, or any folder of the same four IDX files.

MNIST is by Yann LeCun, Corinna Cortes and Christopher J. C. Burges, under CC BY-SA 3.0 (see `README.md` here).
"""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import LARGE, read_bytes, read_gzip

SIDE = 28
_MOST_AXES = 3
_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
_MNIST_SHA256 = {
    "train_images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train_labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "test_images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "test_labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@dataclass(frozen=True)
class Images:
    """A labelled set of 28 x 28 grey images, split into training and test data.

    Attributes:
        name: `mnist`, or the name of the folder.
        train_images: uint8, shape ``(N, 1, 28, 28)``.
        train_labels: int64 in ``0 .. classes - 1``, shape ``(N,)``.
        test_images: uint8, shape ``(M, 1, 28, 28)``.
        test_labels: int64, shape ``(M,)``.
        digest: SHA-256 of the four files' contents.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    digest: str

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.train_labels.max()) + 1


def to_state(images: Tensor) -> Tensor:
    """Grey levels 0 .. 255 (uint8) as states in ``[-1, 1]``, float32, same shape."""
    return images.float() / 127.5 - 1


def to_image(states: Tensor) -> Tensor:
    """States as images in ``[0, 1]``; values outside ``[-1, 1]`` are clamped."""
    return ((states + 1) / 2).clamp(0, 1)


def load_images(folder: Path | None = None) -> Images:
    """Load the shipped MNIST, or a folder with the same four IDX files, raw or gzipped.

    Args:
        folder: where the files are; ``None`` for the shipped MNIST, whose hashes are checked.

    Raises:
        InputError: if a file is missing, is not IDX, is truncated, holds other than 28 x 28 images, or if images and
            labels do not belong together.
    """
    place = folder or Path(__file__).parent
    contents = {part: _read(place, name) for part, name in _FILES.items()}
    if folder is None:
        for part, content in contents.items():
            if hashlib.sha256(content).hexdigest() != _MNIST_SHA256[part]:
                raise InputError(f"the shipped MNIST file {_FILES[part]} is damaged; install the package again")
    arrays = {part: _parse_idx(place / _FILES[part], content) for part, content in contents.items()}
    for split in ("train", "test"):
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
            raise InputError(f"{place / _FILES[split + '_images']} holds no 28 x 28 images but shape {images.shape}")
        if labels.ndim != 1 or len(labels) != len(images) or len(images) == 0:
            raise InputError(f"{place}: {len(images)} {split} images, but labels of shape {labels.shape}")
    classes = int(arrays["train_labels"].max()) + 1
    if len(np.unique(arrays["train_labels"])) != classes or int(arrays["test_labels"].max()) >= classes:
        raise InputError(f"{place}: labels must be 0 .. {classes - 1}, each with training images")
    return Images(
        name="mnist" if folder is None else folder.resolve().name,
        train_images=torch.from_numpy(arrays["train_images"])[:, None],
        train_labels=torch.from_numpy(arrays["train_labels"].astype(np.int64)),
        test_images=torch.from_numpy(arrays["test_images"])[:, None],
        test_labels=torch.from_numpy(arrays["test_labels"].astype(np.int64)),
        digest=hashlib.sha256(b"".join(hashlib.sha256(c).digest() for c in contents.values())).hexdigest(),
    )


def _read(folder: Path, name: str) -> bytes:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return read_gzip(path) if path.suffix == ".gz" else read_bytes(path, LARGE)
    raise InputError(f"{folder} has no {name} or {name}.gz; a data folder needs {', '.join(_FILES.values())}")


def _parse_idx(path: Path, content: bytes) -> np.ndarray:
    """An array from the IDX format: two zero bytes, type (8 = uint8), number of axes, big-endian sizes, data."""
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or len(content) < 4 + 4 * content[3]:
        raise InputError(f"{path} is not an IDX file of unsigned bytes; replace it")
    header = 4 + 4 * content[3]
    shape = tuple(int(n) for n in np.frombuffer(content[4:header], dtype=">u4"))
    if len(shape) > _MOST_AXES:
        raise InputError(f"{path} has {len(shape)} axes, but images have three and labels one; replace it")
    if len(content) - header != math.prod(shape):
        raise InputError(f"{path} is truncated or too long: its header says {shape}; replace it")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape).copy()
