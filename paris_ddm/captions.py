"""Captions from files: one in a line, or a COCO captions file."""

from pathlib import Path

from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import LARGE, parse_json, read_text


def read_captions(path: Path) -> tuple[str, ...]:
    """The captions of a file, in its order.

    Args:
        path: a text file with one caption in a line (empty lines are left out), or a JSON file: a list of strings, or
            COCO's captions, an object whose ``annotations`` have a ``caption`` each.

    Raises:
        InputError: if the file is missing, is no text, or holds no caption.
    """
    text = read_text(path, LARGE)
    lines = _of_json(path, text) if path.suffix.lower() == ".json" else text.splitlines()
    captions = tuple(caption for line in lines if (caption := " ".join(line.split())))
    if not captions:
        raise InputError(f"{path} holds no caption; write one in a line")
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
