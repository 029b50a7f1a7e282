"""The run folder: results and pictures of analyses, with a manifest that says how they were made."""

import contextlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

from mnist_ddm.analyses.analysis import Answer
from mnist_ddm.analyses.settings import Settings
from mnist_ddm.compute.cores import default_workers
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError
from mnist_ddm.figures.vega import to_vega_lite
from mnist_ddm.storage.door import read_text
from mnist_ddm.storage.files import (
    LEFT_BY_SYSTEMS,
    digest,
    is_empty,
    is_temporary,
    read_json,
    sha256,
    write_json,
    write_tensors,
    write_text,
)
from mnist_ddm.storage.locks import hold_folder, release_folder
from mnist_ddm.storage.names import delete_inside, file_name, inside
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.storage.typed import as_kind
from mnist_ddm.study.crate import CRATE, write_crate
from mnist_ddm.study.manifest import Manifest
from mnist_ddm.study.record import recording_files
from mnist_ddm.tables.files import read_table, to_csv, to_json
from mnist_ddm.tables.table import Table
from mnist_ddm.versions import versions

SCHEMA = 3
MANIFEST = "manifest.json"
RESULTS, PLOTS, SAMPLES = "results", "plots", "samples"
"""The folders of a run: tables and tensors, plots as data and as pictures, grids of samples."""
VEGA_LITE = ".vl.json"
"""The ending of a plot that a viewer of Vega-Lite draws."""


@dataclass(frozen=True)
class Provenance:
    """Where a run comes from.

    Attributes:
        command: as it was typed.
        options: that load the system again; see `load_system`.
        claims: names of the claims that the run is for; empty for all that its tables decide.
    """

    command: str = "mnist_ddm.Study"
    options: Mapping[str, Any] = field(default_factory=dict)
    claims: tuple[str, ...] = ()

    def described(self, pool: ExpertPool) -> dict[str, Any]:
        """What it says in a manifest; of a folder nothing that is private to this machine above its name."""
        return {
            "command": self.command,
            "claims": list(self.claims),
            "options": {name: _portable(value) for name, value in self.options.items() if value not in (None, ())},
            "title": pool.title,
            "in_paper": pool.in_paper,
            "sources": dict(pool.sources),
            "experts": pool.n_experts,
            "hardware": _hardware(str(pool.device)),
        }


def _portable(value: object) -> object:
    if isinstance(value, Path):
        return value.name if value.is_absolute() else str(value)
    return [_portable(one) for one in value] if isinstance(value, tuple) else value


def identity(pool: ExpertPool, scale: str, settings: Mapping[str, Settings], absent: Iterable[str]) -> dict[str, Any]:
    """What makes two runs the same run."""
    return {
        "system": pool.entry or pool.name,
        "description": pool.description,
        "fingerprints": dict(pool.fingerprints),
        "scale": scale,
        "seed": next((s.seed for s in settings.values()), 0),
        "settings": {name: _plain(own) for name, own in settings.items()},
        "absent": sorted(absent),
    }


