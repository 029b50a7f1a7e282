"""Every analysis runs on Paris through the same interface as on any other system."""

import json
import shutil

import pytest
from click.testing import CliRunner

from mnist_ddm.analyses.analysis import Settings
from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.cli import cli
from mnist_ddm.core.recording import sample
from mnist_ddm.study.study import answer, answerable, make_plan
from paris_ddm.pool import ParisPool, ParisSettings

QUICK = ("cluster-distance", "generalization", "router-calibration", "quality")


def findings(pool, name, n=6, steps=4):
    analysis = ANALYSES[name]
    settings = analysis.settings(Settings(n=n, steps=steps))
    plan = make_plan(pool, {analysis: settings})
    recordings = {run: sample(pool, run, names) for run, names in plan.observables.items()}
    ((_, _, found),) = answer(pool, {analysis: settings}, recordings)
    return {table.name: table for table in found.tables}


@pytest.fixture(scope="module")
def pool(tiny_paris):
    return ParisPool(ParisSettings(tiny_paris))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in ANALYSES]
)
def test_every_analysis_runs_and_says_which_weights_it_used(pool, name):
    tables = findings(pool, name, n=12 if name == "failure-predictors" else 6)
    assert tables
    for table in tables.values():
        assert table.rows
        assert table.notes[-1] == f"system: paris, the weights in {pool.settings.path}."


def test_the_shift_is_held_out_captions_and_the_stress_is_guidance(pool):
    rows = findings(pool, "generalization")["generalization"].rows
    assert list(dict.fromkeys(row["regime"] for row in rows)) == ["as trained", "captions=held-out", "fewer steps"]
    runs = make_plan(pool, {ANALYSES["generalization"]: ANALYSES["generalization"].settings(Settings(n=6))}).observables
    assert {(run.variant, run.steps) for run in runs} == {("", 50), ("captions=held-out", 50), ("guidance=7.5", 25)}


def test_adherence_has_a_column_for_each_attribute(pool):
    rows = findings(pool, "quality")["quality-adherence"].rows
    assert {"digit", "ink", "ground", "all"} <= rows[0].keys()
    assert all(0 <= row["all"].value <= row["digit"].value <= 1 for row in rows)


def test_what_a_bare_release_cannot_answer_is_said_and_the_rest_runs(tiny_paris, tmp_path):
    bare = shutil.copytree(tiny_paris, tmp_path / "bare")
    for name in ("clusters.safetensors", "real.safetensors"):
        (bare / name).unlink()
    can, cannot = answerable(ParisPool(ParisSettings(bare)), {a: a.settings(Settings(n=6)) for a in ANALYSES.values()})
    assert {a.id for a in cannot} == {
        "cluster-distance",
        "router-calibration",
        "quality",
        "cost-and-quality",
        "regime-map",
    }
    assert all("real.safetensors" in why or "centroids" in why for why in cannot.values())
    assert {"expert-deviation", "disagreement", "routing-comparison"} <= {a.id for a in can}
    common = ["analyze", "--system", "paris", "--paris-dir", str(bare), "--n", "4", "--steps", "2", "--workers", "1"]
    found = CliRunner().invoke(cli, [*common, "--group", "alignment", "--out", str(tmp_path / "run")])
    assert found.exit_code == 0, found.output
    assert "not run: cluster-distance" in found.output
    told = "".join(found.output.split())  # lines are wrapped to the terminal
    assert told.startswith("".join(f"system paris (8 experts; the weights in {bare}".split()))
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["run"]["description"] == f"the weights in {bare}"
    table = json.loads((tmp_path / "run" / "results" / "expert-deviation.json").read_text())
    assert table["notes"][-1].startswith("system: paris")


def test_a_group_without_some_experiments(tmp_path):
    common = ["analyze", "--system", "gaussian", "--group", "alignment", "--n", "4", "--steps", "2", "--workers", "1"]
    left_out = ["--without", "router-calibration", "--without", "expert-deviation", "--out", str(tmp_path / "run")]
    found = CliRunner().invoke(cli, [*common, *left_out])
    assert found.exit_code == 0, found.output
    names = {file.stem for file in (tmp_path / "run" / "results").glob("*.csv")}
    assert "disagreement" in names
    assert not {name for name in names if name.startswith(("router-", "expert-"))}


def test_a_plan_can_be_timed_before_jacobians_are_looked_at(tiny_paris):
    """What is timed must not load the networks in a way that forbids derivatives later."""
    fresh = ParisPool(ParisSettings(tiny_paris))
    plan = Study(fresh, ["sensitivity-profile"], scale="small", n=2, steps=2).plan()
    assert plan.seconds() > 0
    assert plan.bytes > 0
