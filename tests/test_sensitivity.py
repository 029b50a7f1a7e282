"""Sensitivity, switching and convergence on the exact system, against closed forms and direct computations."""

import itertools

import numpy as np
import pytest
import torch

from mnist_ddm.analyses.comparison import RoutingComparison
from mnist_ddm.analyses.convergence import Convergence
from mnist_ddm.analyses.decomposition import JacobianDecomposition
from mnist_ddm.analyses.failure_modes import FailureModes
from mnist_ddm.analyses.local_error import LocalError
from mnist_ddm.analyses.predictors import FailurePredictors
from mnist_ddm.analyses.profile import SensitivityProfile, _gaps, widening
from mnist_ddm.analyses.quality import Quality, QualitySettings
from mnist_ddm.analyses.registry import analyses_in
from mnist_ddm.analyses.settings import JoinedSettings, RefinementSettings, SamplingSettings
from mnist_ddm.core.field import make_field
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.recording import sample
from mnist_ddm.core.sensitivity import NEGLECTED, STEP, TERMS, TOLERANCE, jumps, local_errors, switching
from mnist_ddm.core.solvers import StepGrid, solver_named
from mnist_ddm.core.visits import TENTHS, Sampling, start, trajectory
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Estimate, auc_estimate
from mnist_ddm.stats.tests import auc
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.study import Study
from mnist_ddm.systems.gaussian import GaussianPool, load
from mnist_ddm.systems.mnist import MnistPool

NORMS, SWITCH = "jacobian-terms@tenths", "switching@tenths"


@pytest.fixture
def tables(answered):
    """From an analysis, a pool, settings and perhaps stored samples to the tables of the answer, by name."""

    def by_name(*asked):
        return {table.name: table for table in answered(*asked).tables}

    return by_name


def near(measured, exact):
    """At most the exact norm, and within the residual of it: what a converged norm promises."""
    measured, exact = torch.as_tensor(measured).double(), torch.as_tensor(exact).double()
    rounding = 1e-5 * exact + 1e-6
    return bool((measured <= exact + rounding).all()) and bool((measured >= exact * (1 - TOLERANCE) - rounding).all())


@pytest.mark.parametrize("routing", ["full", "top2", "monolith", "uniform"])
def test_recorded_norms_are_the_closed_forms_along_the_trajectory(routing):
    pool = load(router_temperature=1.0)
    recorded = sample(pool, Sampling(routing, n=6, steps=20), (NORMS, "x"))
    values, times = recorded.observed[NORMS], recorded.times_of(NORMS)
    assert values.shape == (6, 9, 4, 3)
    assert times.tolist() == pytest.approx(TENTHS)
    assert (values[..., 1] <= TOLERANCE).all()
    field = make_field(pool, routing)
    samples = start(pool, sample_seeds(0, 6))[1]
    for i, t in enumerate(times.tolist()):
        x = recorded.observed["x"][:, int((recorded.times - t).abs().argmin())].double()
        t_rows = torch.full((6,), t, dtype=torch.float64)
        norms = dict(zip(TERMS, values[:, i, :, 0].T, strict=True))
        exact, identity = pool.marginal_jacobian(x, t_rows), torch.eye(64, dtype=torch.float64)
        if routing == "monolith":
            assert near(norms["whole"], torch.linalg.matrix_norm(exact, 2))
            assert torch.equal(norms["expert"], norms["whole"])
            assert (norms["router"] == 0).all()
            continue
        weights, scales = field.evaluate(x, t_rows, samples).weights, pool.jacobian_scale(t_rows)
        expert = (weights * scales).sum(dim=1)
        neglected = (weights * (weights <= NEGLECTED) * scales).sum(dim=1)
        measured = expert - neglected
        assert neglected.abs().max() <= NEGLECTED * pool.n_experts * scales.abs().max()
        assert near(norms["expert"], measured.abs())
        assert (norms["whole"] <= (norms["expert"] + norms["router"]) * (1 + TOLERANCE)).all()
        if routing == "uniform":
            assert (norms["router"] == 0).all()
            assert near(norms["denoiser"], (1 - t * measured).abs())
        if routing == "full":
            whole = exact - neglected[:, None, None] * identity
            assert near(norms["whole"], torch.linalg.matrix_norm(whole, 2))
            assert near(norms["router"], torch.linalg.matrix_norm(exact - expert[:, None, None] * identity, 2))
            assert near(norms["denoiser"], torch.linalg.matrix_norm(identity - t * whole, 2))


