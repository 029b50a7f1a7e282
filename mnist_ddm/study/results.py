"""Reading what a run left: its manifest and its tables. Verdicts, comparisons and the report see nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mnist_ddm.analyses.analysis import Answer
from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import read_json
from mnist_ddm.storage.names import inside
from mnist_ddm.storage.typed import as_kind
from mnist_ddm.study.folder import MANIFEST, RESULTS, SCHEMA
from mnist_ddm.study.manifest import Manifest
from mnist_ddm.study.scales import scale_named
from mnist_ddm.study.study import Study
from mnist_ddm.tables.files import read_table
from mnist_ddm.tables.table import Table

_KEYS = ("command", "run", "analyses", "results", "recordings", "claims")
"""What a finished run says; other keys may be missing."""


@dataclass(frozen=True)
class Results:
    """What one run measured, without how.

    Attributes:
        system: that was measured, as results call it.
        tables: by name.
        absent: for each analysis that was left out, why.
        samples: for each analysis that was run, its number of samples.
        seed: of the run.
        makes_claims: whether there are enough samples to say anything about the paper.
        scale: the name of the study's size.
        in_paper: the system of the paper whose data were measured; empty for other data.
        level: error rate of the intervals that decide; below 5% if the run is looked at more than once.
        trainings: how many trainings it is the mean of.
    """

    system: str
    tables: Mapping[str, Table]
    absent: Mapping[str, str] = field(default_factory=dict)
    samples: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    makes_claims: bool = True
    scale: str = ""
    in_paper: str = ""
    level: float = 0.05
    trainings: int = 1

    def __repr__(self) -> str:
        names = ", ".join(f"{table.name} ({len(table.rows)} rows)" for table in self.tables.values())
        return f"<Results of {self.system}: {names or 'no tables'}>"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished run.

    Raises:
        InputError: if the folder holds no run, one of another schema, or one that has not finished, or if the manifest
            is spoiled.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise InputError(f"{folder} is not a run: it has no {MANIFEST}")
    stated = read_json(path)
    command = str(stated.get("command", "its command"))[:150]
    if stated.get("schema") != SCHEMA:
        raise InputError(f"{path} has schema {stated.get('schema')!r}, not {SCHEMA}; run `{command}` again")
    if stated.get("state") != "finished":
        raise InputError(f"{folder} is a run that has not finished; `{command}` goes on with it")
    for key in _KEYS:
        if key not in stated:
            raise InputError(f"{path} has no {key!r}; restore it or run its command again")
    return as_kind(stated, Manifest, str(path), "a manifest; restore it or run its command again")


def read_results(folder: Path) -> Results:
    """The results of a finished run.

    Raises:
        InputError: as `read_manifest`, and if a table is missing or cannot be read; the message names the file.
    """
    manifest = read_manifest(folder)
    run, analyses = manifest.run, manifest.analyses
    names = [name for entry in analyses.values() for name in entry.tables]
    scale = scale_named(run.scale)
    return Results(
        system=manifest.title or run.system,
        tables={name: read_table(inside(folder, f"{RESULTS}/{name}.json")) for name in names},
        absent=manifest.absent,
        samples={name: entry.n for name, entry in analyses.items()},
        seed=run.seed,
        makes_claims=scale.makes_claims,
        scale=scale.name,
        in_paper=manifest.in_paper,
        level=run.level,
        trainings=max(1, len(run.trainings)),
    )


def results_of(study: Study, answers: Mapping[str, Answer], level: float) -> Results:
    """The results of a study that has not been written."""
    return Results(
        system=study.pool.title,
        tables={table.name: table for answer in answers.values() for table in answer.tables},
        absent=study.absent,
        samples={name: settings.n for name, settings in study.settings.items()},
        seed=next((settings.seed for settings in study.settings.values()), 0),
        makes_claims=study.scale.makes_claims,
        scale=study.scale.name,
        in_paper=study.pool.in_paper,
        level=level,
    )
