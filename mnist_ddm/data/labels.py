"""What people call the classes of a data set: `labels.txt` beside the data, or what a user says."""

from pathlib import Path

from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import read_text

LABELS = "labels.txt"
"""A file with the name of each class on a line of its own, in the order of the labels."""
_LONGEST = 40
"""Characters of a name: it stands beside bars and above pictures."""


def labels_in(folder: Path, classes: int) -> tuple[str, ...]:
    """The names in the file `labels.txt` of a data folder; none if there is no such file.

    Raises:
        InputError: if the file does not name each class once.
    """
    file = folder / LABELS
    return _checked(read_text(file).splitlines(), classes, str(file)) if file.exists() else ()


def labels_said(text: str, classes: int) -> tuple[str, ...]:
    """The names that a user says: with commas between, or the path of a file like `labels.txt`.

    Raises:
        InputError: if they do not name each class once.
    """
    if "," not in text and Path(text).is_file():
        return _checked(read_text(Path(text)).splitlines(), classes, text)
    return _checked(text.split(","), classes, f"--labels {text}")


def _checked(lines: list[str], classes: int, where: str) -> tuple[str, ...]:
    names = tuple(name for line in lines if (name := " ".join(line.split())))
    if len(names) != classes:
        raise InputError(f"{where} names {len(names)} classes, and the data have {classes}")
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise InputError(f"{where} names {twice!r} twice; give each class a name of its own")
    if strange := next((name for name in names if len(name) > _LONGEST or not name.isprintable()), None):
        raise InputError(f"{where}: {strange!r} is no name of at most {_LONGEST} letters")
    return names
