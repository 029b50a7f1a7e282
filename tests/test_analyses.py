"""Analyses on the exact system against direct computations from the definitions."""

import csv
import io
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy import stats

from mnist_ddm.analyses.columns import p_value
from mnist_ddm.analyses.deviation import ExpertDeviation
from mnist_ddm.analyses.paper import paper_values
from mnist_ddm.analyses.quality import (
    LONG,
    MAIN,
    Quality,
    QualitySettings,
    frechet_note,
    long_samplings,
    quality_choices,
    stored_frechet_distances,
)
from mnist_ddm.analyses.registry import ANALYSES, analysis_named
from mnist_ddm.analyses.settings import JoinedSettings, SamplingSettings
from mnist_ddm.core.measures import Features
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Noising, Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.metrics import real
from mnist_ddm.metrics.frechet import extract, frechet_distance
from mnist_ddm.stats.intervals import Estimate, bootstrap_batched, bootstrap_several, mean_estimate
from mnist_ddm.stats.summaries import integrate_over_time, quartile
from mnist_ddm.stats.tests import spearman
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.cost import expert_evaluations
from mnist_ddm.study.study import Study
from mnist_ddm.systems.gaussian import GaussianPool, load
from mnist_ddm.tables.files import to_csv, to_json
from mnist_ddm.tables.terminal import to_rich

SMALL = {"n": 40, "steps": 8}


@pytest.fixture(scope="module")
def pool():
    """One for all, so that what samples are compared with is computed once."""
    return load()


def sized(name, **choices):
    """An analysis with its own settings but for some numbers, as far as it has them."""
    analysis = analysis_named(name)
    settings = analysis.sizes.at("full")
    known = {field.name for field in fields(settings)}
    return analysis, replace(settings, **{key: value for key, value in choices.items() if key in known})


def test_expert_deviation_is_the_mean_angle_by_hand(pool, answered):
    analysis, settings = sized("expert-deviation", **SMALL)
    table = answered(analysis, pool, settings).tables[0]
    recording = sample(pool, Sampling("top2", n=40, steps=8), ("velocities", "velocity", "weights"))
    chosen, others = [], []
    for i in range(40):
        for j in range(8):
            blend = recording.observed["velocity"][i, j].flatten().double().numpy()
            for k in range(8):
                v = recording.observed["velocities"][i, j, k].flatten().double().numpy()
                cosine = np.clip(v @ blend / np.linalg.norm(v) / np.linalg.norm(blend), -1, 1)
                (chosen if recording.observed["weights"][i, j, k] > 0 else others).append(np.degrees(np.arccos(cosine)))
    assert len(chosen) == 40 * 8 * 2
    measured = {row["quantity"]: row["measured"] for row in table.rows}
    assert measured["selected"].value == pytest.approx(np.mean(chosen), rel=1e-5)
    assert measured["non_selected"].value == pytest.approx(np.mean(others), rel=1e-5)
    reduction = np.mean(others) - np.mean(chosen)
    assert measured["reduction"].value == pytest.approx(reduction, rel=1e-5)
    assert measured["reduction_percent"].value == pytest.approx(100 * reduction / np.mean(others), rel=1e-5)
    expected = stats.ttest_ind(chosen, others, equal_var=False).pvalue
    assert measured["p_independent"] == pytest.approx(expected, rel=1e-2, abs=1e-300)


def test_disagreement_by_hand_and_a_system_whose_experts_agree_has_none(pool, answered):
    analysis, settings = sized("disagreement", **SMALL)
    table = answered(analysis, pool, settings).tables[0]
    full = sample(pool, Sampling("full", n=40, steps=8), ("disagreement",))
    top2 = sample(pool, Sampling("top2", n=40, steps=8))
    d = full.observed["disagreement"].double().numpy()
    integral = d[:, :-1].sum(1) / 16 + d[:, 1:].sum(1) / 16 + d[:, -1] / 8
    distance = (full.final - top2.final).flatten(1).norm(dim=1).numpy()
    rho = stats.spearmanr(*([float(f"{x:.4e}") for x in values] for values in (integral, distance))).statistic
    assert table.row(outcome="perceptual_distance")["spearman"].value == pytest.approx(rho, abs=1e-9)
    alike = GaussianPool(torch.zeros(3, 1, 2, 2), torch.full((3,), 0.5), torch.ones(3))
    assert sample(alike, Sampling("full", n=4, steps=3), ("disagreement",)).observed["disagreement"].abs().max() < 1e-6


