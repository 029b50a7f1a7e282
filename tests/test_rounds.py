"""Samples where claims are open, and looks that do not fool oneself."""

import math

import numpy as np
import pytest
from scipy import stats
from test_claims import claim, compare, results

from mnist_ddm import Study
from mnist_ddm.claims.judge import Verdict, judge, judge_all
from mnist_ddm.claims.rounds import LARGEST, LEVEL_OF_A_LOOK, LOOKS, next_round, predicted_power
from mnist_ddm.cli.rounds import _answers, _cost_of
from mnist_ddm.errors import InputError, NotFiniteError
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.storage.recordings import RecordingStore


def _normal(total, n):
    if math.isnan(total):
        return Estimate(1.0, math.nan, math.nan)
    half = 1.96 / math.sqrt(n)
    return Estimate(total / n, total / n - half, total / n + half)


@pytest.mark.parametrize(("level", "honest"), [(LEVEL_OF_A_LOOK, True), (0.05, False)])
def test_looking_after_every_round_finds_nothing_that_is_not_there(level, honest):
    rng, tries, found = np.random.Generator(np.random.Philox(3)), 2000, 0
    asked = claim(compare("above", "x", limit=0))
    for _ in range(tries):
        total, n = 0.0, 0
        for look in range(LOOKS):
            new = 50 if look == 0 else n
            total, n = total + rng.normal(0, math.sqrt(new)), n + new
            rows = [{"routing": "x", "value": _normal(total, n)}]
            if judge(asked, results(rows, level=level)).verdict is not Verdict.OPEN:
                found += 1
                break
    assert (found / tries <= 0.05) is honest


def _open(name, mean, n, analysis="expert-deviation"):
    one = claim(compare("above", name, limit=0), analyses=(analysis,))
    rows = [{"routing": name, "value": _normal(mean * n, n)}]
    return judge_all([one], results(rows, samples={analysis: n}, level=LEVEL_OF_A_LOOK))[0]


def test_the_power_that_is_predicted_is_that_of_a_simulation():
    judged = _open("x", 0.2, 100)
    growth, factor = judged.needed / 100, 2.0
    n = int(100 * factor)
    reach = stats.norm.ppf(1 - LEVEL_OF_A_LOOK / 2)
    assert predicted_power(growth, factor) == pytest.approx(stats.norm.sf(reach - 0.2 * math.sqrt(n)), abs=0.02)
    assert 0.8 <= predicted_power(growth, growth) <= 0.87


def _cost(each):
    def cost(sizes):
        return (sum(each[a] * n for a, n in sizes.items()),) * 2

    return cost


def test_a_round_decides_most_for_its_evaluations_while_time_suffices():
    cheap, dear = _open("x", 0.2, 100, "expert-deviation"), _open("x", 0.2, 100, "disagreement")
    cost = _cost({"expert-deviation": 1, "disagreement": 100})
    sizes = {"expert-deviation": 100, "disagreement": 100}
    both = next_round([cheap, dear], sizes, cost, 1e9)
    assert set(both.sizes) == {"expert-deviation", "disagreement"}
    assert both.sizes["expert-deviation"] >= cheap.needed
    short = next_round([cheap, dear], sizes, cost, 1000)
    assert set(short.sizes) == {"expert-deviation"}
    assert short.postponed == (dear.claim.id,)
    assert next_round([cheap, dear], sizes, cost, 1).sizes == {}


def test_what_no_affordable_number_decides_is_hopeless():
    far, never = _open("x", 0.001, 100), _open("x", 0.0, 100)
    found = next_round([far, never], {"expert-deviation": 100}, _cost({"expert-deviation": 1}), 1e9)
    assert found.sizes == {}
    assert far.needed > LARGEST
    assert set(found.hopeless) == {"toy"}
    decided = _open("x", 1.0, 100)
    assert decided.verdict is Verdict.REPRODUCED
    assert next_round([decided], {"expert-deviation": 100}, _cost({"expert-deviation": 1}), 1e9).sizes == {}


def test_what_nobody_can_predict_comes_after_what_can_be():
    told, untold = _open("x", 0.2, 100, "expert-deviation"), _open("x", math.nan, 100, "disagreement")
    assert untold.needed is None
    sizes, cost = {"expert-deviation": 100, "disagreement": 100}, _cost({"expert-deviation": 100, "disagreement": 1})
    both = next_round([untold, told], sizes, cost, 1e9).sizes
    assert set(both) == set(sizes)
    in_time = next_round([untold, told], sizes, cost, cost({"expert-deviation": both["expert-deviation"]})[1])
    assert set(in_time.sizes) == {"expert-deviation"}
    at_most = next_round([untold], {"disagreement": LARGEST // 2}, cost, 1e9)
    assert (at_most.sizes, at_most.hopeless) == ({}, {"toy": None})


@pytest.mark.slow
def test_a_claim_that_is_open_gets_samples_until_it_is_decided(run, place):
    out = place / "decided"
    command = ("reproduce", "--system", "gaussian", "--scale", "medium", "--only", "chain-refinement", "--workers", 1)
    code, text, error = run(*command, "--until-decided", "--hours", 0.02, "--out", out)
    assert code == 0, error
    assert "look 1 of at most 4" in text
    assert run("verify", out)[0] == 0
    assert run(*command, "--until-decided", "--out", out)[0] == 2


@pytest.mark.parametrize("hours", ["0", "-1", "inf", "nan", "1e9"])
def test_hours_are_a_number_of_hours(run, hours):
    assert run("reproduce", "--system", "gaussian", "--until-decided", "--hours", hours)[0] == 2


def test_the_largest_recordings_that_exist_are_found(gaussian, tmp_path):
    store = RecordingStore(tmp_path)
    Study(gaussian, ["averaging-variance"], n=12, steps=4, store=store).record()
    smaller = Study(gaussian, ["averaging-variance", "expert-deviation"], n=5, steps=4, store=store)
    assert smaller.recorded_sizes([8, 12, 20]) == {"averaging-variance": 12}
    assert smaller.recorded_sizes([4, 20]) == {}
    larger = Study(gaussian, ["averaging-variance"], n=5, steps=4, store=store, sizes={"averaging-variance": 12})
    assert larger.settings["averaging-variance"].n == 12
    assert not larger.plan().missing


@pytest.mark.parametrize(("error", "goes_on"), [(InputError, True), (NotFiniteError, False)])
def test_a_look_leaves_out_what_cannot_be_answered(gaussian, monkeypatch, error, goes_on):
    study = Study(gaussian, ["averaging-variance", "expert-deviation"], n=5, steps=4)
    recordings, answer_one = study.record(), Study.answer_one

    def fails(self, name, made):
        if name == "expert-deviation":
            raise error("no")
        return answer_one(self, name, made)

    monkeypatch.setattr(Study, "answer_one", fails)
    if goes_on:
        assert set(_answers(study, recordings)) == {"averaging-variance"}
    else:
        with pytest.raises(error):
            _answers(study, recordings)


def test_a_round_costs_its_tables_too(gaussian, tmp_path, monkeypatch):
    """Those of the look, and those of the run that is written in the end."""
    made = Study(gaussian, ["averaging-variance"], n=4, steps=2, store=RecordingStore(tmp_path))
    made.record()
    monkeypatch.setattr(Study, "table_seconds", 30.0)
    evaluations, seconds = _cost_of(lambda sizes: made, {}, 1)({"averaging-variance": 4})
    assert (evaluations, seconds) == (0, 60.0)
