"""Captions from files: one in a line, JSON lines, a JSON list, or a COCO captions file."""

import re
from collections.abc import Callable
from pathlib import Path

from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import LARGE, parse_json, read_text


def read_captions(path: Path) -> tuple[str, ...]:
    """The captions of a file, in its order.

    Args:
        path: a `.txt` file with one caption in a line (empty lines are left out); a `.jsonl` file with an object in a
            line that has a `text`; or a `.json` file: a list of strings, or COCO's captions, an object whose
            ``annotations`` have a ``caption`` each.

    Raises:
        InputError: if the file is missing, is no text, is of another kind, or holds no caption.
    """
    if path.suffix.lower() not in _READERS:
        raise InputError(f"{path} is no file of captions: give one that ends in {', '.join(_READERS)}")
    lines = _READERS[path.suffix.lower()](path, read_text(path, LARGE))
    captions = tuple(caption for line in lines if (caption := " ".join(line.split())))
    if not captions:
        raise InputError(f"{path} holds no caption; write one in a line")
    return captions


def _of_text(path: Path, text: str) -> list[str]:
    # Not splitlines: a form feed or a separator of Unicode may stand inside a caption.
    return re.split(r"\r\n|\r|\n", text)


def _of_json_lines(path: Path, text: str) -> list[str]:
    captions = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if not line.strip():
            continue
        value = parse_json(line, f"line {number} of {path}")
        caption = value.get("text") if isinstance(value, dict) else value
        if not isinstance(caption, str):
            raise InputError(f"line {number} of {path} has no text; each line is an object with a text")
        captions.append(caption)
    return captions


def _of_json(path: Path, text: str) -> list[str]:
    value = parse_json(text, str(path))
    if isinstance(value, dict):
        value = value.get("annotations")
    if isinstance(value, list):
        value = [entry.get("caption") if isinstance(entry, dict) else entry for entry in value]
        if all(isinstance(caption, str) for caption in value):
            return list(value)
    raise InputError(f"{path} is neither a list of captions nor a COCO captions file (annotations with a caption each)")


_READERS: dict[str, Callable[[Path, str], list[str]]] = {
    ".txt": _of_text,
    ".jsonl": _of_json_lines,
    ".json": _of_json,
}