@pytest.mark.long
def test_quality_knows_exact_samples_from_corrupted_ones(pool, answered):
    settings = QualitySettings(n=400, steps=6, routings=("label", "full", "once"))
    systems = (
        (pool, settings),
        (load(expert_error=4.0, router_temperature=100.0), replace(settings, routings=("full",))),
    )
    good, bad = ({t.name: t for t in answered(Quality(), system, asked).tables} for system, asked in systems)
    full, worse = (tables["quality"].row(routing="full") for tables in (good, bad))
    assert good["quality-classes"].row(routing="label")["recognised"].value == 1.0
    assert full["fid"] < 0.2 * worse["fid"]
    assert full["kid"].value < worse["kid"].low
    assert full["coverage"] > worse["coverage"]
    assert good["quality"].row(routing="label")["expert_evaluations"] == 11
    assert good["quality-classes"].row(routing="once")["class_imbalance"] < 0.1


def test_real_features_are_extracted_once_for_a_pool_even_for_one_that_cannot_be_hashed():
    class Unhashable:
        calls = 0

        def __eq__(self, other):
            return True

        @property
        def measures(self):
            return self

        def real_states(self, n):
            type(self).calls += 1
            return torch.arange(6.0).reshape(3, 2), None

        def decode(self, x):
            return x

    with pytest.raises(TypeError):
        hash(Unhashable())
    features = Features("raw", lambda images: images)
    pool, other = Unhashable(), Unhashable()
    first = real.real_features(pool, features)
    assert real.real_features(pool, features) is first
    assert real.real_features(other, features) is not first
    assert Unhashable.calls == 2
    before = len(real._known)
    del other
    real.real_features(pool, features)
    assert len(real._known) == before - 1


@pytest.mark.long
def test_quality_compares_frechet_distances_at_one_n(pool, answered):
    """The first samples of the larger recordings stand beside the smaller ones."""
    settings = QualitySettings(n=300, n_others=100, steps=4, routings=("label", "uniform"))
    answer = answered(Quality(), pool, settings)
    label, uniform = answer.tables[0].rows
    assert (label["n"], uniform["n"]) == (300, 100)
    assert label["n_common"] == uniform["n_common"] == 100
    assert uniform["fid_common"] == uniform["fid"]
    assert label["fid_common"] != label["fid"]
    statistics = answer.artefacts["reference-raw"]
    assert statistics["covariance"].shape == (64, 64)


def test_routings_with_unequal_numbers_of_samples_are_paired_by_the_first_of_both(pool, answered):
    """At the paper's n a random pair has fewer samples than Top-2, and that difference is what a claim asks for."""

    def differences(**sizes):
        settings = QualitySettings(steps=4, routings=("top2", "misaligned2", "top1"), **sizes)
        return answered(Quality(), pool, settings).tables[1]

    unequal, equal = differences(n=220, n_others=180), differences(n=180)
    pair = {"routing": "misaligned2", "than": "top2"}
    ((one,), (other,)) = (table.select(**pair) for table in (unequal, equal))
    assert one == other
    assert one["n"] == 180
    assert one["fid_difference"].low < one["fid_difference"].high
    ((main,),) = (unequal.select(routing="top1", than="top2"),)
    assert main["n"] == 220


def test_the_other_routings_have_no_more_samples_than_the_main_ones(pool):
    def sizes(**choices):
        samplings = replace(Quality.sizes.at("full"), **choices).samplings(pool)
        return {routing in MAIN: sampling.n for routing, sampling in samplings.items()}

    assert sizes() == {True: 5000, False: 1000}
    assert sizes(n=200) == {True: 200, False: 200}
    assert sizes(n=2000, n_others=0) == {True: 2000, False: 2000}


def test_stored_samples_that_may_be_joined(pool):
    usual = quality_choices(pool, JoinedSettings(n=40), ("top2", "full", "top4", "commit=0.9"))
    assert {r: [(s.n, s.steps, s.solver) for s in choices] for r, choices in usual.items()} == {
        "top2": [(5000, 25, "heun"), (1000, 25, "heun"), (40, 25, "heun")],
        "full": [(5000, 25, "heun"), (1000, 25, "heun"), (40, 25, "heun")],
        "top4": [(1000, 25, "heun"), (40, 25, "heun")],
    }
    small = JoinedSettings(n=4, seed=3, quality_n=16, quality_steps=10)
    assert [s.n for s in quality_choices(pool, small, ("top4",))["top4"]] == [16, 1000, 4]
    assert long_samplings(pool, small, ("full+equal",)) == {"full+equal": Sampling("full+equal", 16, 3, steps=10)}
    assert long_samplings(pool, JoinedSettings(n=4), ("full",)) == {"full": Sampling("full", LONG, steps=25)}


