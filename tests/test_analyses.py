"""Analyses on the exact system against direct computations from the definitions."""

import numpy as np
import pytest
import torch
from scipy import stats

from mnist_ddm.analyses import quality as quality_module
from mnist_ddm.analyses.analysis import Settings, p_value, paper_values
from mnist_ddm.analyses.deviation import ExpertDeviation
from mnist_ddm.analyses.quality import Quality
from mnist_ddm.analyses.registry import ANALYSES, analysis_named
from mnist_ddm.core.measures import Features
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Noising, Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Estimate, bootstrap, bootstrap_of_sums, mean_estimate, spearman_estimate
from mnist_ddm.stats.summaries import integrate_over_time, quartile
from mnist_ddm.stats.tests import spearman
from mnist_ddm.study.study import make_plan
from mnist_ddm.systems.gaussian import GaussianPool, load
from mnist_ddm.tables.terminal import to_csv, to_json, to_rich

SETTINGS = Settings(n=40, steps=8)


def run(pool, name, settings=SETTINGS):
    analysis = analysis_named(name)
    filled = analysis.settings(settings)
    plan = make_plan(pool, {analysis: filled})
    recordings = {s: sample(pool, s, names) for s, names in plan.observables.items()}
    return analysis.answer(pool, recordings, filled)


def test_expert_deviation_is_the_mean_angle_by_hand():
    pool = load()
    table = run(pool, "expert-deviation").tables[0]
    found = sample(pool, Sampling("top2", n=40, steps=8), ("velocities", "velocity", "weights"))
    chosen, others = [], []
    for i in range(40):
        for j in range(8):
            blend = found.observed["velocity"][i, j].flatten().double().numpy()
            for k in range(8):
                v = found.observed["velocities"][i, j, k].flatten().double().numpy()
                cosine = np.clip(v @ blend / np.linalg.norm(v) / np.linalg.norm(blend), -1, 1)
                (chosen if found.observed["weights"][i, j, k] > 0 else others).append(np.degrees(np.arccos(cosine)))
    assert len(chosen) == 40 * 8 * 2
    rows = {row["quantity"]: row for row in table.rows}
    assert rows["selected (deg)"]["measured"].value == pytest.approx(np.mean(chosen), rel=1e-5)
    assert rows["non-selected (deg)"]["measured"].value == pytest.approx(np.mean(others), rel=1e-5)
    reduction = np.mean(others) - np.mean(chosen)
    assert rows["reduction (deg)"]["measured"].value == pytest.approx(reduction, rel=1e-5)
    assert rows["reduction (%)"]["measured"].value == pytest.approx(100 * reduction / np.mean(others), rel=1e-5)
    expected = stats.ttest_ind(chosen, others, equal_var=False).pvalue
    assert rows["p, independent"]["measured"] == pytest.approx(expected, rel=1e-2, abs=1e-300)


def test_disagreement_by_hand_and_a_system_whose_experts_agree_has_none():
    pool = load()
    table = run(pool, "disagreement").tables[0]
    full = sample(pool, Sampling("full", n=40, steps=8), ("disagreement",))
    top2 = sample(pool, Sampling("top2", n=40, steps=8))
    d = full.observed["disagreement"].double().numpy()
    integral = d[:, :-1].sum(1) / 16 + d[:, 1:].sum(1) / 16 + d[:, -1] / 8
    distance = (full.final - top2.final).flatten(1).norm(dim=1).numpy()
    rho = stats.spearmanr(integral, distance).statistic
    found = {row["D_int against"]: row["Spearman"].value for row in table.rows}
    assert found["l2"] == pytest.approx(rho, abs=1e-9)
    alike = GaussianPool(torch.zeros(3, 1, 2, 2), torch.full((3,), 0.5), torch.ones(3))
    assert sample(alike, Sampling("full", n=4, steps=3), ("disagreement",)).observed["disagreement"].abs().max() < 1e-6