def _plain(settings: Settings) -> dict[str, Any]:
    """Settings as JSON has them."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return plain


def default_folder(what: Mapping[str, Any], title: str) -> Path:
    """A folder below `runs/` that belongs to this run alone, and is called after its system."""
    return Path("runs") / f"{file_name(title)}-{digest(what)[:8]}"


@final
class RunFolder:
    """A folder that one study writes its results to, one analysis after the other."""

    def __init__(self, folder: Path, what: Mapping[str, Any], pool: ExpertPool, provenance: Provenance) -> None:
        """Open a folder for a study, or go on with one that the same study began.

        Args:
            folder: its place.
            what: the study's `identity`.
            pool: the system.
            provenance: command and options, for the manifest.

        Raises:
            InputError: if the folder holds anything else, cannot be written, or another process writes into it.
        """
        self.folder = folder
        self._pictured = {
            "Description": provenance.command,
            "System": ", ".join(filter(None, (pool.title, pool.description))),
        }
        self._begin = time.monotonic()
        manifest = folder / MANIFEST
        before: dict[str, Any] = {}
        with contextlib.suppress(OSError):  # what is wrong is said below
            folder.mkdir(parents=True, exist_ok=True)
        hold_folder(folder)
        if manifest.exists():
            before = read_json(manifest)
            # Everything below is taken from it; a manifest of another schema says nothing that is.
            if before.get("schema") == SCHEMA:
                as_kind(before, Manifest, str(manifest), "a manifest; restore it or choose another --out")
            if before.get("run") != what or before.get("claims") != list(provenance.claims):
                raise InputError(f"{folder} holds another run; choose another --out")
        elif folder.exists() and not is_empty(folder):
            raise InputError(f"{folder} is not an empty folder and holds no {MANIFEST}; choose another --out")
        self._manifest: dict[str, Any] = {
            "schema": SCHEMA,
            "state": "running",
            "run": dict(what),
            "started": _now(),
            "versions": versions(),
            "code": _code(),
            "git": _git(),
            **provenance.described(pool),
            "absent": {},
            "analyses": {},
        }
        # Results of an earlier try of the same code and software are taken over; `has` checks their files.
        self._seconds = 0.0
        if all(before.get(key) == self._manifest[key] for key in ("schema", "versions", "code")):
            self._manifest |= {key: before[key] for key in ("started", "analyses") if key in before}
            self._seconds = float(before.get("seconds", 0.0))
        else:
            # Nothing of other code may be mistaken for this run's.
            for name in _written(before):
                delete_inside(folder, name)
        for name in before.get("derived", {}) if before.get("schema") == SCHEMA else ():
            delete_inside(folder, name)  # it is made again from the results, and is none of them
        for left_by_a_kill in filter(is_temporary, folder.rglob(".*.tmp*")):
            left_by_a_kill.unlink(missing_ok=True)
        write_json(manifest, self._manifest)

    def has(self, name: str, settings: Settings) -> bool:
        """Whether an earlier try of the same run left an analysis' results whole."""
        entry = self._manifest["analyses"].get(name)
        if entry is None or entry["settings"] != _plain(settings):
            return False
        files = {inside(self.folder, file): value for file, value in entry["files"].items()}
        return all(file.exists() and sha256(file) == value for file, value in files.items())

    def write(self, name: str, settings: Settings, answer: Answer) -> None:
        """Write an analysis' tables as CSV and JSON, and what plots show anything as data, PNG, SVG and Vega-Lite."""
        from mnist_ddm.figures.draw import save_plot  # and with it Matplotlib, which a plan does without

        results, plots = self.folder / RESULTS, self.folder / PLOTS
        written: list[Path] = []
        for artefact, tensors in answer.artefacts.items():
            written.append(results / f"{artefact}.safetensors")
            write_tensors(written[-1], tensors)
        for table in answer.tables:
            written += [results / f"{table.name}.csv", results / f"{table.name}.json"]
            write_text(written[-2], to_csv(table))
            write_json(written[-1], to_json(table))
        shown = [plot for plot in answer.plots if plot.shows_something]
        for plot in shown:
            written += [plots / f"{plot.name}{ending}" for ending in (".png", ".svg", ".json", VEGA_LITE)]
            save_plot(plot, written[-4:-2], self._pictured)
            for file, value in zip(written[-2:], (asdict(plot), to_vega_lite(plot)), strict=True):
                write_text(file, json.dumps(value, separators=(",", ":")) + "\n")
        self._manifest["analyses"][name] = {
            "n": settings.n,
            "settings": _plain(settings),
            "tables": [table.name for table in answer.tables],
            "plots": [plot.name for plot in shown],
            "files": {str(f.relative_to(self.folder)): sha256(f) for f in written},
        }
        self._save()

    def leave_out(self, name: str, why: str) -> None:
        """Note that an analysis was not run."""
        self._manifest["absent"][name] = why
        self._manifest["analyses"].pop(name, None)
        self._save()

    def tables(self, name: str) -> list[Table]:
        """The tables of an analysis, as they were written."""
        return [
            read_table(inside(self.folder, f"{RESULTS}/{t}.json")) for t in self._manifest["analyses"][name]["tables"]
        ]

    def table_file(self, name: str) -> Path:
        """The CSV of a table."""
        return inside(self.folder, f"{RESULTS}/{name}.csv")

    @property
    def pictures(self) -> list[Path]:
        """Every plot that was written, as a picture."""
        plots = (plot for entry in self._manifest["analyses"].values() for plot in entry["plots"])
        return [inside(self.folder, f"{PLOTS}/{plot}.png") for plot in plots]

    @property
    def picture_header(self) -> Mapping[str, str]:
        """What the header of every picture of the run says."""
        return self._pictured

    def finish(self, recordings: Mapping[str, Any]) -> None:
        """Complete the manifest: recordings used, hashes of all results, wall time; and tell it as a crate."""
        told = set(_told_of_results(self.folder))
        files = (f for f in self.folder.rglob("*") if f.is_file() and f not in told)
        results = sorted(f for f in files if f.name not in LEFT_BY_SYSTEMS)
        hashes = {str(f.relative_to(self.folder)): sha256(f) for f in results if not f.name.startswith(".")}
        self._manifest |= {"state": "finished", "ended": _now(), "recordings": dict(recordings), "results": hashes}
        self._save()
        stated = as_kind(read_json(self.folder / MANIFEST), Manifest, MANIFEST, "a manifest")
        write_crate(self.folder, MANIFEST, stated)
        release_folder(self.folder)

    def _save(self) -> None:
        self._manifest["seconds"] = round(self._seconds + time.monotonic() - self._begin, 1)
        write_json(self.folder / MANIFEST, self._manifest)


