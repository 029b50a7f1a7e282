"""Solvers with churn: averages against closed forms, without any sampling error where the field allows it."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mnist_ddm.core import recording as module
from mnist_ddm.core.noise import Purpose, initial_noise, normals, sample_seeds
from mnist_ddm.core.recording import sample
from mnist_ddm.core.solvers import SOLVERS, Churned, StepGrid, evaluations, solver_named
from mnist_ddm.core.visits import Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.record import record
from mnist_ddm.systems.gaussian import GaussianPool, load

STEPS = np.array([64, 128, 256, 512])


def order(errors) -> float:
    return -float(np.polyfit(np.log(STEPS), np.log(errors), 1)[0])


def grid(n, stop):
    """Falling times, of unequal steps."""
    return [1 - (1 - stop) * (s + 0.1 * math.sin(math.pi * s)) for s in np.arange(n + 1) / n]


def line(means, scales, prior=None):
    """A system whose states are single numbers."""
    means = torch.tensor(means, dtype=torch.float64)[:, None]
    return GaussianPool(means, torch.tensor(scales), torch.tensor(prior or [1.0] * len(scales)))


@pytest.mark.parametrize("base", ["euler", "heun"])
@pytest.mark.parametrize("rate", [0.5, 4.0])
def test_mean_and_variance_of_one_gaussian_have_the_solvers_order(base, rate):
    """The field is linear, so a step maps mean and variance exactly, and the order shows without any samples."""
    solver, pool, stop = solver_named(f"{base}@churn={rate}"), line([0.7], [0.4]), 0.25
    condition = pool.condition(sample_seeds(0, 3))

    def velocity(x, t):
        return pool.velocity(0, x, torch.full((len(x),), t, dtype=x.dtype), condition)

    errors = []
    for n in STEPS:
        mean, variance = 0.0, 1.0
        times = grid(n, stop)
        for t, t_next in itertools.pairwise(times):
            # What becomes of 0, of 1, and of 0 with unit noise: the step is affine in the state and in the noise.
            x, unit = torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64), torch.tensor([[0.0], [0.0], [1.0]])
            a, b, c = solver.step(velocity, x, t, t_next, velocity(x, t), None, lambda u=unit: u)[:, 0].tolist()
            mean, variance = a + (b - a) * mean, (b - a) ** 2 * variance + (c - a) ** 2
        truth = (1 - stop) * 0.7, float(pool.variance(torch.tensor([stop], dtype=torch.float64)))
        errors.append(math.hypot(mean - truth[0], variance - truth[1]))
    assert order(errors) == pytest.approx(solver.order, abs=0.06)


def test_the_density_of_a_mixture_is_kept_to_the_solvers_order():
    """The density itself goes through the steps, on a fine lattice: no samples, a field that is not linear."""
    pool, stop, solver = line([-1.0, 1.5], [0.3, 0.5], [1.0, 2.0]), 0.4, Churned(SOLVERS["heun"], 3.0)
    x = torch.linspace(-7, 7, 401, dtype=torch.float64)[:, None]
    condition = pool.condition(sample_seeds(0, len(x)))

    def normal(at, mean, variance):
        return (-((at - mean) ** 2) / (2 * variance)).exp() / (2 * math.pi * variance) ** 0.5

    def velocity(state, t):
        return pool.monolith_velocity(state, torch.full((len(state),), t, dtype=state.dtype), condition)

    def truth(t):
        variance = pool.variance(torch.tensor([t], dtype=torch.float64))[0]
        return sum(
            p * normal(x[:, 0], (1 - t) * m, v) for p, m, v in zip(pool.prior, pool.means[:, 0], variance, strict=True)
        )

    errors = []
    for n in (12, 24, 48):
        density, times = truth(1.0), [1 - (1 - stop) * i / n for i in range(n + 1)]
        for t, t_next in itertools.pairwise(times):
            mean, moved = (
                solver.step(velocity, x, t, t_next, velocity(x, t), None, lambda u=u: torch.full_like(x, u))
                for u in (0.0, 1.0)
            )
            spread = float((moved - mean)[0])
            density = normal(x, mean.T, spread**2) @ density * 0.035
        errors.append(float((density - truth(stop)).abs().sum() * 0.035))
    slopes = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert slopes[1] == pytest.approx(2, abs=0.2)
    assert errors[-1] < 2e-3


@pytest.mark.parametrize("rate", [0.1, 2.0, 50.0])
def test_noise_keeps_the_correlation_that_the_rate_says(rate):
    """With one point as the data a state is (1 - t) mu + t eps; eps keeps exp(-rate h), and has variance 1 again."""
    solver, mu, t, t_next = Churned(SOLVERS["euler"], rate), 0.3, 0.8, 0.6

    def velocity(x, time):
        return (x - mu) / time

    def end(eps, fresh):
        x = torch.tensor([(1 - t) * mu + t * eps], dtype=torch.float64)
        out = solver.step(
            velocity, x, t, t_next, velocity(x, t), None, lambda: torch.tensor([fresh], dtype=torch.float64)
        )
        return (float(out) - (1 - t_next) * mu) / t_next

    kept = math.exp(-rate * (t - t_next))
    assert end(0.0, 0.0) == pytest.approx(0, abs=1e-12)
    assert end(1.0, 0.0) == pytest.approx(kept, abs=1e-12)
    assert end(0.0, 1.0) == pytest.approx(math.sqrt(1 - kept**2), abs=1e-12)


def test_the_samples_of_exact_routing_have_the_mixtures_shares_means_and_variances():
    pool = line([-2.0, 2.0], [0.3, 0.5], [1.0, 3.0])
    final = sample(pool, Sampling("full", 1500, solver="heun@churn=4", steps=24)).final[:, 0].double()
    for component, share in enumerate((0.25, 0.75)):
        mine = final[(final > 0) == bool(component)]
        chance = math.sqrt(share * (1 - share) / len(final))
        assert abs(len(mine) / len(final) - share) < 4 * chance
        scale = float(pool.scales[component])
        assert abs(float(mine.mean()) - (-2.0, 2.0)[component]) < 4 * scale / math.sqrt(len(mine)) + 2e-3
        assert abs(float(mine.std()) / scale - 1) < 4 / math.sqrt(2 * len(mine)) + 0.02


def test_a_very_small_rate_is_the_solver_without_noise():
    plain, churned = (
        sample(load(), Sampling("top2", 5, solver=s, steps=6)).final for s in ("heun", "heun@churn=1e-12")
    )
    torch.testing.assert_close(plain, churned, rtol=0, atol=1e-4)
    assert not torch.equal(plain, churned)


def test_each_step_and_each_sample_has_noise_of_its_own():
    seeds = sample_seeds(0, 4)
    first, second = (normals(seeds, (3,), Purpose.CHURN, step) for step in (0, 1))
    assert (
        len({*first.flatten().tolist(), *second.flatten().tolist(), *initial_noise(seeds, (3,)).flatten().tolist()})
        == 36
    )


def test_workers_blocks_and_companions_change_no_bit(tmp_path, monkeypatch):
    pool, sampling = load(), Sampling("gumbel", n=40, steps=3, solver="heun@churn=2")
    one = record(pool, sampling, (), RecordingStore(tmp_path), workers=2).final
    monkeypatch.setattr(module, "BLOCK", 7)
    assert torch.equal(one, sample(pool, sampling).final)
    assert torch.equal(one[:3], sample(pool, replace(sampling, n=3)).final)


def test_noise_costs_no_evaluation():
    assert evaluations(solver_named("heun@churn=2"), StepGrid(50)) == 99
    assert sample(load(), Sampling("label", 2, solver="euler@churn=2", steps=5)).evaluations.tolist() == [5, 5]


@pytest.mark.parametrize("name", ["heun@churn=0.5", "euler@churn=12"])
def test_a_spelling_names_itself(name):
    assert solver_named(name).name == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("heun@churn=0", "positive number"),
        ("heun@churn=inf", "positive number"),
        ("heun@churn=nan", "positive number"),
        ("heun@churn=x", "positive number"),
        ("heun@churn", "positive number"),
        ("heun@noise=1", "@churn=2"),
        ("rk4@churn=1", "heun@churn=2"),
        ("ab2@churn=1", "step before"),
    ],
)
def test_what_is_no_churn_is_refused(name, said):
    with pytest.raises(InputError, match=said):
        solver_named(name)


def test_what_noise_makes_meaningless_is_refused():
    with pytest.raises(InputError, match="do not refine"):
        Sampling("top1", 2, solver="heun@churn=1", refine=2)
    for routing in ("full@density", "top1@T=2@density", "each~0.5~top1@density"):
        with pytest.raises(InputError, match="without noise"):
            sample(load(), Sampling(routing, 2, steps=2, solver="heun@churn=1"))
