"""Which file of a student is the answer to an exercise: `flow.py`, however it was renamed on its way.

Browsers number what is downloaded twice, course systems put names before, students add `final`, and archives bring a
folder of their own. Everything that is plainly meant is found; where two files could be meant, neither is guessed.
"""

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

_DEEPEST = 3
"""Folders within a student's folder."""
_MOST = 2000
"""Files that are looked at."""
_LATER = r"(?:[\W_]*(?:copy|kopie|final|new|neu|fixed|solution|version|v?\d+))*"


def answers_in(folder: Path, names: Sequence[str]) -> dict[str, list[Path]]:
    """For each exercise the files that may answer it, relative to the folder; one alone if it is plain which is meant.

    `flow.py` in the folder itself is meant in any case. Else a file of that name in a folder within is, and else one
    whose name is that but for case, something before it, a number, or a word such as `final`; of each kind the ones
    least deep. Links are found too, and not followed.
    """
    found: dict[str, list[tuple[tuple[int, int], Path]]] = {name: [] for name in names}
    patterns = {name: re.compile(rf"(?:.*[\W_])?{re.escape(name)}{_LATER}[\W_]*", re.DOTALL) for name in names}
    for path in _files(folder):
        shown = unicodedata.normalize("NFKC", path.name).casefold().removesuffix(".txt")  # as some systems have it
        if not shown.endswith(".py"):
            continue
        stem = shown.removesuffix(".py")
        for name in names:
            if path.name == f"{name}.py":
                found[name].append(((0, len(path.parts)), path))
            elif len(stem) <= 200 and patterns[name].fullmatch(stem):
                found[name].append(((1, len(path.parts)), path))
    chosen = {}
    for name, ranked in found.items():
        least = min((rank for rank, _ in ranked), default=None)
        chosen[name] = sorted(path for rank, path in ranked if rank == least)
    return chosen


def _files(folder: Path) -> list[Path]:
    """Of a folder, relative to it, the least deep first; no hidden ones, and none of Python's and archives' own."""
    files: list[Path] = []
    for place, folders, names in os.walk(folder):
        here = Path(place).relative_to(folder)
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__")) and len(here.parts) < _DEEPEST)
        files += [here / name for name in sorted(names) if not name.startswith(".")]
        if len(files) >= _MOST:
            break
    return files[:_MOST]
