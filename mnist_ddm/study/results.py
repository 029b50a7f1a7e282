"""Reading what a run left: its manifest and its tables. Verdicts, comparisons and the report see nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnist_ddm.analyses.analysis import Plot, Series, Table, Value
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.storage.files import read_json
from mnist_ddm.study.folder import MANIFEST, RESULTS, SCHEMA

_FIRST = 1
_NAN = float("nan")


@dataclass(frozen=True)
class Results:
    """What one run found, without how.

    Attributes:
        system: that was measured.
        tables: by name.
        names: words that the claims ledger leaves open, such as `distance`, with what they are on this system.
        absent: for each analysis that was left out, why.
        samples: for each analysis that was run, its number of samples.
        seed: of the run.
        makes_claims: whether there are enough samples to say anything about the paper.
        scale: the name of the study's size, if it had one.
    """

    system: str
    tables: Mapping[str, Table]
    names: Mapping[str, str] = field(default_factory=dict)
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
    if manifest.get("schema") not in (_FIRST, SCHEMA):
        raise InputError(f"{path} has schema {manifest.get('schema')}, not {SCHEMA}; run its command again")
    if manifest.get("state") != "finished":
        command = manifest.get("command", "the command")
        raise InputError(f"{folder} is a run that has not finished; `{command}` goes on with it")
    if manifest["schema"] == _FIRST:
        manifest["analyses"] = _analyses_of_first_schema(manifest)
    for key in ("command", "run", "analyses", "results", "recordings"):
        if key not in manifest:
            raise InputError(f"{path} has no {key!r}; restore it or run its command again")
    return manifest


def _analyses_of_first_schema(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Older manifests do not say which analysis wrote what."""
    files = [Path(name) for name in manifest.get("results", {})]
    tables = [f.stem for f in files if f.parent.name == RESULTS and f.suffix == ".json"]
    return {"all": {"n": manifest["run"]["settings"]["n"], "settings": None, "tables": tables, "plots": []}}


def read_results(folder: Path) -> Results:
    """The results of a finished run.

    Raises:
        InputError: as `read_manifest`, and if a table is missing or cannot be read; the message names the file.
    """
    manifest = read_manifest(folder)
    run, analyses = manifest["run"], manifest["analyses"]
    names = [name for found in analyses.values() for name in found["tables"]]
    study = run.get("study") or {}
    return Results(
        system=run["system"],
        tables={name: read_table(folder / RESULTS / f"{name}.json") for name in names},
        names=manifest.get("names", {}),
        absent=manifest.get("absent", {}),
        samples={name: found["n"] for name, found in analyses.items() if found["n"] is not None},
        seed=run["settings"]["seed"],
        makes_claims=study.get("makes_claims", True),
        scale=study.get("scale", ""),
    )


def read_table(path: Path) -> Table:
    """A table as `to_json` wrote it.

    Raises:
        InputError: if the file is missing or is no table.
    """
    found = read_json(path)
    try:
        rows = tuple({str(c): _value(v) for c, v in row.items()} for row in found["rows"])
        columns = tuple(rows[0]) if rows else ()
        return Table(str(found["name"]), str(found["title"]), columns, rows, tuple(map(str, found["notes"])))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a table of this program ({error!r}); restore or delete it") from error


def plot_from(value: Mapping[str, object]) -> Plot:
    """A plot as the run folder keeps it.

    Raises:
        KeyError, TypeError: if it is none.
    """
    series: Sequence[Mapping[str, object]] = value["series"]  # type: ignore[assignment]  # checked by what follows
    return Plot(**{**value, "series": tuple(Series(**s) for s in series)})  # type: ignore[arg-type]  # likewise


def key_columns(table: Table) -> list[str]:
    """The columns that say what a row is: texts and index numbers, up to the first that was measured."""
    found = []
    for column in table.columns:
        values = [row.get(column) for row in table.rows]
        if column in _INDEX or all(isinstance(v, str) for v in values):
            found.append(column)
        elif any(isinstance(v, Estimate) for v in values) or (found and column not in _COUNTS):
            break
    return found


_INDEX = ("t", "T", "p", "delta", "steps", "rank of router weight")
"""Numbers that say what a row is, not what was measured."""
_COUNTS = ("n", "states")


def _value(value: object) -> Value:
    if isinstance(value, dict):
        ends = (value[key] for key in ("value", "low", "high"))
        return Estimate(*(_NAN if end is None else float(end) for end in ends))
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"a cell holds {value!r}")
