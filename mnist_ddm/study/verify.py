"""Checking a run: its files by hash, and its tables against the recordings that they were made from."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import read_json, sha256
from mnist_ddm.storage.names import inside
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.again import study_again
from mnist_ddm.study.crate import CRATE, check_crate
from mnist_ddm.study.folder import MANIFEST, RESULTS
from mnist_ddm.study.manifest import Manifest
from mnist_ddm.study.plan import Plan
from mnist_ddm.study.record import record_all
from mnist_ddm.study.results import read_manifest
from mnist_ddm.study.study import Study
from mnist_ddm.study.trainings import joined_answer, training_folders
from mnist_ddm.tables.files import read_table, to_json

_RELATIVE = 1e-6
"""Recomputed numbers may differ by this much on another machine; on the same one they are equal to the last bit."""


def check_run(folder: Path) -> tuple[int, list[str]]:
    """Hash every file that the manifest of a run names, and those of the runs of its trainings.

    Returns:
        How many files there are, and those that no manifest names.

    Raises:
        InputError: if one is missing or was changed, or the crate of a run does not say what its manifest says.
    """
    manifest = read_manifest(folder)
    count, foreign = check_files(folder, {**manifest.results, **manifest.derived}, manifest.command)
    check_crate(folder, MANIFEST, manifest)
    for training in training_folders(folder, len(manifest.run.trainings)):
        counted, unknown = check_run(training)
        within = str(training.relative_to(folder)) + "/"
        foreign = [name for name in foreign if not name.startswith(within)] + [within + name for name in unknown]
        count += counted
    return count, foreign


def check_files(folder: Path, named: Mapping[str, str], command: str) -> tuple[int, list[str]]:
    """Hash every file that a manifest names; returns how many there are, and the files that it does not name.

    Args:
        folder: of the run.
        named: the hash of each file, by its name in the folder.
        command: that made the run, for the message.

    Raises:
        InputError: if one is missing or was changed.
    """
    for name, expected in named.items():
        file = inside(folder, name)
        if not file.exists():
            raise InputError(f"{file} is missing; restore it, or run `{command}` again")
        if sha256(file) != expected:
            raise InputError(f"{file} was changed: it does not have the hash of {MANIFEST}; restore or delete it")
    present = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    return len(named), sorted(present - named.keys() - {MANIFEST, CRATE})


def check_recordings(manifest: Manifest, store: RecordingStore) -> tuple[int, int]:
    """Hash the recordings that the run used; returns how many are whole, and how many are not there any more.

    Raises:
        InputError: if one was changed.
    """
    whole = 0
    for key, entry in manifest.recordings.items():
        files = {inside(store.folder, f"{key}/{name}"): expected for name, expected in entry.files.items()}
        there = [file for file in files if file.exists()]
        for file in there:
            if sha256(file) != files[file]:
                raise InputError(f"{file} is not the recording that the run used; delete it and record again")
        whole += bool(files) and len(there) == len(files)
    return whole, len(manifest.recordings) - whole


def recomputable(manifest: Manifest, pool: ExpertPool, store: RecordingStore) -> Iterator[tuple[Study, Plan]]:
    """The analyses whose recordings are there: for each a study of it alone, and what it was computed from."""
    used = {visits for entry in manifest.recordings.values() for visits in entry.visited()}
    for name, study in study_again(manifest, pool, store).items():
        if name in manifest.analyses and name in study.analyses:
            plan = study.plan()
            # What was optional and was not there then may have been recorded since.
            then = Plan(pool, {v: names for v, names in plan.wanted.items() if v in used}, store)
            if not then.missing and study.required <= then.wanted.keys():
                yield study, then


def recompute(folder: Path, study: Study, plan: Plan) -> list[str]:
    """Compute the tables of a study of one analysis again and compare them; returns a line for each table.

    Raises:
        InputError: if a table is not what its recordings give.
    """
    recordings = record_all(plan.pool, plan.wanted, plan.store)
    (name,) = study.analyses
    lines = []
    for table in study.answer_one(name, recordings).tables:
        file = folder / RESULTS / f"{table.name}.json"
        read_table(file)
        then, now = read_json(file)["rows"], json.loads(json.dumps(to_json(table)["rows"]))
        if then == now:
            lines.append(f"{table.name}: the same to the last bit")
            continue
        apart = _differences(then, now)
        if apart is not None:
            raise InputError(f"{file} is not what its recordings give: {apart}")
        lines.append(f"{table.name}: the same within {_RELATIVE:g}")
    return lines


def rejoin(folder: Path, manifest: Manifest) -> list[str]:
    """Join the tables of several trainings again and compare them; returns a line for each table.

    Raises:
        InputError: if a table is not what the trainings' tables give.
    """
    folders = training_folders(folder, len(manifest.run.trainings))
    lines = []
    for name in manifest.analyses:
        for table in joined_answer(folders, name).tables:
            file = folder / RESULTS / f"{table.name}.json"
            read_table(file)
            now = json.loads(json.dumps(to_json(table)["rows"]))
            if (apart := _differences(read_json(file)["rows"], now)) is not None:
                raise InputError(f"{file} is not what the trainings give: {apart}")
            lines.append(f"{table.name}: what {len(folders)} trainings give")
    return lines


def _differences(then: Any, now: Any, where: str = "") -> str | None:
    """The first place where two JSON-like values differ by more than rounding, or ``None``."""
    if isinstance(then, dict) and isinstance(now, dict):
        if then.keys() != now.keys():
            return f"{where or 'a row'} has other columns"
        pairs = [(f"{where} {key}".strip(), then[key], now[key]) for key in then]
    elif isinstance(then, list) and isinstance(now, list):
        if len(then) != len(now):
            return "it has another number of rows"
        pairs = [(f"row {i + 1}", a, b) for i, (a, b) in enumerate(zip(then, now, strict=True))]
    elif isinstance(then, int | float) and isinstance(now, int | float):
        same = math.isclose(then, now, rel_tol=_RELATIVE, abs_tol=1e-12)
        return None if same else f"{where} is {then} there and {now} now"
    else:
        return None if then == now else f"{where} is {then} there and {now} now"
    return next((told for place, a, b in pairs if (told := _differences(a, b, place)) is not None), None)