def _told_of_results(folder: Path) -> Iterator[Path]:
    """Manifests, crates and what was made from results, here and in the runs of trainings: what may be made again."""
    for manifest in folder.rglob(MANIFEST):
        yield from (manifest, manifest.parent / CRATE)
        yield from (manifest.parent / name for name in read_json(manifest).get("derived", ()))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _written(manifest: Mapping[str, Any]) -> list[str]:
    """The names of the files that an earlier try wrote, of those that this schema knows."""
    if manifest.get("schema") != SCHEMA:
        return []
    return [name for entry in manifest.get("analyses", {}).values() for name in entry["files"]]


def used_recordings(
    pool: ExpertPool, recordings: Mapping[Visits, Recording], store: RecordingStore
) -> dict[str, dict[str, Any]]:
    """For the manifest: each recording with its largest visits, its cost, and the hashes of its files in the store.

    Visits that differ in their number of samples alone share a recording; `n` has all of them.
    """
    used: dict[str, dict[str, Any]] = {}
    for visits in sorted(recordings, key=lambda v: v.n):
        recording, observables = recordings[visits], tuple(recordings[visits].observed)
        files = recording_files(pool, visits, observables, store)
        smaller = used.get(recording.key, {"n": [], "observables": [], "files": {}})
        place = store.folder / recording.key
        used[recording.key] = {
            "visits": {"kind": type(visits).__name__.lower(), **vars(visits)},
            "n": [*smaller["n"], visits.n],
            "observables": sorted({*smaller["observables"], *observables}),
            "expert evaluations": int(recording.evaluations.sum()),
            "files": smaller["files"] | {str(f.relative_to(place)): sha256(f) for f in files},
        }
    return used


def _hardware(pool_device: str) -> dict[str, Any]:
    hardware: dict[str, Any] = {
        "machine": platform.machine(),
        "system": platform.system(),
        "processor": _processor(),
        "cores": default_workers(),
        "device": pool_device,
    }
    if pool_device.startswith("cuda"):
        import torch

        hardware["accelerator"] = torch.cuda.get_device_name(pool_device)
    return hardware


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = read_text(Path("/proc/cpuinfo")).split("\n")
    except InputError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _code() -> str:
    """A hash of our own source, so that results of other code are never taken for this one's."""
    here = Path(__file__).resolve().parents[2]
    places = (here / package for package in ("mnist_ddm", "paris_ddm"))
    files = sorted(f for p in places for f in p.rglob("*") if f.suffix in (".py", ".toml") and f.is_file())
    return digest({str(f.relative_to(here)): sha256(f) for f in files})


def _git() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that the package lies in; ``None`` for an installed package."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        commit, status = _ask_git(here, "rev-parse", "HEAD"), _ask_git(here, "status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(status)}


def _ask_git(place: Path, *arguments: str) -> str:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    answer = subprocess.run(
        ["git", *arguments], cwd=place, env=environment, capture_output=True, text=True, timeout=10, check=True
    )
    return answer.stdout.strip()
