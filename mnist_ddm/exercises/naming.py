"""Which file of a student may be the answer to an exercise: `flow.py`, however it was renamed on its way.

Browsers number what is downloaded twice, course systems put names before, students add `final`, and archives bring a
folder of their own. Everything that is plainly meant is found; `handins.py` chooses where several files could be.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

_DEEPEST = 3
"""Folders within a student's folder."""
_LATER = r"(?:[\W_]*(?:copy|kopie|final|new|neu|fixed|solution|version|v?\d+))*"
_ASIDE = re.compile(r"test_.*|.*_test|.*\.old-\d+", re.IGNORECASE)
"""Stems of what is no answer: a test, and what `exercises reset` put aside."""


class Candidate(NamedTuple):
    """A file that may answer an exercise; the smaller, the more plainly it is meant.

    Attributes:
        renamed: whether it has another name than `flow.py`.
        depth: 1 in the student's folder itself.
        path: within that folder.
    """

    renamed: bool
    depth: int
    path: Path


def answers_in(paths: Iterable[Path], names: Sequence[str]) -> dict[str, list[Candidate]]:
    """For each exercise the files that may answer it, the one that is meant most plainly first.

    `flow.py` in the folder itself is meant in any case. Else a file of that name in a folder within is, and else one
    whose name is that but for case, something before it, a number, or a word such as `final`.
    """
    found: dict[str, list[Candidate]] = {name: [] for name in names}
    patterns = {name: re.compile(rf"(?:.*[\W_])?{re.escape(name)}{_LATER}[\W_]*", re.DOTALL) for name in names}
    for path in paths:
        shown = unicodedata.normalize("NFKC", path.name).casefold().removesuffix(".txt")  # as some systems have it
        if not shown.endswith(".py") or is_aside(path) or len(path.parts) > _DEEPEST + 1:
            continue
        stem = shown.removesuffix(".py")
        for name in names:
            if path.name == f"{name}.py":
                found[name].append(Candidate(False, len(path.parts), path))
            elif len(stem) <= 200 and patterns[name].fullmatch(stem):
                found[name].append(Candidate(True, len(path.parts), path))
    return {name: sorted(candidates) for name, candidates in found.items()}


def is_aside(path: Path) -> bool:
    """Whether a file is plainly no answer: a test, or what `exercises reset` put aside."""
    return _ASIDE.fullmatch(path.stem) is not None