def test_quality_knows_exact_samples_from_corrupted_ones():
    good, bad = load(), load(expert_error=4.0, router_temperature=100.0)
    quality, settings = Quality(dict.fromkeys(("label", "full", "once"), 400)), Settings(steps=6)
    found = []
    for pool in (good, bad):
        recordings = {r: sample(pool, r) for r in make_plan(pool, {quality: settings}).observables}
        tables = quality.answer(pool, recordings, settings).tables
        found.append({t.name: {r["routing"]: r for r in t.rows} for t in tables})
    assert found[0]["quality-classes"]["label"]["recognised"].value == 1.0
    assert found[0]["quality"]["full"]["FID"] < 0.2 * found[1]["quality"]["full"]["FID"]
    assert found[0]["quality"]["full"]["KID x 1000"].value < found[1]["quality"]["full"]["KID x 1000"].low
    assert found[0]["quality"]["full"]["coverage"] > found[1]["quality"]["full"]["coverage"]
    assert found[0]["quality"]["label"]["expert evaluations"] == 11
    assert found[0]["quality-classes"]["once"]["class imbalance"] < 0.1


def test_real_features_are_extracted_once_for_a_pool_even_for_one_that_cannot_be_hashed():
    class Unhashable:
        calls = 0

        def __eq__(self, other):
            return True

        def real_states(self, n):
            type(self).calls += 1
            return torch.arange(6.0).reshape(3, 2), None

        def decode(self, x):
            return x

    with pytest.raises(TypeError):
        hash(Unhashable())
    features = Features("raw", 2, lambda images: images)
    pool, other = Unhashable(), Unhashable()
    first = quality_module._reference(pool, features)
    assert quality_module._reference(pool, features) is first
    assert quality_module._reference(other, features) is not first
    assert Unhashable.calls == 2
    before = len(quality_module._references)
    del other
    quality_module._reference(pool, features)
    assert len(quality_module._references) == before - 1


def test_quality_compares_frechet_distances_at_one_n():
    """The first samples of the larger runs stand beside the smaller ones."""
    pool, quality = load(), Quality({"label": 300, "uniform": 100})
    settings = quality.settings(Settings(steps=4))
    plan = make_plan(pool, {quality: settings})
    recordings = {r: sample(pool, r) for r in plan.observables}
    findings = quality.answer(pool, recordings, settings)
    rows = {row["routing"]: row for row in findings.tables[0].rows}
    assert (rows["label"]["n"], rows["uniform"]["n"]) == (300, 100)
    assert rows["uniform"]["FID of the first 100"] == rows["uniform"]["FID"]
    assert rows["label"]["FID of the first 100"] != rows["label"]["FID"]
    statistics = findings.artefacts["reference-raw"]
    assert statistics["covariance"].shape == (64, 64)


@pytest.mark.parametrize("name", list(ANALYSES))
def test_every_analysis_runs_at_the_smallest_size_and_its_tables_can_be_written(name):
    findings = run(load(), name, Settings(n=1, steps=1))
    for table in findings.tables:
        lines = to_csv(table).splitlines()
        assert len(lines) == len(table.rows) + 1
        assert len({line.count(",") for line in lines}) >= 1
        assert to_json(table)["rows"]
        wide, narrow = to_rich(table, 10_000), to_rich(table, 80)
        assert len(wide) == 1
        assert sum(len(piece.columns) for piece in narrow) >= len(wide[0].columns) > 1
        assert all(piece.row_count == len(table.rows) for piece in narrow)


def test_analyses_share_recordings():
    pool = load()
    both = {a: a.settings(SETTINGS) for a in (ANALYSES["expert-deviation"], ANALYSES["disagreement"])}
    plan = make_plan(pool, both)
    top2 = Sampling("top2", n=40, steps=8)
    full = Sampling("full", n=40, steps=8)
    assert list(plan.observables) == [top2, Noising("top2", n=40), full]
    assert {"angles", "reference-angles@tenths", "weights"} < set(plan.observables[top2])
    assert plan.observables[full] == ("disagreement",)
    assert plan.expert_evaluations(pool, [top2]) == 40 * (8 * 8 + 7 * 2)
    counted = int(sample(pool, top2).evaluations.sum())
    assert 0.9 < counted / (40 * 15 * 2) <= 1  # a second expert of negligible weight is not run


