"""The alignment analyses on the exact system, by hand from the definitions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torchmetrics.classification import MulticlassCalibrationError

from mnist_ddm.analyses.blends import PRODUCTS, left_out_reduction, mean_over_experts
from mnist_ddm.analyses.cluster_distance import CLEAN, NOISY, TIMES, centroid_ranks, readings
from mnist_ddm.analyses.paper import paper_values
from mnist_ddm.analyses.registry import ANALYSES, analyses_in, analysis_named, chosen, groups
from mnist_ddm.core.empirical import EmpiricalReference
from mnist_ddm.core.field import make_field
from mnist_ddm.core.noise import Purpose, sample_seeds, subsets
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import TENTHS, Noising, Sampling, start
from mnist_ddm.errors import InputError
from mnist_ddm.metrics.calibration import calibration_estimate, reliability
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.study import Study
from mnist_ddm.systems.gaussian import GaussianPool, load

SMALL = {"n": 30, "steps": 10}


@pytest.fixture
def tables(answered):
    """From a pool and the name of an analysis to its tables by name."""

    def tables_of(pool, name, choices=SMALL):
        analysis = analysis_named(name)
        return {t.name: t for t in answered(analysis, pool, replace(analysis.sizes.at("full"), **choices)).tables}

    return tables_of


@pytest.mark.parametrize("state", [NOISY, CLEAN])
def test_cluster_distance_by_hand(state, tables):
    pool = load()
    table = tables(pool, "cluster-distance")["cluster-distance"]
    recording = sample(pool, Sampling("top2", n=30, steps=10), ("x", "velocity", "weights"))
    mean_rank, least_rank, share, anyone = [], [], [], []
    for i in range(30):
        for t in TIMES:
            j = int(np.abs(recording.times.numpy() - t).argmin())
            x = recording.observed["x"][i, j].double()
            clean = x - float(recording.times[j]) * recording.observed["velocity"][i, j].double()
            distance = [float(((x if state == NOISY else clean) - mean).norm()) for mean in pool.means]
            chosen = [k for k in range(8) if recording.observed["weights"][i, j, k] > 0]
            ranks = [1 + sum(other < distance[k] for other in distance) for k in chosen]
            mean_rank.append(np.mean(ranks))
            least_rank.append(min(ranks))
            share.append(np.mean([r <= 2 for r in ranks]))
            anyone.append(min(ranks) <= 2)
    (row,) = table.select(routing="top2", state=state, default="yes")
    assert row["mean_rank"].value == pytest.approx(np.mean(mean_rank), rel=1e-12)
    assert row["closest_rank"].value == pytest.approx(np.mean(least_rank), rel=1e-12)
    assert row["among_two"].value == pytest.approx(100 * np.mean(share), rel=1e-12)
    assert row["among_two_any"].value == pytest.approx(100 * np.mean(anyone), rel=1e-12)


def test_the_full_ensembles_ranks_are_what_construction_makes_them(tables):
    rows = list(tables(load(), "cluster-distance")["cluster-distance"].select(routing="full"))
    assert len(rows) == 2
    for row in rows:
        assert row["mean_rank"].value == row["chance_rank"] == 4.5
        assert row["mean_rank_sd"] == 0
        assert row["closest_rank"].value == 1
        assert row["among_two"].value == row["chance_match"] == 25
        assert row["among_two_any"].value == 100
    table1 = paper_values("cluster-distance", "paris")
    assert (table1["full"]["rank"], table1["full"]["match"]) == (4.5, 25.0)


def test_the_reading_by_weight_follows_the_weights():
    ranks = np.array([[[2, 1, 3]]])
    by_column = readings(ranks, np.array([[[0.5, 0.2, 0.3]]]), everything=True)
    assert by_column["rank_by_weight"][0, 0] == pytest.approx(0.5 * 2 + 0.2 + 0.9)


def test_near_the_data_the_exact_router_selects_the_closest_cluster():
    pool = load()
    recording = sample(pool, Sampling("top1", n=40, steps=10), ("x@tenths", "velocity@tenths", "weights@tenths"))
    ranks = centroid_ranks(pool, pool.measures.embeddings["raw"], recording, CLEAN)
    chosen = recording.observed["weights@tenths"].argmax(dim=2).numpy()
    rank = np.take_along_axis(ranks, chosen[:, :, None], axis=2)[:, :, 0]
    assert (rank[:, -1] == 1).mean() > 0.9


def test_deviation_against_the_exact_velocity_and_the_target_by_hand(tables):
    pool = load(expert_error=1.0)
    references = tables(pool, "expert-deviation")["expert-deviation-references"]
    recording = sample(pool, Sampling("top2", n=30, steps=10), ("x", "velocities", "weights"))
    chosen, others = [], []
    for i in range(30):
        near, far = [], []
        for t in TENTHS:
            j = int(np.abs(recording.times.numpy() - t).argmin())
            time = recording.times[j : j + 1].float()
            x = recording.observed["x"][i, j][None]
            exact = pool.monolith_velocity(x, time, None).flatten().double().numpy()
            a, b = [], []
            for k in range(8):
                v = recording.observed["velocities"][i, j, k].flatten().double().numpy()
                cosine = v @ exact / np.linalg.norm(v) / np.linalg.norm(exact)
                angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
                (a if recording.observed["weights"][i, j, k] > 0 else b).append(angle)
            near.append(np.mean(a))
            far.append(np.mean(b))
        chosen.append(np.mean(near))
        others.append(np.mean(far))
    row = references.row(reference="closed_form")
    assert row["selected"].value == pytest.approx(np.mean(chosen), rel=1e-4)
    assert row["non_selected"].value == pytest.approx(np.mean(others), rel=1e-4)
    noised = sample(pool, Noising("top2", n=30), ("velocities", "weights", "x"))
    real = pool.measures.real_states(30)[0]
    target = (noised.observed["x"][:, 0] - 0.1 * real) / 0.9 - real
    errors = (noised.observed["velocities"] - target[:, None, None]).flatten(3).square().mean(dim=3)
    selected = noised.observed["weights"] > 0
    excess = errors[~selected].reshape(30, 9, 6).mean(dim=2) - errors[selected].reshape(30, 9, 2).mean(dim=2)
    assert references.row(reference="target")["reduction"].value == pytest.approx(float(excess.mean()), rel=1e-4)


def test_a_selected_expert_is_compared_with_the_other_one_when_it_is_left_out(tables):
    pool = load()
    references = tables(pool, "expert-deviation")["expert-deviation-references"]
    by_blend, left_out = (references.row(reference=key) for key in ("routed", "left_out"))
    assert left_out["selected"].value > by_blend["selected"].value
    assert left_out["non_selected"].value == pytest.approx(by_blend["non_selected"].value, rel=1e-5)


def test_an_exact_router_is_the_posterior_and_a_miscalibrated_one_is_not(tables):
    systems = load(), load(router_temperature=5.0)
    exact, warm = (tables(pool, "router-calibration", {"n": 400})["router-calibration"].rows for pool in systems)
    for a, b in zip(exact, warm, strict=True):
        assert a["tv_to_reference"].value < 1e-6
        assert a["accuracy"] == a["reference_accuracy"] == b["accuracy"]
        assert a["ece"].value == pytest.approx(a["reference_ece"].value, abs=1e-6)
        assert b["ece"].high >= a["ece"].value
        assert a["log_loss"].value <= b["log_loss"].value
    assert max(row["ece"].value for row in warm) > 0.3


def calibration_error(curve):
    return (curve.count * np.abs(curve.accuracy - curve.confidence)).sum() / curve.count.sum()


def test_calibration_error_is_torchmetrics():
    logits = torch.randn(500, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2
    truth = torch.randint(0, 6, (500,), generator=torch.Generator().manual_seed(1))
    probabilities = logits.softmax(dim=1)
    expected = MulticlassCalibrationError(6, n_bins=15, norm="l1")(probabilities, truth)
    confidence, label = probabilities.max(dim=1)
    confidence, right = confidence.numpy(), (label == truth).double().numpy()
    curve = reliability(confidence, right)
    assert calibration_error(curve) == pytest.approx(float(expected), abs=1e-6)
    assert curve.count.sum() == 500
    assert (np.diff(curve.confidence) > 0).all()


def test_the_debiased_calibration_error_by_hand():
    confidence = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.8])
    right = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    gaps = (right - confidence).reshape(2, 3)
    squared = np.mean([g.mean() ** 2 - g.var(ddof=1) / 3 for g in gaps])
    assert calibration_estimate(confidence, right, bins=2).value == pytest.approx(np.sqrt(max(squared, 0)))
    mixed = np.array([3, 5, 1, 0, 4, 2])
    again = calibration_estimate(confidence[mixed], right[mixed], bins=2)
    assert again == calibration_estimate(confidence, right, bins=2)


@pytest.mark.parametrize(("flatter", "n"), [(1.0, 1000), (1.0, 100), (0.8, 300)])
def test_the_calibration_errors_interval_covers_and_a_perfect_router_has_none(flatter, n):
    """The plain error is 0.03 for a perfect router at n = 1000, and its bootstrap interval never holds 0."""
    rng = np.random.Generator(np.random.Philox(2))
    covered, values = 0, []
    for _ in range(300):
        confidence = rng.uniform(0.1, 0.9, n)
        truth = 0.5 + flatter * (confidence - 0.5)
        right = (rng.random(n) < truth).astype(float)
        bins = np.array_split(np.sort(confidence), 15)
        actual = np.sqrt(np.mean([((1 - flatter) * (part.mean() - 0.5)) ** 2 for part in bins]))
        estimate = calibration_estimate(confidence, right)
        covered += estimate.low <= actual <= estimate.high
        values.append(estimate.value**2)
    assert covered / 300 >= 0.92
    if flatter == 1:
        assert np.median(values) <= 2e-3 * 100 / n * 10


def test_near_noise_a_router_can_only_say_the_prior(tables):
    near = tables(load(), "router-calibration", {"n": 400})["router-calibration-near-noise"]
    assert near.column("t") == [1.0, 0.99, 0.95]
    assert near.row(t=1.0)["gain_on_prior"].value == pytest.approx(0, abs=1e-6)
    sharp = tables(load(router_temperature=0.05), "router-calibration", {"n": 400})["router-calibration-near-noise"]
    assert sharp.row(t=1.0)["gain_on_prior"].high < 0


def test_other_times_of_noising_are_another_recording_and_the_usual_ones_keep_their_name():
    usual = Noising("top1", n=5)
    assert usual.identity == {"kind": "noising", "routing": "top1", "seed": 0}
    other = Noising("top1", n=5, moments=(1.0, 0.99))
    assert other.identity == {**usual.identity, "moments": (1.0, 0.99)}
    assert sample(load(), other, ("logits",)).observed["logits"].shape == (5, 2, 8)
    for wrong in ((), (0.5, 0.9), (0.5, 0.5), (0.0,), (1.5,)):
        with pytest.raises(InputError, match="falling times"):
            Noising("top1", n=5, moments=wrong)


@given(hnp.arrays(np.float64, 40, elements=st.floats(0.01, 1)), st.permutations(range(40)))
def test_calibration_error_does_not_depend_on_the_order(confidence, order):
    right = (np.arange(40) % 3 == 0).astype(float)
    order = list(order)
    mixed, straight = reliability(confidence[order], right[order]), reliability(confidence, right)
    assert mixed.count.tolist() == straight.count.tolist()
    assert calibration_error(mixed) == pytest.approx(calibration_error(straight), abs=1e-12)


def test_the_empirical_reference_is_the_sum_over_all_points():
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(7, 1, 2, 2, generator=generator, dtype=torch.float64)
    clusters = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    reference = EmpiricalReference(data, clusters, 3)
    x, t = (
        torch.randn(4, 1, 2, 2, generator=generator, dtype=torch.float64),
        torch.tensor([0.9, 0.5, 0.2, 1.0]).double(),
    )
    velocity, posterior = reference.velocity(x, t), reference.posterior(x, t)
    for i in range(4):
        weight = [np.exp(-float((x[i] - (1 - t[i]) * y).square().sum()) / (2 * float(t[i]) ** 2)) for y in data]
        weight = np.array(weight) / np.sum(weight)
        expected = sum(w * ((x[i] - (1 - t[i]) * y) / t[i] - y) for w, y in zip(weight, data, strict=True))
        torch.testing.assert_close(velocity[i], expected, rtol=1e-12, atol=1e-12)
        for k in range(3):
            assert float(posterior[i, k]) == pytest.approx(weight[clusters.numpy() == k].sum(), abs=1e-13)


def test_the_empirical_reference_of_many_points_comes_near_the_exact_velocity():
    pool = GaussianPool(
        torch.tensor([[-1.0], [1.0]]).reshape(2, 1, 1, 1), torch.tensor([0.3, 0.5]), torch.tensor([1.0, 2])
    )
    data, clusters = pool.measures.real_states(10_000)
    reference = EmpiricalReference(data, clusters, 2)
    x = torch.linspace(-1.5, 1.5, 9, dtype=torch.float64).reshape(-1, 1, 1, 1)
    t = torch.full((9,), 0.5, dtype=torch.float64)
    assert (reference.velocity(x, t) - pool.measures.reference.velocity(x, t)).abs().max() < 0.06
    assert (reference.posterior(x, t) - pool.measures.reference.posterior(x, t)).abs().max() < 0.06


def test_experts_of_a_random_partition_show_no_alignment(tables):
    """Identical experts: nothing can be gained by selecting some of them."""
    alike = GaussianPool(torch.zeros(5, 1, 2, 2), torch.full((5,), 0.5), torch.ones(5))
    references = tables(alike, "expert-deviation")["expert-deviation-references"]
    assert references.row(reference="target")["reduction"].value == pytest.approx(0, abs=1e-6)


def test_the_variance_of_velocities_by_hand(tables):
    pool = load()
    rows = tables(pool, "averaging-variance")["averaging-variance"].rows
    for routing in ("top1", "full"):
        velocities = sample(pool, Sampling(routing, n=30, steps=10), ("velocity",)).observed["velocity"]
        (at_half,) = (row for row in rows if abs(row["t"] - 0.5) < 1e-9)
        expected = velocities[:, 5].flatten(1).double().numpy().var(axis=0).mean()
        assert at_half[routing].value == pytest.approx(expected, rel=1e-10)
    assert at_half["full_over_top1"].value == pytest.approx(at_half["full"].value / at_half["top1"].value, rel=1e-12)


class Counting:
    """A pool that counts the rows its experts see."""

    def __init__(self, pool):
        self.__dict__.update(pool=pool, rows=[])

    def __getattr__(self, name):
        return getattr(self.pool, name)

    def velocity(self, expert, x, t, condition):
        self.rows.append(len(x))
        return self.pool.velocity(expert, x, t, condition)


@pytest.mark.long
def test_a_group_costs_the_union_of_the_trajectories_that_it_needs(tmp_path):
    pool = Counting(load())
    study = Study(pool, analyses_in("alignment"), store=RecordingStore(tmp_path), n=100, steps=8)
    study.record()
    pool.rows.clear()
    again = Study(pool, analyses_in("alignment"), store=RecordingStore(tmp_path / "again"), n=100, steps=8)
    planned = again.plan().evaluations
    recordings = again.record()
    counted = sum(pool.rows)
    assert counted <= 1.2 * planned
    assert sum(int(r.evaluations.sum()) for r in recordings.values()) <= counted
    pool.rows.clear()
    again.answer(recordings)
    assert pool.rows == []
    study.record()
    assert pool.rows == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cluster-distance", "expert-deviation", "disagreement", "router-calibration"])
def test_answers_do_not_depend_on_workers(tmp_path, name):
    def rows(workers):
        choices = {"n": 260} if name == "router-calibration" else {"n": 260, "steps": 2}
        study = Study(load(), [name], store=RecordingStore(tmp_path / str(workers)), **choices)
        return [repr(table.rows) for table in study.run(workers)[name].tables]

    assert rows(1) == rows(2)


def test_groups():
    assert groups() == ["alignment", "quality", "sensitivity", "interventions", "regimes", "all"]
    assert [a.id for a in analyses_in("quality")] == ["quality"]
    assert analyses_in("all") == list(ANALYSES.values())
    with pytest.raises(InputError, match="alignment, quality, sensitivity, interventions, regimes, all"):
        analyses_in("astrology")


def test_the_random_routings_follow_the_samples_seed_and_the_interval():
    pool = load()
    for name in ("misaligned2", "each"):
        coarse = sample(pool, Sampling(name, n=60, steps=6), ("weights", "x"))
        fine = sample(pool, Sampling(name, n=60, steps=6, refine=2), ("weights",))
        weights = coarse.observed["weights"]
        assert torch.equal(weights[:, 0] > 0, fine.observed["weights"][:, 0] > 0)
        assert not torch.equal(weights[:, 0] > 0, weights[:, 1] > 0)
        few = sample(pool, Sampling(name, n=5, steps=6))
        assert torch.equal(few.final, coarse.final[:5])
    fine = sample(pool, Sampling("misaligned2", n=60, steps=6, refine=2), ("weights",))
    for step in range(12):
        pairs = subsets(fine.seeds, Purpose.SUBSET, step // 2, 8, 2)
        assert (pairs[:, 0] != pairs[:, 1]).all()
        inside = fine.observed["weights"][:, step].gather(1, pairs).sum(dim=1)
        torch.testing.assert_close(inside, torch.ones(60))


def test_a_random_pair_keeps_the_routers_proportions():
    pool = load()
    x = pool.measures.real_states(20)[0]
    evaluation = make_field(pool, "misaligned2").evaluate(
        x, torch.full((20,), 0.8), start(pool, sample_seeds(0, 20))[1]
    )
    posterior = pool.posterior_logits(x, torch.full((20,), 0.8)).softmax(dim=1)
    chosen = evaluation.weights > 0
    expected = torch.where(chosen, posterior, 0)
    torch.testing.assert_close(evaluation.weights, expected / expected.sum(dim=1, keepdim=True), rtol=1e-4, atol=1e-6)


def test_real_states_are_a_prefix_of_any_longer_list():
    pool = load()
    few, many = pool.measures.real_states(5), pool.measures.real_states(500)
    assert torch.equal(few[0], many[0][:5])
    assert torch.equal(few[1], many[1][:5])
    assert not torch.equal(pool.measures.real_states(5, held_out=False)[0], few[0])


@pytest.mark.long
def test_groups_that_are_asked_for_add_up(run):
    assert chosen((), ["quality", "alignment"], ["cluster-distance"]) == [
        "quality",
        *(a for a in ANALYSES if ANALYSES[a].group == "alignment" and a != "cluster-distance"),
    ]
    code, out, _ = run(
        "analyze", "--system", "gaussian", "--group", "quality", "--group", "alignment", "--without", "alignment",
        "--n", 4, "--steps", 2, "--out", "q",
    )  # fmt: skip
    assert code == 0
    assert "quality" in out
    assert "of tables" in out  # and how long they take is said first


def test_blends_of_the_others_follow_from_products_alone(gaussian):
    """The reduction under the recorded weights is that of the recorded angles at the same states."""
    names = (*PRODUCTS, "left-out-angles@tenths")
    observed = sample(gaussian, Sampling("top2", 20, steps=10), names).observed
    products, weights, angles = (observed[name].double().numpy() for name in names)
    selected = weights > 0
    recorded = mean_over_experts(angles, ~selected) - mean_over_experts(angles, selected)
    assert left_out_reduction(products, weights) == pytest.approx(recorded, abs=2e-3)
