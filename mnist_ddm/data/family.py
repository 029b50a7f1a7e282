"""The sets of the MNIST family as people have them on disk: what their files are called, and what is peculiar to each.

| set | files | peculiar |
|---|---|---|
| MNIST, Fashion-MNIST, KMNIST | `train-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, ... | |
| EMNIST | `emnist-letters-train-images-idx3-ubyte`, ... | images are transposed; letters are 1 .. 26 |
| QMNIST | `qmnist-train-images-idx3-ubyte`, `qmnist-train-labels-idx2-int` | eight numbers a label, the class first |

Each may be gzipped, or not in spite of its name (browsers unpack what they load); some archives write a dot for the
second dash, or put each file into a folder of its own name; torchvision keeps them in a folder `raw`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_ddm.errors import InputError

PARTS = ("train_images", "train_labels", "test_images", "test_labels")
_NAME = re.compile(
    r"(?:(?P<family>emnist-[a-z]+|qmnist)-)?(?P<split>train|t10k|test)-(?P<what>images|labels)"
    r"[-.]idx[123]-(?:ubyte|int)(?:\.gz)?"
)
_USUAL = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte"
_FOREIGN = {
    ".mat": "Matlab files; take the binary version of the set (for EMNIST `gzip.zip`, not `matlab.zip`)",
    ".npz": "NumPy files; take the IDX files of the set (for KMNIST `train-images-idx3-ubyte.gz` and so on)",
    ".csv": "tables; take the IDX files of the set",
    ".parquet": "tables; take the IDX files of the set",
    ".zip": "an archive; unpack it",
}
_QMNIST_COLUMNS = 8


@dataclass(frozen=True)
class FamilySet:
    """The four files of a set.

    Attributes:
        files: for each of `PARTS`.
        transposed: whether rows and columns of its images are swapped, as in EMNIST.
    """

    files: Mapping[str, Path]
    transposed: bool


def find_set(folder: Path) -> FamilySet:
    """The set that a folder, or `raw` in it, holds.

    Raises:
        InputError: if there is none, or more than one, or a file is missing.
    """
    for place in (folder, folder / "raw"):
        if sets := _sets_in(place):
            return _the_one(place, sets)
    inside = [sub for sub in _entries(folder) if sub.is_dir() and (_sets_in(sub) or _sets_in(sub / "raw"))]
    if inside:
        raise InputError(f"{folder} holds sets in its folders; give one of them: {', '.join(s.name for s in inside)}")
    foreign = sorted({file.suffix.lower() for file in _entries(folder)} & _FOREIGN.keys())
    if foreign:
        raise InputError(f"{folder} holds {_FOREIGN[foreign[0]]}; a data folder needs {_USUAL}")
    raise InputError(
        f"{folder} has no train-images-idx3-ubyte or train-images-idx3-ubyte.gz; a data folder needs {_USUAL}"
    )


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _sets_in(place: Path) -> dict[str, dict[str, Path]]:
    """The files of each set in a folder, by the set's prefix; raw files before gzipped ones."""
    sets: dict[str, dict[str, Path]] = {}
    for path in sorted(_entries(place), key=lambda path: (path.name.endswith(".gz"), path.name)):
        if (match := _NAME.fullmatch(path.name)) is None:
            continue
        file = path / path.name if path.is_dir() else path
        part = f"{'train' if match['split'] == 'train' else 'test'}_{match['what']}"
        if file.is_file():
            sets.setdefault(match["family"] or "", {}).setdefault(part, file)
    return sets


def _the_one(place: Path, sets: dict[str, dict[str, Path]]) -> FamilySet:
    whole = [family for family, files in sets.items() if len(files) == len(PARTS)]
    if len(whole) > 1:
        names = ", ".join(family or "one without a prefix" for family in whole)
        raise InputError(f"{place} holds several sets ({names}); put the four files of one into a folder of their own")
    if not whole:
        family, files = next(iter(sets.items()))
        missing = ", ".join(part.replace("_", " ") for part in PARTS if part not in files)
        raise InputError(f"{place} has no {missing} of {family or 'the set'}; a data folder needs {_USUAL}")
    return FamilySet(sets[whole[0]], whole[0].startswith("emnist"))


def upright(images: np.ndarray) -> np.ndarray:
    """Images ``(N, 28, 28)`` of EMNIST as those of MNIST stand."""
    return np.ascontiguousarray(images.swapaxes(1, 2))


def class_of(labels: np.ndarray) -> np.ndarray:
    """The classes ``(N,)`` in labels ``(N,)``, or in QMNIST's ``(N, 8)``."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == _QMNIST_COLUMNS else labels


def relabelled(labels: np.ndarray, names: np.ndarray) -> np.ndarray:
    """The place of each label in the rising ``names``, all of which it must be one of."""
    return np.searchsorted(names, labels)


def shown_labels(names: np.ndarray) -> str:
    """Rising labels for people: `1 .. 26`, or `0, 2, 3, 7`."""
    if len(names) > 1 and int(names[-1]) - int(names[0]) == len(names) - 1:
        return f"{names[0]} .. {names[-1]}"
    return ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "")
