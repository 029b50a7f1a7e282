"""How long tables take, so that a plan can say it: as they took here before, or else as they took us.

Beside the recordings stands one file with the seconds of each analysis of each system; `pace.json` beside this module
has the same of one core that made what ships. What is kept decides nothing but an estimate: a file that is damaged or
cannot be written is as good as none.
"""

import contextlib
import itertools
import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from mnist_ddm.analyses.settings import Settings
from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import read_json, write_json

FILE: Final = "tables.json"
_USUAL_SYSTEM: Final = "mnist"
"""Whose usual seconds stand for a system of which there are none."""


def note(folder: Path, system: str, analysis: str, n: int, seconds: float) -> None:
    """Keep how long the tables of an analysis took.

    Args:
        folder: of the recordings.
        system: the title of the system.
        analysis: its name.
        n: its samples.
        seconds: on the clock.
    """
    kept = _read(folder)
    known = _points(kept.get(_key(system, analysis)))
    kept[_key(system, analysis)] = {str(size): round(taken, 3) for size, taken in sorted({**known, n: seconds}.items())}
    with contextlib.suppress(InputError, OSError):
        write_json(folder / FILE, kept)


def expected(folder: Path, system: str, settings: Mapping[str, Settings]) -> float | None:
    """About how many seconds the tables of some analyses will take; ``None`` if nobody knows it of one of them.

    Between two numbers of samples the time is taken for linear in them, and above the largest for proportional; much
    of it is the same for any number, so that fewer than ever count as many as the fewest.
    """
    kept, total = _read(folder), 0.0
    for name, own in settings.items():
        here = _points(kept.get(_key(system, name)))
        points = here or _points(_usual().get(_key(system, name))) or _points(_usual().get(_key(_USUAL_SYSTEM, name)))
        if not points:
            return None
        total += _seconds(points, own.n)
    return total


def _key(system: str, analysis: str) -> str:
    return f"{system}/{analysis}"


def _seconds(points: Mapping[int, float], n: int) -> float:
    """By the times of some numbers of samples, rising."""
    sizes = sorted(points)
    for below, above in itertools.pairwise(sizes):
        if below <= n <= above:
            return points[below] + (points[above] - points[below]) * (n - below) / (above - below)
    return points[sizes[0]] if n <= sizes[0] else points[sizes[-1]] * n / sizes[-1]


def _points(kept: object) -> dict[int, float]:
    """Numbers of samples and their seconds, as a file has them; what is no such thing is left out."""
    entries: dict[Any, Any] = kept if isinstance(kept, dict) else {}
    return {
        int(n): float(taken)
        for n, taken in entries.items()
        if str(n).isascii() and str(n).isdigit() and int(n) > 0 and _is_time(taken)
    }


def _is_time(taken: object) -> bool:
    return isinstance(taken, int | float) and 0 <= taken < math.inf


@cache
def _usual() -> dict[str, object]:
    usual: dict[str, object] = json.loads(files("mnist_ddm.study").joinpath("pace.json").read_text(encoding="utf-8"))
    return usual


def _read(folder: Path) -> dict[str, object]:
    with contextlib.suppress(InputError, OSError):
        return read_json(folder / FILE)
    return {}
