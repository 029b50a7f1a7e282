"""--json: on standard output one JSON value and nothing else, with the same content as for people."""

import json
import math

import pytest

from mnist_ddm.terminal.streams import print_json

ANALYZE = (
    "analyze",
    "--system",
    "gaussian",
    "--analysis",
    "averaging-variance",
    "--n",
    12,
    "--steps",
    4,
    "--workers",
    1,
)


@pytest.fixture
def told(monkeypatch, call_command, tmp_path):
    """Run a command with --json in an empty folder; returns what it said."""
    monkeypatch.chdir(tmp_path)

    def tell(*command):
        code, out, err = call_command(*command, "--json")
        assert code == 0, err
        return json.loads(out)

    return tell


def test_json_has_no_infinity_and_no_nan(capsys):
    print_json({"a": [1.5, math.inf, {"b": (math.nan, 2)}], 3: "ä"})
    assert json.loads(capsys.readouterr().out) == {"a": [1.5, None, {"b": [None, 2]}], "3": "ä"}


def test_info_lists_what_there_is(told):
    overview = told("info")
    assert "gaussian" in overview["systems"]
    assert overview["solvers"][1] == "heun (order 2)"
    assert told("info", "routings")["strategies"]["label"].startswith("The expert of the cluster")
    assert "cost-and-quality" in told("info", "analyses")["group regimes"]
    assert told("info", "features")["system gaussian"]["--features"] == ["raw"]
    card = told("info", "checkpoint", "mnist-classroom")
    assert any(isinstance(value, dict) and value["rows"] for value in card.values())


def test_a_sample_says_where_it_is_and_what_it_cost(told, tmp_path):
    found = told("sample", "--system", "gaussian", "--routing", "top2", "--n", 4, "--steps", 3, "--out", "a.png")
    assert found == {
        "system": "gaussian", "routing": "top2", "n": 4, "seed": 0, "solver": "heun", "steps": 3,
        "field_evaluations": 5, "expert_evaluations": found["expert_evaluations"], "picture": "a.png",
    }  # fmt: skip
    assert 5 <= found["expert_evaluations"] <= 10
    assert (tmp_path / "a.png").exists()


def test_an_analysis_says_its_tables_and_a_comparison_what_differs(told, tmp_path, call_command):
    first = told(*ANALYZE, "--out", "a")
    written = json.loads((tmp_path / "a" / "results" / "averaging-variance.json").read_text())
    assert first["tables"] == {"averaging-variance": written}
    assert first["folder"] == "a"
    assert told(*ANALYZE, "--out", "a")["tables"] == first["tables"]  # taken over from the folder
    told(*ANALYZE, "--seed", 1, "--out", "b")
    compared = told("compare", "a", "b")
    assert compared["a"] == {"folder": "a", "system": "gaussian"}
    assert any("seed" in row.values() for row in compared["facts"]["rows"])
    assert compared["tables"][0]["rows"]
    code, _, err = call_command(*ANALYZE, "--shard", "1/2", "--json")
    assert code == 2
    assert "leave --json to the last command" in err


def test_a_plan_says_what_it_would_take(told):
    plan = told("reproduce", "--system", "gaussian", "--only", "chain-variance", "--plan")
    assert plan["missing"] == plan["recordings"] > 0
    assert plan["expert_evaluations"] > 0
    assert plan["analyses"]["averaging-variance"]["n"] > 0
