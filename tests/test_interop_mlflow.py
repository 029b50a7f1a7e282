"""A run in MLflow's own store of files: it holds what the run's tables say; skipped where MLflow is not installed."""

import pytest

from mnist_ddm.errors import InputError
from mnist_ddm.interop.mlflow import to_mlflow
from mnist_ddm.study.folder import Provenance
from mnist_ddm.study.results import read_results
from mnist_ddm.study.study import Study
from mnist_ddm.systems.gaussian import load

mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed (pip install mlflow-skinny)")


@pytest.fixture
def run(tmp_path):
    study = Study(load(), ["averaging-variance"], n=12, steps=4)
    study.write(study.open(tmp_path / "mine", Provenance("mnist-ddm analyze ...")))
    return tmp_path / "mine"


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return mlflow.MlflowClient(tracking_uri=(tmp_path / "store").as_uri())


def test_a_run_arrives_with_its_settings_numbers_and_files(run, client):
    logged = client.get_run(to_mlflow(run, client=client))
    assert logged.info.run_name == "mine"
    assert logged.info.status == "FINISHED"
    assert logged.data.tags["system"] == "gaussian"
    assert logged.data.params["averaging-variance.n"] == "12"
    (table,) = read_results(run).tables.values()
    row = table.rows[0]
    keys = [str(row[column.key]) for column in table.schema.keys]
    metric = next(c.key for c in table.columns if c.role == "measure" and hasattr(row[c.key], "low"))
    name = "/".join([table.name, *keys, metric])
    found = logged.data.metrics
    assert (found[name], found[f"{name}_low"], found[f"{name}_high"]) == pytest.approx(
        tuple(vars(row[metric]).values())
    )
    held = {file.path for file in client.list_artifacts(logged.info.run_id, "results")}
    assert "results/averaging-variance.csv" in held
    assert "manifest.json" in {file.path for file in client.list_artifacts(logged.info.run_id)}
    assert client.get_run(to_mlflow(run, client=client)).info.experiment_id == logged.info.experiment_id


def test_a_damaged_run_is_refused_before_anything_is_logged(run, client):
    (run / "results" / "averaging-variance.csv").write_text("other")
    with pytest.raises(InputError, match=r"averaging-variance\.csv is missing or was changed"):
        to_mlflow(run, client=client)
    assert client.get_experiment_by_name("mnist-ddm") is None