def test_too_few_experts_are_refused():
    pool = GaussianPool(torch.zeros(2, 1, 2, 2), torch.ones(2), torch.ones(2))
    with pytest.raises(InputError, match="at least 3 experts"):
        ExpertDeviation().needs(pool, ExpertDeviation().settings(SETTINGS))


def test_an_unknown_experiment_is_refused_with_the_list():
    with pytest.raises(InputError, match="expert-deviation, disagreement"):
        analysis_named("astrology")


def test_the_papers_values_are_the_papers():
    table4 = paper_values("expert-deviation", "mnist")
    assert (table4["selected"], table4["non_selected"], table4["reduction_percent"]) == (6.4, 11.3, 43)
    assert table4["place"] == "Table 4"
    elsewhere = paper_values("expert-deviation", "gaussian")
    assert (elsewhere["selected"], elsewhere["place"]) == (3.6, "Table 2, on Paris")


def test_quartiles_split_by_rank_into_equal_parts():
    values = np.array([5.0, 1, 4, 2, 8, 7, 6, 3])
    assert quartile(values).tolist() == [2, 0, 1, 0, 3, 3, 2, 1]
    assert np.bincount(quartile(np.zeros(10))).tolist() == [3, 2, 3, 2]


def test_the_integral_of_a_line_is_exact_down_to_the_last_time():
    times = np.array([1.0, 0.75, 0.5, 0.25])
    assert integrate_over_time(np.array([times]), times)[0] == pytest.approx((1 - 0.0625) / 2 + 0.0625)
    assert integrate_over_time(np.ones((1, 4)), times)[0] == 1.0
    assert integrate_over_time(np.full((1, 1), 3.0), np.array([1.0]))[0] == 3.0


def test_the_bootstrap_interval_of_a_mean_agrees_with_theory():
    values = np.random.Generator(np.random.Philox(0)).normal(size=400)
    found = bootstrap(lambda v: float(np.mean(v)), values)
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(found.value - half, abs=0.15 * half)
    assert found.high == pytest.approx(found.value + half, abs=0.15 * half)
    faster = mean_estimate(values)
    assert (faster.low, faster.high) == pytest.approx((found.low, found.high), rel=1e-12)
    columns = np.stack([values, values**2], axis=1)
    spread = bootstrap(lambda v: float(np.mean(v**2) - np.mean(v) ** 2), values)
    sums = bootstrap_of_sums(lambda m: m[:, 1] - m[:, 0] ** 2, columns)
    assert (sums.value, sums.low, sums.high) == pytest.approx((spread.value, spread.low, spread.high), rel=1e-10)
    pairs = values[:60], np.round(values[:60] + values[60:120], 1)
    slow, fast = bootstrap(spearman, *pairs), spearman_estimate(*pairs)
    assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high), abs=1e-12)


def test_intervals_of_one_sample_are_not_defined():
    found = bootstrap(lambda v: float(np.mean(v)), np.array([2.0]))
    assert found.value == 2.0
    assert np.isnan(found.low)
    assert isinstance(found, Estimate)


def test_spearman_of_a_constant_is_not_defined():
    assert np.isnan(spearman(np.ones(5), np.arange(5.0)))
    assert spearman(np.arange(5.0), np.arange(5.0) ** 3) == pytest.approx(1, abs=1e-15)


def test_a_p_value_that_is_too_small_for_a_float_is_not_printed_as_zero():
    assert p_value(0.0) == "< 1e-300"
    assert p_value(1e-320) == 1e-320