def test_joined_frechet_distances_are_of_one_n(pool):
    few, many, missing = (Sampling("top1", 20, steps=4), Sampling("full", 30, steps=4), Sampling("full", 50, steps=4))
    recordings = {sampling: sample(pool, sampling) for sampling in (few, many)}
    choices = {"top1": [few], "full": [missing, many], "uniform": [missing]}
    fids, n = stored_frechet_distances(pool, recordings, choices, "")
    assert (list(fids), n) == (["top1", "full"], 20)
    raw = pool.measures.frechet_features["raw"]
    expected = frechet_distance(
        extract(raw, pool.measures.real_states(10_000)[0]), recordings[many].final[:20].flatten(1)
    )
    assert fids["full"] == pytest.approx(expected, rel=1e-12)
    assert "of 20 samples each from stored recordings with 4 Heun steps" in frechet_note(n, 4, 20)
    assert stored_frechet_distances(pool, {}, choices, "") == ({}, 0)
    assert "--group quality --n 20 --steps 4" in frechet_note(0, 4, 20)


@pytest.mark.parametrize("name", list(ANALYSES))
def test_every_analysis_runs_at_the_smallest_size_and_its_tables_can_be_written(name, pool, answered, small_map):
    analysis, settings = sized(name, n=1, steps=1, temperatures=(1.0, 4.0))
    for table in answered(analysis, pool, settings).tables:
        header, *lines = csv.reader(io.StringIO(to_csv(table)))
        assert len(lines) == len(table.rows)
        assert {len(line) for line in lines} == {len(header)}
        assert {column.key for column in table.columns} <= set(header)
        assert len(set(header)) == len(header)
        assert to_json(table)["rows"]
        for width in (80, 40):
            console = Console(width=width, file=io.StringIO())
            console.print(to_rich(table, width))
            assert max(len(line.rstrip()) for line in console.file.getvalue().splitlines()) <= width


def test_analyses_share_recordings(pool, tmp_path):
    study = Study(pool, ["expert-deviation", "disagreement"], store=RecordingStore(tmp_path), **SMALL)
    wanted = study.plan().wanted
    top2 = Sampling("top2", n=40, steps=8)
    full = Sampling("full", n=40, steps=8)
    assert list(wanted) == [top2, Noising("top2", n=40), full]
    assert {"angles", "reference-angles@tenths", "weights"} < set(wanted[top2])
    assert wanted[full] == ("disagreement",)
    assert expert_evaluations(pool, {top2: wanted[top2]}) == 40 * (8 * 8 + 7 * 2)
    counted = int(sample(pool, top2).evaluations.sum())
    assert 0.9 < counted / (40 * 15 * 2) <= 1  # a second expert of negligible weight is not run


def test_too_few_experts_are_refused():
    pool = GaussianPool(torch.zeros(2, 1, 2, 2), torch.ones(2), torch.ones(2))
    with pytest.raises(InputError, match="at least 3 experts"):
        ExpertDeviation().needs(pool, SamplingSettings(n=40, steps=8))


def test_an_unknown_analysis_is_refused_with_the_list():
    with pytest.raises(InputError, match=r"unknown analysis .*`mnist-ddm info analyses` has all"):
        analysis_named("astrology")


def test_the_papers_values_are_the_papers():
    table4 = paper_values("expert-deviation", "mnist")
    assert (table4["selected"], table4["non_selected"], table4["reduction_percent"]) == (6.4, 11.3, 43)
    assert table4["place"] == "Table 4"
    assert paper_values("quality", "mnist")["place"].endswith("on Paris")
    assert paper_values("expert-deviation", "") == {"place": "nothing of these data"}


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
    mean = bootstrap_batched(lambda v: v.mean(axis=1), values)
    half = 1.96 * values.std() / 20
    assert mean.low == pytest.approx(mean.value - half, abs=0.15 * half)
    assert mean.high == pytest.approx(mean.value + half, abs=0.15 * half)
    formula = mean_estimate(values)
    assert (formula.low, formula.high) == pytest.approx((mean.low, mean.high), abs=0.15 * half)


def test_statistics_that_are_resampled_together_are_what_they_are_alone():
    a, b = np.random.Generator(np.random.Philox(1)).normal(size=(2, 30, 4))

    def quartile_of(i):
        return lambda x, y: np.quantile(x[..., i] - y[..., i], 0.25, axis=1)

    together = bootstrap_several(lambda x, y: np.stack([quartile_of(i)(x, y) for i in range(4)]), a, b)
    assert together == tuple(bootstrap_batched(quartile_of(i), a, b) for i in range(4))
    assert len({estimate.low for estimate in together}) == 4


def test_intervals_of_one_sample_are_not_defined():
    mean = bootstrap_batched(lambda v: v.mean(axis=1), np.array([2.0]))
    assert mean.value == 2.0
    assert np.isnan(mean.low)
    assert isinstance(mean, Estimate)


def test_spearman_of_a_constant_is_not_defined():
    assert np.isnan(spearman(np.ones(5), np.arange(5.0)))
    assert spearman(np.arange(5.0), np.arange(5.0) ** 3) == pytest.approx(1, abs=1e-15)


def test_a_p_value_that_is_too_small_for_a_float_is_not_printed_as_zero():
    assert p_value(0.0) == "< 1e-300"
    assert p_value(1e-320) == 1e-320
