"""Image data: the MNIST database that ships here, or a folder with a set of its family (`family.py`).

MNIST is by Yann LeCun, Corinna Cortes and Christopher J. C. Burges, under CC BY-SA 3.0 (see `README.md` here).
"""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mnist_ddm.data.family import PARTS, class_of, find_set, relabelled, shown_labels, upright
from mnist_ddm.data.labels import labels_in
from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import read_unpacked

SIDE = 28
_MNIST_SHA256 = {
    "train_images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train_labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "test_images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "test_labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MNIST_DIGEST = hashlib.sha256(b"".join(bytes.fromhex(_MNIST_SHA256[part]) for part in PARTS)).hexdigest()
"""By which MNIST is known, wherever its files lie."""
_IDX_TYPES: dict[bytes, np.dtype[Any]] = {b"\x00\x00\x08": np.dtype(np.uint8), b"\x00\x00\x0c": np.dtype(">i4")}


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
        labels: what the files call each class, where they do not call them 0, 1, ...
        names: what people call each class, from `labels.txt` beside the files; empty if nobody said.
        folder: where the files are; ``None`` for the shipped MNIST.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    digest: str
    labels: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    folder: Path | None = None

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.train_labels.max()) + 1


def title_of(name: str, digest: str) -> str:
    """What results call data of a name: MNIST is known by its content, and nothing else is called so."""
    if digest == MNIST_DIGEST:
        return "mnist"
    return f"another {name}" if name.lower() == "mnist" else name


def to_state(images: Tensor) -> Tensor:
    """Grey levels 0 .. 255 (uint8) as states in ``[-1, 1]``, float32, same shape."""
    return images.float() / 127.5 - 1


def to_image(states: Tensor) -> Tensor:
    """States as images in ``[0, 1]``; values outside ``[-1, 1]`` are clamped."""
    return ((states + 1) / 2).clamp(0, 1)


def load_images(folder: Path | None = None, *, relabel: bool = False) -> Images:
    """Load the shipped MNIST, or a folder with the four IDX files of a set of its family, raw or gzipped.

    Args:
        folder: where the files are; ``None`` for the shipped MNIST, whose hashes are checked.
        relabel: number the classes that occur 0, 1, ... in the order of their labels.

    Raises:
        InputError: if a file is missing, is not IDX, is truncated, holds other than 28 x 28 images, if images and
            labels do not belong together, or labels are not 0, 1, ... and were not to be numbered anew, or
            `labels.txt` there does not name each class once.
    """
    place = Path(__file__).parent if folder is None else folder
    chosen = find_set(place)
    contents = {part: read_unpacked(chosen.files[part]) for part in PARTS}
    if folder is None:
        for part, content in contents.items():
            if hashlib.sha256(content).hexdigest() != _MNIST_SHA256[part]:
                raise InputError(
                    f"the shipped MNIST file {chosen.files[part].name} is damaged; install the package again"
                )
    arrays = {part: _parse_idx(chosen.files[part], content) for part, content in contents.items()}
    for split in ("train", "test"):
        images, labels = arrays[f"{split}_images"], class_of(arrays[f"{split}_labels"])
        if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or images.dtype != np.uint8:
            raise InputError(f"{chosen.files[split + '_images']} holds no 28 x 28 images but shape {images.shape}")
        if labels.ndim != 1 or len(labels) != len(images) or len(images) == 0:
            raise InputError(f"{place}: {len(images)} {split} images, but labels of shape {labels.shape}")
        arrays[f"{split}_images"] = upright(images) if chosen.transposed else images
        arrays[f"{split}_labels"] = labels.astype(np.int64)
    names = _check_labels(place, arrays, relabel)
    if names:
        for split in ("train", "test"):
            arrays[f"{split}_labels"] = relabelled(arrays[f"{split}_labels"], np.array(names))
    seen = b"".join(hashlib.sha256(content).digest() for content in contents.values())
    named = place.resolve().parent if place.resolve().name == "raw" else place.resolve()
    classes = int(arrays["train_labels"].max()) + 1
    return Images(
        name="mnist" if folder is None else named.name,
        train_images=torch.from_numpy(arrays["train_images"])[:, None],
        train_labels=torch.from_numpy(arrays["train_labels"]),
        test_images=torch.from_numpy(arrays["test_images"])[:, None],
        test_labels=torch.from_numpy(arrays["test_labels"]),
        # The same bytes under another name stand upright, and are other images.
        digest=hashlib.sha256(seen + (b"transposed" if chosen.transposed else b"")).hexdigest(),
        labels=names,
        names=() if folder is None else labels_in(place, classes) or labels_in(named, classes),
        folder=folder,
    )


def _check_labels(place: Path, arrays: dict[str, np.ndarray], relabel: bool) -> tuple[int, ...]:
    """What the classes are called, if they are to be numbered anew; nothing if they are 0, 1, ... already."""
    names, tested = np.unique(arrays["train_labels"]), np.unique(arrays["test_labels"])
    if strange := sorted(set(tested.tolist()) - set(names.tolist())):
        raise InputError(
            f"{place}: test images have the label {strange[0]}, which no training image has; take them out"
        )
    if names.tolist() == list(range(len(names))):
        return ()
    if not relabel:
        raise InputError(
            f"{place}: labels must be 0 .. {len(names) - 1}, each with training images, not {shown_labels(names)}; "
            "train with --relabel, which numbers the classes anew and notes it on the card"
        )
    return tuple(names.tolist())


def _parse_idx(path: Path, content: bytes) -> np.ndarray:
    """An array from the IDX format: two zero bytes, type, number of axes, big-endian sizes, data."""
    kind = _IDX_TYPES.get(content[:3])
    if kind is None or len(content) < 4 or not 1 <= content[3] <= 3 or len(content) < 4 + 4 * content[3]:
        raise InputError(f"{path} is not an IDX file of unsigned bytes or integers; replace it")
    header = 4 + 4 * content[3]
    shape = tuple(int(n) for n in np.frombuffer(content[4:header], dtype=">u4"))
    if len(content) - header != math.prod(shape) * kind.itemsize:
        raise InputError(f"{path} is truncated or too long: its header says {shape}; replace it")
    array: np.ndarray = np.frombuffer(content, dtype=kind, offset=header).reshape(shape)
    return array.astype(kind.newbyteorder("="))
