"""The run folder: results and pictures of analyses, with a manifest that says how they were made."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

from mnist_ddm.analyses.analysis import Analysis, Answer, Settings
from mnist_ddm.compute.parallel import default_workers
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError
from mnist_ddm.figures.png import save_plot
from mnist_ddm.storage.files import digest, read_json, sha256, write_json, write_tensors, write_text
from mnist_ddm.study.record import recording_files
from mnist_ddm.study.study import Plan
from mnist_ddm.tables.terminal import to_csv, to_json
from mnist_ddm.versions import versions

SCHEMA = 2
MANIFEST = "manifest.json"
RESULTS, PLOTS, SAMPLES = "results", "plots", "samples"
"""The folders of a run: tables and tensors, plots as data and as pictures, grids of samples."""


def identity(
    pool: ExpertPool, settings: Settings, experiments: Iterable[str], study: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What makes two runs the same run; ``study`` is what a scale decides beside the settings."""
    return {
        "system": pool.name,
        **({"description": pool.description} if pool.description else {}),
        "fingerprints": dict(pool.fingerprints),
        "experiments": list(experiments),
        "settings": asdict(settings),
        **({"study": dict(study)} if study is not None else {}),
    }


def default_folder(what: dict[str, Any]) -> Path:
    """A folder below `runs/` that belongs to this run alone."""
    return Path("runs") / f"{what['system']}-{digest(what)[:8]}"


@final
class RunFolder:
    """A folder that one run writes its results to, one analysis after the other."""

    def __init__(
        self, folder: Path, what: dict[str, Any], command: str, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Open a folder for a run, or go on with one that the same run began.

        Args:
            folder: its place.
            what: the run's `identity`.
            command: as it was typed.
            facts: more for the manifest: hashes of sources, names, options that load the system again.

        Raises:
            InputError: if the folder holds anything else, or cannot be written.
        """
        self.folder = folder
        self._command = command
        self._system = f"{what['system']}, {what['description']}" if "description" in what else str(what["system"])
        self._begin = time.monotonic()
        manifest = folder / MANIFEST
        before: dict[str, Any] = {}
        if manifest.exists():
            before = read_json(manifest)
            if before.get("run") != what:
                raise InputError(f"{folder} holds another run; choose another --out")
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} is not an empty folder and holds no {MANIFEST}; choose another --out")
        self._manifest: dict[str, Any] = {
            "schema": SCHEMA,
            "state": "running",
            "command": command,
            "run": what,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "code": _code(),
            "hardware": _hardware(pool_device=str((facts or {}).get("device", "cpu"))),
            "git": _git(),
            **(facts or {}),
            "absent": {},
            "analyses": {},
        }
        # Results of an earlier try of the same code and software are taken over; `has` checks their files.
        self._seconds = 0.0
        if all(before.get(key) == self._manifest[key] for key in ("schema", "versions", "code")):
            kept: dict[str, Any] = {key: before[key] for key in ("started", "analyses") if key in before}
            self._manifest |= kept
            self._seconds = float(before.get("seconds", 0.0))
        else:
            # Nothing of other code may be mistaken for this run's.
            for found in before.get("analyses", {}).values():
                for name in found["files"]:
                    (folder / name).unlink(missing_ok=True)
        for left_by_a_kill in folder.rglob(".*.tmp*"):
            left_by_a_kill.unlink(missing_ok=True)
        write_json(manifest, self._manifest)

    def has(self, analysis: Analysis, settings: Settings) -> bool:
        """Whether an earlier try of the same run left the analysis' results whole."""
        found = self._manifest["analyses"].get(analysis.id)
        if found is None or found["settings"] != asdict(settings):
            return False
        files = {self.folder / name: value for name, value in found["files"].items()}
        return all(file.exists() and sha256(file) == value for file, value in files.items())

    def write(self, analysis: Analysis, settings: Settings, findings: Answer) -> list[Path]:
        """Write tables as CSV and JSON and plots as data and as PNG; returns the pictures."""
        written, pictures = [], []
        results, plots = self.folder / RESULTS, self.folder / PLOTS
        for name, tensors in findings.artefacts.items():
            written.append(results / f"{name}.safetensors")
            write_tensors(written[-1], tensors)
        for table in findings.tables:
            written += [results / f"{table.name}.csv", results / f"{table.name}.json"]
            write_text(written[-2], to_csv(table))
            write_json(written[-1], to_json(table))
        for plot in findings.plots:
            pictures.append(plots / f"{plot.name}.png")
            save_plot(plot, pictures[-1], {"Description": self._command, "System": self._system})
            written += [pictures[-1], plots / f"{plot.name}.json"]
            write_text(written[-1], json.dumps(asdict(plot), separators=(",", ":")) + "\n")
        self._manifest["analyses"][analysis.id] = {
            "n": settings.n,
            "settings": asdict(settings),
            "tables": [table.name for table in findings.tables],
            "plots": [plot.name for plot in findings.plots],
            "files": {str(f.relative_to(self.folder)): sha256(f) for f in written},
        }
        self._save()
        return pictures

    def leave_out(self, analysis: Analysis, why: str) -> None:
        """Note that an analysis was not run."""
        self._manifest["absent"][analysis.id] = why
        self._manifest["analyses"].pop(analysis.id, None)
        self._save()

    def finish(self, recordings: Mapping[str, Any]) -> None:
        """Complete the manifest: recordings used, hashes of all results, wall time."""
        results = sorted(f for f in self.folder.rglob("*") if f.is_file() and f.name != MANIFEST)
        hashes = {str(f.relative_to(self.folder)): sha256(f) for f in results if not f.name.startswith(".")}
        self._manifest |= {"state": "finished", "recordings": dict(recordings), "results": hashes}
        self._save()

    def _save(self) -> None:
        self._manifest["seconds"] = round(self._seconds + time.monotonic() - self._begin, 1)
        write_json(self.folder / MANIFEST, self._manifest)


def used_recordings(
    pool: ExpertPool, plan: Plan, recordings: Mapping[Visits, Recording], folder: Path
) -> dict[str, dict[str, Any]]:
    """For the manifest: each recording with its largest run, its cost, and the hashes of its files below ``folder``.

    Runs that differ in their number of samples alone share a recording; `n` has all of them.
    """
    found: dict[str, dict[str, Any]] = {}
    for run, recording in sorted(recordings.items(), key=lambda item: item[0].n):
        files = recording_files(pool, run, plan.observables[run], folder)
        smaller = found.get(recording.key, {"n": [], "observables": [], "files": {}})
        found[recording.key] = {
            "run": {"kind": type(run).__name__.lower(), **vars(run)},
            "n": [*smaller["n"], run.n],
            "observables": sorted({*smaller["observables"], *plan.observables[run]}),
            "expert evaluations": int(recording.evaluations.sum()),
            "files": smaller["files"] | {str(f.relative_to(folder / recording.key)): sha256(f) for f in files},
        }
    return found


def _hardware(pool_device: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "machine": platform.machine(),
        "system": platform.system(),
        "processor": _processor(),
        "cores": default_workers(),
        "device": pool_device,
    }
    if pool_device.startswith("cuda"):
        import torch

        found["accelerator"] = torch.cuda.get_device_name(pool_device)
    return found


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _code() -> str:
    """A hash of this package's own source, so that results of other code are never taken for this one's."""
    package = Path(__file__).resolve().parents[1]
    files = sorted(f for f in package.rglob("*") if f.suffix in (".py", ".toml") and f.is_file())
    return digest({str(f.relative_to(package)): sha256(f) for f in files})


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
