"""How long tables took here before, so that a plan can say how long they will take.

Beside the recordings stands one file with the latest seconds of each analysis of each system. What is kept there
decides nothing but an estimate: a file that is damaged or cannot be written is as good as none.
"""

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mnist_ddm.analyses.settings import Settings
from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import read_json, write_json

FILE: Final = "tables.json"


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
    kept[f"{system}/{analysis}"] = [n, round(seconds, 3)]
    with contextlib.suppress(InputError, OSError):
        write_json(folder / FILE, kept)


def expected(folder: Path, system: str, settings: Mapping[str, Settings]) -> float | None:
    """About how many seconds the tables of some analyses will take; ``None`` if one of them was never made here.

    Much of the time is the same for any number of samples, so that fewer than last time count as many; of more, each
    counts as one did then.
    """
    kept, total = _read(folder), 0.0
    for name, own in settings.items():
        match kept.get(f"{system}/{name}"):
            case [int() as n, int() | float() as seconds] if n > 0 and 0 <= seconds < math.inf:
                total += seconds * max(1.0, own.n / n)
            case _:
                return None
    return total


def _read(folder: Path) -> dict[str, object]:
    with contextlib.suppress(InputError, OSError):
        return read_json(folder / FILE)
    return {}
