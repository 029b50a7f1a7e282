"""Solvers against exact flows: the order is measured by regression."""

import math

import numpy as np
import pytest
import torch

from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.recording import sample
from mnist_ddm.core.solvers import MOST_STEPS, SOLVERS, Slope, StepGrid, evaluations, solver_named
from mnist_ddm.core.visits import Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.systems import gaussian


def integrate(pool, solver, steps, expert, noise, stop):
    """Integrate one expert from t = 1 to ``stop`` and return the state there."""
    condition = pool.condition(sample_seeds(0, len(noise)))
    x, before = noise, None
    for i in range(steps):
        # Of unequal steps, each up to half as long again as another one, whatever the number of steps.
        t, t_next = (1 - (1 - stop) * (s + 0.1 * math.sin(math.pi * s)) for s in (i / steps, (i + 1) / steps))

        def velocity(state, time):
            return pool.velocity(expert, state, torch.full((len(state),), time, dtype=state.dtype), condition)

        first = velocity(x, t)
        x = solver.step(velocity, x, t, t_next, first, before)
        before = Slope(t, first)
    return x


@pytest.mark.parametrize("name", list(SOLVERS))
def test_the_measured_order_is_the_declared_one(gaussian, name):
    """Global error against the closed-form flow on a ladder of step sizes, before the last step into t = 0."""
    noise = torch.from_numpy(np.random.Generator(np.random.Philox(1)).normal(size=(16, *gaussian.state_shape)))
    exact = gaussian.exact_flow(2, noise, torch.full((16,), 0.25, dtype=torch.float64))
    steps = np.array([64, 128, 256, 512])
    errors = [float((integrate(gaussian, SOLVERS[name], n, 2, noise, 0.25) - exact).norm()) for n in steps]
    slope = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(SOLVERS[name].order, abs=0.03)


def test_heuns_last_step_is_eulers_and_returns_the_predicted_clean_image(gaussian):
    x = torch.ones(2, *gaussian.state_shape, dtype=torch.float64)

    def never_at_zero(state, time):
        assert time > 0
        return state * 0.5

    out = SOLVERS["heun"].step(never_at_zero, x, 0.02, 0.0, x * 0.5)
    torch.testing.assert_close(out, x - 0.02 * 0.5 * x, rtol=0, atol=1e-15)


def test_the_grid_falls_from_one_to_zero_and_refinement_keeps_the_intervals():
    grid, fine = StepGrid(5), StepGrid(5, refine=2)
    assert [grid.time(i) for i in range(6)] == [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]
    assert [fine.time(2 * i) for i in range(6)] == [grid.time(i) for i in range(6)]
    assert [fine.interval(i) for i in range(10)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize(
    ("name", "steps", "expected"), [("heun", 50, 99), ("heun", 1, 1), ("euler", 50, 50), ("ab2", 50, 51), ("ab2", 1, 1)]
)
def test_the_number_of_evaluations(name, steps, expected):
    assert evaluations(solver_named(name), StepGrid(steps)) == expected


def test_the_second_adams_bashforth_step_is_exact_for_a_velocity_that_is_linear_in_time():
    """Over unequal steps, where the formula for equal ones is not: v = 2 t, so x = t^2."""
    x = SOLVERS["ab2"].step(
        None, torch.tensor([0.6**2]), 0.6, 0.5, torch.tensor([1.2]), Slope(0.9, torch.tensor([1.8]))
    )
    torch.testing.assert_close(x, torch.tensor([0.25]), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", list(SOLVERS))
def test_a_trajectory_evaluates_as_often_as_its_solver_says(name):
    recording = sample(gaussian.load(), Sampling("uniform", 2, solver=name, steps=5))
    assert recording.evaluations.tolist() == [8 * evaluations(solver_named(name), StepGrid(5))] * 2


@pytest.mark.long
def test_ab2_is_nearer_to_the_truth_than_heun_for_as_many_evaluations_where_no_expert_switches():
    pool = gaussian.load()

    def final(solver, steps):
        return sample(pool, Sampling("full", 8, solver=solver, steps=steps)).final

    fine = final("heun", 400)
    heun, ab2, euler = (float((final(*of) - fine).norm()) for of in (("heun", 25), ("ab2", 49), ("euler", 49)))
    assert 1.5 * ab2 < heun < euler


@pytest.mark.parametrize("steps", [0, -3])
def test_fewer_than_one_step_is_refused(steps):
    with pytest.raises(InputError, match="at least 1"):
        StepGrid(steps)


def test_an_unknown_solver_is_refused_with_the_list():
    with pytest.raises(InputError, match="euler, heun, ab2"):
        solver_named("rk4")


def test_a_grid_of_more_steps_than_anybody_waits_for_is_refused():
    StepGrid(MOST_STEPS)
    for steps, refine in ((2**31, 1), (MOST_STEPS, 2)):
        with pytest.raises(InputError, match="at most 1,000,000"):
            StepGrid(steps, refine)
