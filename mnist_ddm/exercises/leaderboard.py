"""The leaderboard of an open exercise: one CSV file with the best score of each name, the best first."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import read_csv
from mnist_ddm.storage.files import write_text
from mnist_ddm.tables.spreadsheets import spreadsheet_cell

COLUMNS = ("name", "frechet_distance", "experts_per_state", "rounds", "sha256")


@dataclass(frozen=True)
class Entry:
    """One line.

    Attributes:
        name: whose.
        value: the Frechet distance, mean of all rounds.
        cost: mean number of experts at a state.
        rounds: the Frechet distance of each round, separated by spaces.
        sha256: of the file that scored.
    """

    name: str
    value: float
    cost: float
    rounds: str
    sha256: str


def entry_of(name: str, score: Mapping[str, Any], sha256: str) -> Entry:
    """The line of a score that a run told."""
    rounds = " ".join(f"{value:.6g}" for value in score["rounds"])
    return Entry(name, float(score["value"]), float(score["cost"]), rounds, sha256)


def enter(path: Path, entry: Entry) -> tuple[list[Entry], bool]:
    """Put a score on the leaderboard if it is the best of its name.

    Returns:
        All lines, the best first, and whether the entry is on it now.

    Raises:
        InputError: if the file is not a leaderboard.
    """
    entries = {e.name: e for e in read(path)} if path.exists() else {}
    entry = replace(entry, name=str(spreadsheet_cell(entry.name)))  # as a name is read back
    better = entry.name not in entries or entry.value < entries[entry.name].value
    if better:
        entries[entry.name] = entry
        write(path, list(entries.values()))
    return sorted(entries.values(), key=lambda e: e.value), better


def write(path: Path, entries: list[Entry]) -> None:
    """Write a leaderboard, the best first."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for e in sorted(entries, key=lambda e: e.value):
        writer.writerow([spreadsheet_cell(e.name), f"{e.value:.6g}", f"{e.cost:.4g}", e.rounds, e.sha256])
    write_text(path, buffer.getvalue())


def read(path: Path) -> list[Entry]:
    """The lines of a leaderboard.

    Raises:
        InputError: if the file is not one.
    """
    try:
        header, *rows = read_csv(path)
        if tuple(header) != COLUMNS:
            raise ValueError("other columns")
        entries = [Entry(name, float(value), float(cost), rounds, sha) for name, value, cost, rounds, sha in rows]
        if not all(math.isfinite(entry.value) and math.isfinite(entry.cost) for entry in entries):
            raise ValueError("a score is no number")
    except ValueError as error:
        raise InputError(f"{path} is not a leaderboard ({error}); choose another file or move it away") from error
    return entries
