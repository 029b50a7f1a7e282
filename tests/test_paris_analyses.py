"""Every analysis runs on Paris through the same interface as on any other system."""

import json
import shutil
from functools import cache

import pytest
from click.testing import CliRunner

from mnist_ddm import Study
from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.cli import cli
from paris_ddm.pool import ParisPool, ParisSettings

QUICK = ("cluster-distance", "generalization", "router-calibration", "quality")


def study(pool, name, **choices):
    known = vars(ANALYSES[name].sizes.full)
    return Study(pool, [name], **{key: value for key, value in choices.items() if key in known})


@pytest.fixture(scope="module")
def pool(tiny_paris):
    return ParisPool(ParisSettings(tiny_paris))


@pytest.fixture(scope="module")
def tables_of(pool):
    """From an analysis to the tables of its answer, by name; it is asked once."""

    @cache
    def answered(name):
        asked = study(pool, name, n=12 if name == "failure-predictors" else 6, steps=4)
        assert not asked.absent
        return {table.name: table for table in asked.run()[name].tables}

    return answered


@pytest.mark.long
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in ANALYSES]
)
def test_every_analysis_runs_and_says_which_weights_it_used(pool, name, tables_of):
    tables = tables_of(name)
    assert tables
    for table in tables.values():
        assert table.rows
        assert table.notes[-1] == f"system: paris, the weights in {pool.settings.path}."


@pytest.mark.long
def test_the_shift_is_held_out_captions_and_the_stress_is_guidance(pool, tables_of):
    table = tables_of("generalization")["generalization"]
    assert list(dict.fromkeys(table.column("regime"))) == ["as_trained", "shift_1", "fewer_steps"]
    assert table.row(regime="shift_1")["variant"] == "captions=held-out"
    wanted = study(pool, "generalization", n=6).plan().wanted
    assert {(visits.variant, visits.steps) for visits in wanted} == {
        ("", 50),
        ("captions=held-out", 50),
        ("guidance=7.5", 25),
    }


@pytest.mark.long
def test_adherence_has_a_row_for_each_attribute(tables_of):
    table = tables_of("quality")["quality-adherence"]
    assert set(table.column("judge")) == {"digit", "ink", "ground", "all"}
    for routing in set(table.column("routing")):
        both, digit = (table.row(routing=routing, judge=judge)["share"].value for judge in ("all", "digit"))
        assert 0 <= both <= digit <= 1


@pytest.mark.long
def test_what_a_bare_release_cannot_answer_is_said_and_the_rest_runs(tiny_paris, tmp_path):
    bare = shutil.copytree(tiny_paris, tmp_path / "bare")
    for name in ("clusters.safetensors", "real.safetensors"):
        (bare / name).unlink()
    asked = Study(ParisPool(ParisSettings(bare)), n=6)
    assert set(asked.absent) == {
        "cluster-distance",
        "router-calibration",
        "quality",
        "cost-and-quality",
        "regime-map",
        "faults",
    }
    assert all("real.safetensors" in why or "centroids" in why for why in asked.absent.values())
    assert {"expert-deviation", "disagreement", "routing-comparison"} <= asked.analyses.keys()
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


@pytest.mark.long
def test_a_group_without_some_analyses(tmp_path):
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
    plan = study(fresh, "sensitivity-profile", n=2, steps=2).plan()
    assert plan.seconds() > 0
    assert plan.bytes > 0
