"""A finished run as a run of MLflow: settings as parameters, measured numbers as metrics, files as artefacts.

>>> from mnist_ddm.interop.mlflow import to_mlflow
>>> to_mlflow("runs/mine", tracking_uri="file:mlruns")
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import sha256
from mnist_ddm.storage.names import inside
from mnist_ddm.study.folder import MANIFEST
from mnist_ddm.study.results import read_manifest, read_results
from mnist_ddm.tables.frames import flat_rows
from mnist_ddm.tables.table import Table

_LONGEST_NAME, _LONGEST_VALUE = 250, 500
_AT_ONCE = 100
"""MLflow takes so many parameters in a call, and more metrics than that."""


def to_mlflow(
    folder: Path | str, *, experiment: str = "mnist-ddm", tracking_uri: str | None = None, client: Any = None
) -> str:
    """Log a run folder; returns the identifier of MLflow's run.

    A metric is named by its table, the row's keys and its column: ``quality/top1/fid``; the ends of an interval are
    ``..._low`` and ``..._high``. A number that is none is left out.

    Args:
        folder: of `analyze` or `reproduce`, finished.
        experiment: of MLflow, made if there is none.
        tracking_uri: where MLflow keeps its runs, such as ``file:mlruns``; by default what is set in its environment.
        client: an `mlflow.MlflowClient`.

    Raises:
        InputError: if the folder is no finished run, one of its files is damaged, or MLflow is not installed.
    """
    folder = Path(folder)
    manifest, results = read_manifest(folder), read_results(folder)
    files = [(folder / MANIFEST, ""), *_files(folder, {**manifest.results, **manifest.derived})]
    metrics = _named(pair for table in results.tables.values() for pair in _metrics(table))
    settings = {
        _plain(f"{name}.{key}"): str(value)[:_LONGEST_VALUE]
        for name, entry in manifest.analyses.items()
        for key, value in entry.settings.items()
    }
    client, kinds = (_client(tracking_uri) if client is None else client), _kinds()
    known = client.get_experiment_by_name(experiment)
    place = client.create_experiment(experiment) if known is None else known.experiment_id
    tags = {"system": results.system, "command": manifest.command, "code": manifest.code, "scale": results.scale}
    run = client.create_run(place, run_name=folder.name, tags=tags).info.run_id
    for params in _parts([kinds.Param(key, value) for key, value in settings.items()]):
        client.log_batch(run, params=params)
    for numbers in _parts([kinds.Metric(key, value, 0, 0) for key, value in metrics.items()]):
        client.log_batch(run, metrics=numbers)
    for file, below in files:
        client.log_artifact(run, str(file), below or None)
    client.set_terminated(run)
    return str(run)


def _parts(values: list[Any]) -> Iterator[list[Any]]:
    return (values[i : i + _AT_ONCE] for i in range(0, len(values), _AT_ONCE))


def _files(folder: Path, hashes: dict[str, str]) -> Iterator[tuple[Path, str]]:
    """The files that the manifest names and the folder of each below the run's."""
    for name, expected in hashes.items():
        file = inside(folder, name)
        if not file.exists() or sha256(file) != expected:
            raise InputError(f"{file} is missing or was changed: its hash is not that of {MANIFEST}; restore it")
        below = str(file.parent.relative_to(folder))
        yield file, "" if below == "." else below


def _metrics(table: Table) -> Iterator[tuple[str, float]]:
    """Each measured number of a table with its name."""
    keys = [column.key for column in table.schema.keys]
    measured = {column.key for column in table.schema.columns if column.role == "measure"}
    for row in flat_rows(table):
        place = [table.name, *(str(row[key]) for key in keys if row.get(key) is not None)]
        for key, value in row.items():
            of = re.sub(r"_(low|high)$", "", key)
            number = isinstance(value, int | float) and not isinstance(value, bool) and value == value
            if number and (key in measured or of in measured):
                yield _plain("/".join([*place, key])), float(value or 0)


def _named(pairs: Iterator[tuple[str, float]]) -> dict[str, float]:
    """The pairs by name; of one name several get numbers."""
    found: dict[str, float] = {}
    for name, value in pairs:
        unique, count = name, 1
        while unique in found:
            count += 1
            unique = f"{name}.{count}"
        found[unique] = value
    return found


def _plain(name: str) -> str:
    """A name of letters that MLflow takes."""
    return re.sub(r"[^\w.\-/ ]", "_", name)[: _LONGEST_NAME - 10]


def _client(tracking_uri: str | None) -> Any:
    _kinds()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking_uri)


def _kinds() -> Any:
    try:
        from mlflow import entities
    except ImportError:
        raise InputError("runs of MLflow need mlflow: pip install 'mnist-ddm[mlflow]'") from None
    return entities
