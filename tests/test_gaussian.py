"""The analytic system against independent derivations: finite mixtures, autograd, and Monte Carlo."""

import numpy as np
import pytest
import torch

from mnist_ddm.core.field import make_field
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Sampling, start
from mnist_ddm.errors import InputError
from mnist_ddm.systems.gaussian import GaussianPool, load


def states(pool, n=5, t=0.4):
    rng = np.random.Generator(np.random.Philox(3))
    x = torch.from_numpy(rng.normal(size=(n, *pool.state_shape)))
    return x, torch.full((n,), t, dtype=torch.float64)


@pytest.mark.parametrize("t", [0.02, 0.4, 0.9, 1.0])
def test_the_full_ensemble_is_the_marginal_velocity_from_the_score(gaussian, t):
    """By Tweedie's formula and autograd of the log density, which share no line with the closed forms."""
    x, time = states(gaussian, t=min(t, 0.999))
    t = float(time[0])
    y = x.clone().requires_grad_()
    alpha, variance = 1 - t, (1 - t) ** 2 * gaussian.scales**2 + t**2
    square = (y[:, None] - alpha * gaussian.means).flatten(2).square().sum(2)
    log_density = torch.logsumexp(gaussian.prior.log() - 3 * variance.log() - square / (2 * variance), dim=1)
    (score,) = torch.autograd.grad(log_density.sum(), y)
    clean = (x + t**2 * score) / alpha
    noise = -t * score
    samples = start(gaussian, sample_seeds(0, len(x)))[1]
    v = make_field(gaussian, "full").evaluate(x, time, samples).velocity
    torch.testing.assert_close(v, noise - clean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gaussian.monolith_velocity(x, time, samples.condition), v, rtol=1e-7, atol=1e-7)


def test_jacobians_match_autograd(gaussian):
    x, t = states(gaussian)
    condition = gaussian.condition(sample_seeds(0, len(x)))
    for i in range(len(x)):

        def whole(y, i=i):
            return gaussian.monolith_velocity(y[None], t[:1], condition)[0].flatten()

        exact = gaussian.marginal_jacobian(x, t)[i]
        found = torch.autograd.functional.jacobian(whole, x[i]).reshape(6, 6)
        torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-10)

        def one(y):
            return gaussian.velocity(2, y[None], t[:1], condition)[0].flatten()

        found = torch.autograd.functional.jacobian(one, x[i]).reshape(6, 6)
        torch.testing.assert_close(
            found, gaussian.jacobian_scale(t)[0, 2] * torch.eye(6, dtype=torch.float64), rtol=1e-12, atol=1e-12
        )


def test_the_exact_flow_solves_the_experts_equation(gaussian):
    noise, t = states(gaussian, t=0.6)
    condition = gaussian.condition(sample_seeds(0, len(noise)))
    x, derivative = torch.func.jvp(lambda s: gaussian.exact_flow(1, noise, s), (t,), (torch.ones_like(t),))
    torch.testing.assert_close(derivative, gaussian.velocity(1, x, t, condition), rtol=1e-12, atol=1e-12)
    start_states = gaussian.exact_flow(1, noise, torch.ones_like(t))
    torch.testing.assert_close(start_states, noise, rtol=0, atol=1e-15)


def test_label_samples_are_what_a_plain_loop_of_heun_steps_gives():
    """Each sample stays with one expert, whose field is affine: a scalar recursion for spread and mean is exact."""
    pool, steps = load(), 16
    recording = sample(pool, Sampling("label", n=40, steps=steps))
    noise = start(pool, recording.seeds)[0].double()
    for i, k in enumerate(recording.cluster.tolist()):
        s2 = float(pool.scales[k]) ** 2

        def slope(t, s2=s2):
            return (t - (1 - t) * s2) / ((1 - t) ** 2 * s2 + t * t)

        spread, mean = 1.0, 0.0  # x = spread * noise + mean * mu
        for n in range(steps):
            t, u = 1 - n / steps, 1 - (n + 1) / steps
            first = slope(t) * spread, slope(t) * (mean - (1 - t)) - 1
            guess = spread + (u - t) * first[0], mean + (u - t) * first[1]
            second = (slope(u) * guess[0], slope(u) * (guess[1] - (1 - u)) - 1) if u > 0 else first
            spread += (u - t) / 2 * (first[0] + second[0])
            mean += (u - t) / 2 * (first[1] + second[1])
        expected = spread * noise[i] + mean * pool.means[k]
        torch.testing.assert_close(recording.final[i].double(), expected, rtol=0, atol=2e-6)


def test_the_error_knob_spares_the_experts_own_data_and_spoils_the_rest(gaussian):
    wrong = GaussianPool(gaussian.means * 20, gaussian.scales, gaussian.prior, expert_error=3.0)
    exact = GaussianPool(gaussian.means * 20, gaussian.scales, gaussian.prior)
    condition = exact.condition(sample_seeds(0, 1))
    t = torch.tensor([0.1], dtype=torch.float64)
    for own in range(4):
        x = 0.9 * exact.means[own : own + 1]
        for k in range(4):
            size = float((wrong.velocity(k, x, t, condition) - exact.velocity(k, x, t, condition)).norm())
            assert size == pytest.approx(0.0 if k == own else 3.0, abs=1e-9)


def test_the_temperature_knob_divides_the_logits(gaussian):
    hot = GaussianPool(gaussian.means, gaussian.scales, gaussian.prior, router_temperature=4.0)
    x, t = states(gaussian)
    torch.testing.assert_close(hot.router_logits(x, t) * 4, gaussian.router_logits(x, t), rtol=1e-14, atol=0)
    assert hot.fingerprints != gaussian.fingerprints


def test_real_states_follow_the_prior_and_are_always_the_same(gaussian):
    states_a, clusters = gaussian.measures.real_states(4000)
    states_b, _ = gaussian.measures.real_states(4000)
    assert torch.equal(states_a, states_b)
    share = clusters.bincount(minlength=4) / 4000
    torch.testing.assert_close(share.double(), gaussian.prior, rtol=0, atol=0.03)
    own, cluster = gaussian.measures.real_states(500, cluster=2)
    assert (cluster == 2).all()
    torch.testing.assert_close(own.double().mean(0), gaussian.means[2], rtol=0, atol=5 * 0.7 / 500**0.5)


@pytest.mark.parametrize(
    "change",
    [{"scales": torch.zeros(4)}, {"prior": torch.ones(3)}, {"router_temperature": 0.0}, {"expert_error": -1.0}],
)
def test_impossible_mixtures_are_refused(gaussian, change):
    arguments = {"means": gaussian.means, "scales": gaussian.scales, "prior": gaussian.prior} | change
    with pytest.raises(InputError):
        GaussianPool(**arguments)
