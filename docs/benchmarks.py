"""Copies what the benchmarks of the tests measured into the results: `python docs/benchmarks.py`.

`python -m pytest -m slow tests/benchmarks` leaves it in `.benchmarks`.
"""

import sys
from pathlib import Path

from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import read_json, write_json

ROOT = Path(__file__).parents[1]
MEASURED = ("grading", "memory", "spectral-norms")


def copy(source: Path, target: Path) -> None:
    """Copy every measurement, or none if one is not there.

    Raises:
        InputError: if one is missing or spoiled.
    """
    told = {name: read_json(source / f"{name}.json") for name in MEASURED}
    for name, value in told.items():
        write_json(target / f"{name}.json", value)


if __name__ == "__main__":
    try:
        copy(ROOT / ".benchmarks", ROOT / "docs" / "results" / "benchmarks")
    except InputError as error:
        print(f"{error}; `python -m pytest -m slow tests/benchmarks` measures it", file=sys.stderr)
        sys.exit(2)
