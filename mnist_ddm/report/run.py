"""The run folder: results and pictures of analyses, with a manifest that says how they were made."""

import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

from mnist_ddm.analyses.base import Findings, Settings
from mnist_ddm.core.errors import InputError
from mnist_ddm.core.files import digest, read_json, sha256, write_json, write_tensors, write_text
from mnist_ddm.core.parallel import default_workers
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.report.plots import save_plot
from mnist_ddm.report.tables import to_csv, to_json
from mnist_ddm.versions import versions

SCHEMA = 1
MANIFEST = "manifest.json"


def identity(pool: ExpertPool, settings: Settings, experiments: Iterable[str]) -> dict[str, Any]:
    """What makes two runs the same run."""
    return {
        "system": pool.name,
        **({"description": pool.description} if pool.description else {}),
        "fingerprints": dict(pool.fingerprints),
        "experiments": list(experiments),
        "settings": asdict(settings),
    }


def default_folder(what: dict[str, Any]) -> Path:
    """A folder below `runs/` that belongs to this run alone."""
    return Path("runs") / f"{what['system']}-{digest(what)[:8]}"


@final
class RunFolder:
    """A folder that one run writes its results to."""

    def __init__(self, folder: Path, what: dict[str, Any], command: str) -> None:
        """Open a folder for a run, or go on with one that the same run began.

        Raises:
            InputError: if the folder holds anything else, or cannot be written.
        """
        self.folder = folder
        self._command = command
        self._system = f"{what['system']}, {what['description']}" if "description" in what else str(what["system"])
        manifest = folder / MANIFEST
        if manifest.exists():
            if read_json(manifest).get("run") != what:
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
            "hardware": {"machine": platform.machine(), "system": platform.system(), "cores": default_workers()},
            "git": _git(),
        }
        write_json(manifest, self._manifest)

    def write(self, findings: Findings) -> list[Path]:
        """Write tables as CSV and JSON and plots as PNG; returns the pictures."""
        for name, tensors in findings.artefacts.items():
            write_tensors(self.folder / "results" / f"{name}.safetensors", tensors)
        for table in findings.tables:
            write_text(self.folder / "results" / f"{table.name}.csv", to_csv(table))
            write_json(self.folder / "results" / f"{table.name}.json", to_json(table))
        pictures = []
        for plot in findings.plots:
            pictures.append(self.folder / "plots" / f"{plot.name}.png")
            save_plot(plot, pictures[-1], {"Description": self._command, "System": self._system})
        return pictures

    def finish(self, recordings: dict[str, Any], seconds: float) -> None:
        """Complete the manifest: recordings used, hashes of all results, wall time."""
        results = sorted(f for f in self.folder.rglob("*") if f.is_file() and f.name != MANIFEST)
        hashes = {str(f.relative_to(self.folder)): sha256(f) for f in results}
        end = {"state": "finished", "seconds": round(seconds, 1), "recordings": recordings, "results": hashes}
        write_json(self.folder / MANIFEST, {**self._manifest, **end})


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