def test_single_experts_have_their_own_norms_whether_they_are_chosen_or_not(gaussian):
    recorded = sample(gaussian, Sampling("top1", n=5, steps=10), ("expert-jacobians@tenths",))
    times = recorded.times_of("expert-jacobians@tenths").double()
    exact = gaussian.jacobian_scale(times).abs().float()
    torch.testing.assert_close(
        recorded.observed["expert-jacobians@tenths"], exact.expand(5, -1, -1), rtol=1e-5, atol=1e-6
    )


def test_every_step_keeps_the_expert_terms_norm(gaussian):
    recorded = sample(gaussian, Sampling("top1", n=5, steps=10), ("expert-term", "weights"))
    exact = gaussian.jacobian_scale(recorded.times.double()).abs().float()
    chosen = recorded.observed["weights"].argmax(dim=2)
    torch.testing.assert_close(
        recorded.observed["expert-term"][..., 0], exact.expand(5, -1, -1).gather(2, chosen[..., None])[..., 0],
        rtol=1e-5, atol=1e-6,
    )  # fmt: skip


def visits(pool, routing, n, steps):
    field = make_field(pool, routing)
    x, samples = start(pool, sample_seeds(0, n))
    return trajectory(field, solver_named("heun"), StepGrid(steps), x.double(), samples)


def test_margins_and_gap_by_hand(gaussian):
    for visit in itertools.islice(visits(gaussian, "top1", 6, 5), 5):
        margins = switching(visit).double()
        logits = gaussian.router_logits(visit.x.double(), visit.times.double())
        for i in range(6):
            first, second = logits[i].argsort(descending=True)[:2].tolist()
            p = logits[i].softmax(dim=0)
            v = gaussian.exact_velocities(visit.x.double(), visit.times.double())[i]
            expected = [p[first] - p[second], logits[i, first] - logits[i, second], (v[first] - v[second]).norm()]
            np.testing.assert_allclose(margins[i], [float(e) for e in expected], rtol=1e-4, atol=1e-5)


def test_switching_needs_a_router_and_two_experts(gaussian):
    one = GaussianPool(torch.zeros(1, 1, 2, 2), torch.ones(1), torch.ones(1))
    with pytest.raises(InputError, match="needs a router"):
        switching(next(visits(gaussian, "label", 2, 2)))
    with pytest.raises(InputError, match="at least two"):
        switching(next(visits(one, "top1", 2, 2)))
    with pytest.raises(InputError, match="needs experts"):
        switching(next(visits(gaussian, "monolith", 2, 2)))


def test_a_local_error_is_the_distance_from_the_exact_flow():
    """Of a single Gaussian, whose flow is known; ten sub-steps leave a hundredth of the error."""
    pool = GaussianPool(torch.full((1, 1, 2, 2), 0.7), torch.tensor([0.3]), torch.ones(1))
    heun, measured = solver_named("heun"), 0
    for visit in visits(pool, "full", 8, 20):
        errors = local_errors(visit)
        for row in (~errors[:, 0].isnan()).nonzero()[:, 0].tolist():
            measured += 1
            x = visit.x[row : row + 1].double()
            noise = (x - (1 - visit.t) * pool.means[0]) / pool.variance(visit.times[:1].double()).sqrt()

            def velocity(z, t):
                return pool.exact_velocities(z, torch.tensor([t], dtype=torch.float64))[:, 0]

            for column, h in enumerate((STEP, STEP / 2)):
                step = heun.step(velocity, x, visit.t, visit.t - h, velocity(x, visit.t))
                exact = pool.exact_flow(0, noise, torch.tensor([visit.t - h], dtype=torch.float64))
                error = float((step - exact).norm())
                assert float(errors[row, column]) == pytest.approx(error, rel=0.03)
            assert errors[row, 2] == 0
    assert measured == 8 * 10


@pytest.mark.long
def test_local_errors_are_measured_where_the_seed_says(gaussian):
    many, few = (sample(gaussian, Sampling("top1", n=n, steps=20), ("local-errors",)) for n in (12, 5))
    errors = many.observed["local-errors"]
    measured = ~errors[..., 0].isnan()
    assert (measured.sum(dim=1) == 10).all()
    assert len({tuple(row.tolist()) for row in measured}) > 6
    assert torch.equal(errors[:5].nan_to_num(-1), few.observed["local-errors"].nan_to_num(-1))


