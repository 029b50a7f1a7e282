"""Reading what a run left: its manifest and its tables. Verdicts, comparisons and the report see nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import read_json
from mnist_ddm.study.folder import MANIFEST, RESULTS, SCHEMA
from mnist_ddm.study.scales import scale_named
from mnist_ddm.tables.files import read_table
from mnist_ddm.tables.table import Table

_KEYS = ("command", "run", "analyses", "results", "recordings", "claims")


@dataclass(frozen=True)
class Results:
    """What one run measured, without how.

    Attributes:
        system: that was measured.
        tables: by name.
        absent: for each analysis that was left out, why.
        samples: for each analysis that was run, its number of samples.
        seed: of the run.
        makes_claims: whether there are enough samples to say anything about the paper.
        scale: the name of the study's size.
    """

    system: str
    tables: Mapping[str, Table]
    absent: Mapping[str, str] = field(default_factory=dict)
    samples: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    makes_claims: bool = True
    scale: str = ""


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished run.

    Raises:
        InputError: if the folder holds no run, one of another schema, or one that has not finished.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise InputError(f"{folder} is not a run: it has no {MANIFEST}")
    manifest = read_json(path)
    command = manifest.get("command", "its command")
    if manifest.get("schema") != SCHEMA:
        raise InputError(f"{path} has schema {manifest.get('schema')}, not {SCHEMA}; run `{command}` again")
    if manifest.get("state") != "finished":
        raise InputError(f"{folder} is a run that has not finished; `{command}` goes on with it")
    for key in _KEYS:
        if key not in manifest:
            raise InputError(f"{path} has no {key!r}; restore it or run its command again")
    return manifest


def read_results(folder: Path) -> Results:
    """The results of a finished run.

    Raises:
        InputError: as `read_manifest`, and if a table is missing or cannot be read; the message names the file.
    """
    manifest = read_manifest(folder)
    run, analyses = manifest["run"], manifest["analyses"]
    names = [name for entry in analyses.values() for name in entry["tables"]]
    scale = scale_named(run["scale"])
    return Results(
        system=run["system"],
        tables={name: read_table(folder / RESULTS / f"{name}.json") for name in names},
        absent=manifest.get("absent", {}),
        samples={name: entry["n"] for name, entry in analyses.items()},
        seed=run["seed"],
        makes_claims=scale.makes_claims,
        scale=scale.name,
    )
