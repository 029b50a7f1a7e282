"""Makes folders of results again, and says before how long that takes."""

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import folders
from folders import Entry, entries, listed, studies_of

from mnist_ddm.compute.cores import default_workers
from mnist_ddm.errors import InputError, unknown
from mnist_ddm.storage.files import read_json
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.folder import MANIFEST, SCHEMA, _code
from mnist_ddm.study.plan import Plan
from mnist_ddm.terminal.words import shown_duration
from paris_ddm.folder import SHIPPED


def trained_seconds(command: str) -> float | None:
    """About how long a training takes on one core, by the cards of what ships; ``None`` if they do not tell."""
    digits, paris = (folders.ROOT / "checkpoints" / name for name in ("mnist-classroom", SHIPPED))
    match shlex.split(command)[1:]:
        case ["train", *rest] if "--preset" not in rest:
            cards = [read_json(f) for f in digits.glob("*.json")]
        case ["train-experts", *rest] if "--preset" not in rest:
            cards = [read_json(f) for f in digits.glob("expert-*.json")]
        case ["paris", "train-mini", *rest] if "--share" in rest:
            told = read_json(paris / "card.json")["trained"]
            return sum(part["seconds"] for name, part in told.items() if name.startswith(("expert-", "router", "mono")))
        case _:
            return None
    return sum(card["figures"]["seconds"] for card in cards if "seconds" in card.get("figures", {}))


@dataclass
class Cost:
    """About how many seconds a folder takes.

    Attributes:
        recording: with all workers.
        tables: after it.
        training: before it, on one core.
        unknown: what is not in these numbers, and why.
    """

    recording: float = 0.0
    tables: float = 0.0
    training: float = 0.0
    unknown: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = {"training on one core": self.training, "recording": self.recording, "tables": self.tables}
        known = [f"{shown_duration(seconds)} of {what}" for what, seconds in told.items() if seconds]
        left_out = [f"not counted: {', '.join(self.unknown)}"] if self.unknown else []
        return ", ".join([*(known or ["nothing to wait for"]), *left_out])


def expected(wanted: list[Entry], workers: int) -> Iterator[tuple[Entry, Cost]]:
    """About how long each folder takes; what two need is counted once."""
    counted: dict[str, dict[Any, set[str]]] = {}
    trained: set[str] = set()
    with tempfile.TemporaryDirectory() as place:
        for entry in wanted:
            cost = Cost()
            for command in entry.before:
                seconds = trained_seconds(command)
                if seconds is None:
                    cost.unknown.append(f"`{command}`")
                elif command not in trained:
                    cost.training += seconds
                trained.add(command)
            if entry.is_run:
                _count(entry, cost, counted, RecordingStore(Path(place)), workers)
            else:
                cost.unknown.append(f"`{entry.command}`")
            yield entry, cost


def _count(
    entry: Entry, cost: Cost, counted: dict[str, dict[Any, set[str]]], empty: RecordingStore, workers: int
) -> None:
    """Add what recordings and tables of a run take."""
    try:
        studies = studies_of(entry, empty)
    except InputError as error:
        cost.unknown.append(str(error))
        return
    for study in studies:
        model = entry.command if study.store is empty else json.dumps(dict(study.pool.fingerprints))
        cost.recording += not_counted(study.plan(), counted.setdefault(model, {})).seconds(workers)
        if study.table_seconds is None:
            cost.unknown.append("tables that nobody timed")
        cost.tables += study.table_seconds or 0


def not_counted(plan: Plan, seen: dict[Any, set[str]]) -> Plan:
    """What of a plan is missing and was not seen in one before; it is now."""
    rest = {v: names for v, names in plan.missing.items() if v not in seen or not set(names) <= seen[v]}
    for visits, names in rest.items():
        seen.setdefault(visits, set()).update(names)
    return Plan(plan.pool, rest, plan.store)


def tell_plan(wanted: list[Entry]) -> None:
    """Say what is made and how long it takes."""
    total, workers = Cost(), default_workers()
    for entry, cost in expected(wanted, workers):
        print(f"{entry.name}: {cost}{f'; after {listed(entry.before)}' if entry.before else ''}", flush=True)
        total.recording += cost.recording
        total.tables += cost.tables
        total.training += cost.training
        total.unknown += [entry.name] if cost.unknown else []
    print(
        f"{len(wanted)} folders with {workers} workers: {total}\n"
        "Recordings by the pace of this machine at this moment, which other work slows; tables as they took before; "
        "trainings by the cards of what ships."
    )


def is_made(entry: Entry) -> bool:
    """Whether a folder is whole and was made by this code."""
    file = entry.folder / MANIFEST
    stated = read_json(file) if file.exists() else {}
    return (stated.get("schema"), stated.get("state"), stated.get("code")) == (SCHEMA, "finished", _code())


def to_make(names: list[str]) -> list[Entry]:
    """The folders that are asked for, or all runs, without those that this code made.

    Raises:
        InputError: if there is no such folder.
    """
    known = [e.name for e in entries()]
    for name in names:
        if name not in known:
            raise unknown("folder of results", name, known, f"{folders.TABLE.relative_to(folders.ROOT)} has all")
    return [e for e in entries() if (e.name in names if names else e.is_run) and not is_made(e)]


def make(names: list[str]) -> None:
    """Make folders again; what was stopped goes on where it was."""
    wanted = to_make(names)
    tell_plan(wanted)
    for entry in wanted:
        print(f"== {entry.name}", flush=True)
        for command in (*entry.before, entry.command):
            _run(entry, command)
        if entry.is_run:
            old = (folders.BUILD / entry.name).with_name(f".{entry.folder.name}-before")
            shutil.rmtree(old, ignore_errors=True)
            if entry.folder.exists():
                entry.folder.rename(old)
            entry.folder.parent.mkdir(exist_ok=True)
            (folders.BUILD / entry.name).rename(entry.folder)
            shutil.rmtree(old, ignore_errors=True)


def _run(entry: Entry, command: str) -> None:
    """Run a command of the package or a script by this Python.

    Raises:
        InputError: if it fails; it said why.
    """
    program, *words = shlex.split(command)
    if program == "mnist-ddm":
        out = ["--out", str((folders.BUILD / entry.name).relative_to(folders.ROOT))] if command == entry.command else []
        words = ["-m", "mnist_ddm", *words, *out]
    if code := subprocess.run([sys.executable, *words], cwd=folders.ROOT).returncode:
        raise InputError(f"{entry.name}: what it says above ended this with exit code {code}: `{command}`")