def test_jumps_are_appearances_with_weight_and_no_fading():
    before = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    after = torch.tensor([[0.4, 0.6, 0.0], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [1.0, 1e-9, 0.0]])
    assert jumps(before, after).tolist() == [False, True, True, False]


@pytest.mark.long
def test_the_local_order_of_a_smooth_field_is_heuns_and_a_switch_spoils_it(tables):
    answer = tables(LocalError(), load(), SamplingSettings(n=24, steps=10))
    for routing in ("monolith", "full"):
        row = answer["local-error"].row(routing=routing)
        assert row["fitted_order"].value == pytest.approx(2, abs=0.1)
        assert row["factor"].value == pytest.approx(8, rel=0.07)
    apart = answer["local-error-switching"]
    switched, smooth = ({r["routing"]: r for r in apart.select(switches=switches)} for switches in ("yes", "no"))
    assert switched.keys() <= {"top1", "top2"}
    assert {routing: row["fitted_order"].value for routing, row in smooth.items()} == pytest.approx(
        dict.fromkeys(("monolith", "top1", "top2", "full"), 2), abs=0.15
    )
    for routing, row in switched.items():
        assert row["error_h"].value > 10 * smooth[routing]["error_h"].value


@pytest.mark.slow
def test_the_global_order_of_a_smooth_field_is_heuns(tables):
    answer = tables(Convergence(), load(), SamplingSettings(n=4))
    rows = list(answer["convergence"].select(switch="no", refinement=8))
    assert {r["routing"] for r in rows} >= {"monolith", "full"}
    for row in rows:
        assert row["steps"] == 80
        assert row["order"].value == pytest.approx(2, abs=0.15)
        assert row["above_epsilon"].value == 0
    errors = {r["steps"]: r["mean_error"].value for r in answer["convergence"].select(routing="full")}
    assert list(errors) == [10, 20, 40, 80]
    assert errors[10] / errors[80] == pytest.approx(8**2, rel=0.15)
    quantiles = answer["sensitivity-quantiles"]
    for routing in ("top1", "full"):
        rows = list(quantiles.select(routing=routing))
        assert [r["delta"] for r in rows] == [0.5, 0.25, 0.1, 0.05, 0.01]
        values = [r["bound"] for r in rows]
        assert values == sorted(values)
    assert [(r["refinement"], r["steps"]) for r in answer["grid-maximum"].rows] == [(1, 50), (2, 100), (4, 200)]


def test_the_decomposition_counts_which_term_is_larger(tables, gaussian):
    pool = gaussian
    answer = tables(JacobianDecomposition(), pool, SamplingSettings(n=30, steps=10))
    row = answer["jacobian-decomposition"].row(routing="full")
    recorded = sample(pool, Sampling("full", n=30, steps=10), (NORMS,)).observed[NORMS][:, 4, :, 0].double().numpy()
    expert, router = recorded[:, TERMS.index("expert")], recorded[:, TERMS.index("router")]
    assert row["expert"].value == pytest.approx(expert.mean(), rel=1e-12)
    assert row["router_sd"] == pytest.approx(router.std(ddof=1), rel=1e-12)
    assert row["router_larger"] == pytest.approx(100 * (router > expert).mean())
    assert len(answer["jacobian-decomposition-by-time"].rows) == 3 * 9


@pytest.mark.long
def test_the_profile_is_the_cumulated_interquartile_range(tables, gaussian):
    pool = gaussian
    answer = tables(SensitivityProfile(), pool, SamplingSettings(n=25, steps=20))

    def ranges_of(routing):
        recorded = sample(pool, Sampling(routing, n=25, steps=20), (NORMS,)).observed[NORMS]
        low, high = np.percentile(recorded[..., 0, 0].double().numpy(), [25, 75], axis=0)
        return high - low

    def cumulated(ranges):
        return [sum((ranges[j] + ranges[j + 1]) / 2 * 0.1 for j in range(i)) for i in range(9)]

    rows = list(answer["sensitivity-profile"].select(routing="full"))
    assert [r["t"] for r in rows] == pytest.approx(TENTHS)
    assert [r["iqr"].value for r in rows] == pytest.approx(ranges_of("full").tolist(), rel=1e-9)
    assert [r["cumulative"] for r in rows] == pytest.approx(cumulated(ranges_of("full")), rel=1e-5, abs=1e-9)
    for row in answer["expert-jacobians"].rows:
        assert row["difference"].value == pytest.approx(row["selected"].value - row["suppressed"].value)
    gap = answer["sensitivity-profile-gap"].row(routing="full")
    gaps = np.subtract(cumulated(ranges_of("top2")), cumulated(ranges_of("full")))
    assert (gap["t_half"], gap["t_end"]) == pytest.approx((0.5, 0.1))
    assert (gap["gap_half"].value, gap["gap_end"].value) == pytest.approx((gaps[4], gaps[8]), rel=1e-5)
    assert gap["gap_later"].value == pytest.approx(gaps[8] - gaps[4], rel=1e-5)
    assert gap["widening"].value == pytest.approx(np.sign(gaps[4]) * (gaps[8] - gaps[4]), rel=1e-5)


