"""Checking a run: its files by hash, and its tables against the recordings that they were made from."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mnist_ddm.analyses.analysis import Analysis, Settings
from mnist_ddm.analyses.registry import analysis_named
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.visits import Noising, Sampling, Visits
from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import read_json, sha256
from mnist_ddm.study.folder import MANIFEST, RESULTS
from mnist_ddm.study.record import is_recorded, record_all
from mnist_ddm.study.scales import scale_of
from mnist_ddm.study.study import Plan
from mnist_ddm.tables.terminal import to_json

_KINDS: Mapping[str, type[Visits]] = {"sampling": Sampling, "noised": Noising}
_RELATIVE = 1e-6
"""Recomputed numbers may differ by this much on another machine; on the same one they are equal to the last bit."""


def check_files(folder: Path, manifest: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Hash every file that the manifest names; returns how many there are, and the files that it does not name.

    Raises:
        InputError: if one is missing or was changed.
    """
    named = {**manifest["results"], **manifest.get("derived", {})}
    for name, expected in named.items():
        file = folder / name
        if not file.exists():
            raise InputError(f"{file} is missing; restore it, or run `{manifest['command']}` again")
        if sha256(file) != expected:
            raise InputError(f"{file} was changed: it does not have the hash of {MANIFEST}; restore or delete it")
    found = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    return len(named), sorted(found - named.keys() - {MANIFEST})


def check_recordings(manifest: Mapping[str, Any], recordings: Path) -> tuple[int, int]:
    """Hash the recordings that the run used; returns how many are whole, and how many are not there any more.

    Raises:
        InputError: if one was changed.
    """
    whole = 0
    for key, entry in manifest["recordings"].items():
        files = {recordings / key / name: expected for name, expected in entry.get("files", {}).items()}
        there = [file for file in files if file.exists()]
        for file in there:
            if sha256(file) != files[file]:
                raise InputError(f"{file} is not the recording that the run used; delete it and record again")
        whole += bool(files) and len(there) == len(files)
    return whole, len(manifest["recordings"]) - whole


def recomputable(
    folder: Path, manifest: Mapping[str, Any], pool: ExpertPool, recordings: Path
) -> Iterator[tuple[Analysis, Settings, Plan]]:
    """The analyses whose recordings are there, with what each is computed from.

    Raises:
        InputError: if the manifest does not say it.
    """
    runs = {_run(entry["run"] | {"n": n}) for entry in manifest["recordings"].values() for n in _numbers(entry)}
    for name, found in manifest["analyses"].items():
        if found["settings"] is None:
            raise InputError(
                f"{folder / MANIFEST} is too old to say what its tables were made from; only --files works"
            )
        analysis, settings = _analysis(name, manifest), Settings(**found["settings"])
        wanted: dict[Visits, tuple[str, ...]] = {}
        for need in analysis.needs(pool, settings):
            if not need.optional or need.visits in runs:
                wanted[need.visits] = tuple(sorted({*wanted.get(need.visits, ()), *need.observables}))
        if all(is_recorded(pool, run, names, recordings) for run, names in wanted.items()):
            yield analysis, settings, Plan(wanted)


def recompute(
    folder: Path, pool: ExpertPool, analysis: Analysis, settings: Settings, plan: Plan, recordings: Path
) -> list[str]:
    """Compute the tables of an analysis again and compare them; returns a line for each table.

    Raises:
        InputError: if a table is not what its recordings give.
    """
    read = record_all(pool, plan.observables, recordings)
    lines = []
    for table in analysis.answer(pool, read, settings).tables:
        file = folder / RESULTS / f"{table.name}.json"
        then, now = read_json(file)["rows"], _plain(to_json(table)["rows"])
        if then == now:
            lines.append(f"{table.name}: the same to the last bit")
            continue
        apart = _differences(then, now)
        if apart is None:
            lines.append(f"{table.name}: the same within {_RELATIVE:g}")
            continue
        raise InputError(f"{file} is not what its recordings give: {apart}")
    return lines


def _analysis(name: str, manifest: Mapping[str, Any]) -> Analysis:
    study = manifest["run"].get("study")
    return (
        scale_of({k: v for k, v in study.items() if k != "only"}).fitted(analysis_named(name))
        if study
        else (analysis_named(name))
    )


def _numbers(entry: Mapping[str, Any]) -> list[int]:
    """The numbers of samples of the runs that share a recording."""
    return entry.get("n") or [entry["run"]["n"]]


def _run(described: Mapping[str, Any]) -> Visits:
    given = {key: value for key, value in described.items() if key != "kind"}
    return _KINDS[described["kind"]](**given)


def _plain(value: object) -> Any:
    """What JSON makes of a value."""
    import json

    return json.loads(json.dumps(value))


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
    return next((found for place, a, b in pairs if (found := _differences(a, b, place)) is not None), None)