def test_a_gap_widens_only_in_a_direction_that_is_clear():
    clear, open_ = Estimate(-2.0, -3.0, -1.0), Estimate(-0.5, -2.0, 1.0)
    later = Estimate(-1.0, -1.5, -0.5)
    assert widening(clear, later) == Estimate(1.0, 0.5, 1.5)
    assert widening(open_, later) == Estimate(1.0, -1.5, 1.5)
    assert widening(Estimate(2.0, 1.0, 3.0), later) == later


@pytest.mark.long
def test_two_like_routings_do_not_widen_by_chance():
    rng = np.random.Generator(np.random.Philox(5))
    times = np.linspace(0.9, 0.1, 9)
    alone, directed = 0, 0
    for _ in range(60):
        a, b = (rng.gamma(4.0, size=(20, 9)) for _ in range(2))
        rows = list(_gaps({"top2": a, "full": b}, times).rows)
        alone += abs(rows[0]["gap_end"].value) > abs(rows[0]["gap_half"].value)
        directed += rows[0]["widening"].low > 0
    assert alone > 30
    assert directed <= 3


def refinement(pool, routing, n, steps):
    coarse, fine = (sample(pool, Sampling(routing, n=n, steps=s)).final for s in (steps, 2 * steps))
    return next(iter(pool.measures.distances.values()))(pool.decode(coarse), pool.decode(fine)).double().numpy()


@pytest.mark.long
def test_the_comparison_joins_sensitivity_refinement_and_the_stored_frechet_distance(tables, answered, gaussian):
    pool, settings = gaussian, JoinedSettings(n=24, steps=10)
    quality = QualitySettings(n=24, routings=("top2", "full"))
    answer = tables(RoutingComparison(), pool, settings, quality.samplings(pool).values())
    full = answer["routing-comparison"].row(routing="full")
    norms = sample(pool, Sampling("full", n=24, steps=10), (NORMS,)).observed[NORMS][..., 0].double().numpy()
    error = refinement(pool, "full", 24, 10)
    assert full["l_eff_expert"].value == pytest.approx(norms[:, :, 0].max(axis=1).mean(), rel=1e-12)
    assert full["l_eff_whole"].value == pytest.approx(norms[:, :, 2].max(axis=1).mean(), rel=1e-12)
    assert full["delta_refine"].value == pytest.approx(error.mean(), rel=1e-5)
    alone = {r["routing"]: r["fid"] for r in answered(Quality(), pool, quality).tables[0].rows}
    rows = answer["routing-comparison"].rows
    assert {r["routing"]: r["fid"] for r in rows if r["fid"] is not None} == pytest.approx(alone, rel=1e-9)
    without = tables(RoutingComparison(), pool, settings)["routing-comparison"]
    assert all(row["fid"] is None for row in without.rows)
    assert any("FID: none, as no samples of these routings" in note for note in without.notes)
    chain = answer["averaging-chain"]
    assert [(r["more"], r["fewer"]) for r in chain.rows] == [("full", "top1"), ("full", "top2"), ("top2", "top1")]
    expected = error.mean() / refinement(pool, "top1", 24, 10).mean()
    ratio = chain.row(more="full", fewer="top1")["delta_refine_ratio"]
    assert ratio.value == pytest.approx(expected, rel=1e-4)
    every = answer["routing-comparison-every-step"].row(routing="full")
    assert every["n"] == 20
    assert every["last_inverse_t"] == pytest.approx(10)


def test_predictors_and_margins_by_hand(tables):
    pool = load()
    answer = tables(FailurePredictors(), pool, RefinementSettings(n=60, steps=10))
    recorded = sample(pool, Sampling("top1", n=60, steps=10), (SWITCH, NORMS)).observed
    margin, logit_margin, gap = recorded[SWITCH].double().numpy().transpose(2, 0, 1)
    error = refinement(pool, "top1", 60, 10)
    unstable = error > np.quantile(error, 0.75)
    score = gap / (logit_margin + 1e-3)
    scores = {
        "m_p": -margin.min(axis=1),
        "m_z": -logit_margin.min(axis=1),
        "g": gap.max(axis=1),
        "s_eff": score.max(axis=1),
        "s_int": (0.1 * (score[:, 1:] + score[:, :-1]) / 2).sum(axis=1),
        "l_eff": recorded[NORMS][:, :, 0, 0].double().numpy().max(axis=1),
    }
    for predictor, values in scores.items():
        row = answer["failure-predictors"].row(routing="top1", predictor=predictor)
        pairs = np.sign(values[unstable][:, None] - values[~unstable][None])
        area = row["auc_quarter"]
        assert area.value == pytest.approx((1 + pairs.mean()) / 2, abs=1e-9)
        assert area.low <= area.value <= area.high
        assert row["positives"] == unstable.sum() == 15
        assert np.isnan(row["auc_tau"].value)  # a handful of positives
    margins = answer["margins"]
    expected = np.median(margin[unstable], axis=1).mean()
    measured = margins.row(routing="top1", samples="unstable")["median_m_p"]
    assert measured.value == pytest.approx(expected, rel=1e-9)
    share = 100 * (margin[~unstable] < 0.05).mean()
    assert margins.row(routing="top1", samples="stable")["near"].value == pytest.approx(share, rel=1e-9)


def test_the_area_under_the_curve():
    rng = np.random.Generator(np.random.Philox(1))
    scores, positive = rng.integers(0, 5, 60).astype(float), rng.random(60) < 0.4
    pairs = np.sign(scores[positive][:, None] - scores[~positive][None])
    assert auc(scores, positive) == pytest.approx((1 + pairs.mean()) / 2, rel=1e-12)
    assert auc(positive.astype(float), positive) == 1
    assert np.isnan(auc(scores, np.zeros(60, dtype=bool)))
    few = np.arange(60) < 9
    assert np.isnan(auc_estimate(scores, few).value)
    assert isinstance(auc_estimate(scores, np.arange(60) < 10), Estimate)


def test_failure_modes_count_samples_over_the_thresholds(tables, gaussian):
    pool = gaussian
    answer = tables(FailureModes(), pool, RefinementSettings(n=50, steps=10))
    row = answer["failure-modes"].row(routing="top1")
    recorded = sample(pool, Sampling("top1", n=50, steps=10), ("logits", NORMS))
    p = recorded.observed["logits"].double().softmax(dim=2).numpy()
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=2)
    assert recorded.times.tolist() == pytest.approx([1 - i / 10 for i in range(10)])
    assert row["entropy_above"].value == pytest.approx(100 * (entropy[:, 1:].max(1) > 1.5).mean())
    assert row["entropy_above_all_t"].value == pytest.approx(100 * (entropy.max(1) > 1.5).mean())
    error = refinement(pool, "top1", 50, 10)
    assert row["delta_refine_above"].value == pytest.approx(100 * (error > 0.1).mean())
    assert answer["failure-modes-relative"].row(routing="top2")["delta_refine_above"].value == 10


@pytest.mark.slow
def test_answers_do_not_depend_on_the_workers(tmp_path, gaussian):
    def rows(workers):
        store = RecordingStore(tmp_path / str(workers))
        study = Study(gaussian, analyses_in("sensitivity"), n=252, steps=2, store=store)
        return [repr(table.rows) for answer in study.run(workers).values() for table in answer.tables]

    assert rows(1) == rows(2)


@pytest.mark.long
def test_a_samples_norms_do_not_depend_on_its_companions(tiny_checkpoint, images):
    pool = MnistPool(tiny_checkpoint, images)
    names = ("expert-term", "switching")
    many, few = (sample(pool, Sampling("top2", n=n, steps=2), names) for n in (7, 3))
    for name in names:
        assert torch.equal(many.observed[name][:3], few.observed[name]), name
