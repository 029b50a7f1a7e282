"""azula's samplers on a routed field, against ours and against closed forms; skipped where azula is not installed."""

import math

import pytest
import torch

from mnist_ddm.core.field import make_field
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.systems.gaussian import GaussianPool, load

azula = pytest.importorskip("azula.sample", reason="azula is not installed (pip install azula)")
noise_of_azula = pytest.importorskip("azula.noise")
ours = pytest.importorskip("mnist_ddm.interop.azula")
as_denoiser, start = ours.as_denoiser, ours.start


@pytest.mark.parametrize("routing", ["top1", "top2", "full", "gumbel", "once", "each", "misaligned2", "monolith"])
def test_the_sampler_that_is_eulers_method_gives_our_samples(gaussian, routing):
    """With alpha = 1 - t and sigma = t, DDIM without noise steps as Euler's method does, random routings included."""
    steps, noise = 8, start(gaussian, 12, seed=3)
    denoiser = as_denoiser(make_field(gaussian, routing), noise[1], intervals=steps)
    found = azula.DDIMSampler(denoiser, steps=steps, silent=True)(noise[0])
    expected = sample(gaussian, Sampling(routing, 12, 3, "euler", steps)).final
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_adams_bashforth_there_and_here_agree_to_their_order(gaussian):
    """Both are of order 2 in the velocity and start differently, so they meet as steps grow: four times for twice."""
    gaps = []
    for steps in (20, 40, 80):
        noise, samples = start(gaussian, 6)
        found = azula.vABSampler(as_denoiser(make_field(gaussian, "full"), samples), order=2, steps=steps, silent=True)(
            noise
        )
        gaps.append(float((found - sample(gaussian, Sampling("full", 6, 0, "ab2", steps)).final).norm()))
    assert gaps[2] < gaps[1] / 2 < gaps[0] / 4


def test_heun_there_meets_the_exact_flow_of_an_expert_with_its_order():
    """From states of the exact flow at t = 0.95 to t = 0.05, where every division is tame."""
    pool = load()
    noise, samples = start(pool, 5)
    noise, k = noise.double(), samples.condition.cluster
    ends = [
        torch.cat(
            [pool.exact_flow(int(k[i]), noise[i : i + 1], torch.tensor([t], dtype=torch.float64)) for i in range(5)]
        )
        for t in (0.95, 0.05)
    ]
    errors = []
    for steps in (16, 32):
        denoiser = as_denoiser(make_field(pool, "label"), samples)
        sampler = azula.HeunSampler(denoiser, start=0.95, stop=0.05, steps=steps, silent=True, dtype=torch.float64)
        errors.append(float((sampler(ends[0]) - ends[1]).norm()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.35)


def test_a_stochastic_sampler_there_keeps_the_mixture():
    """azula draws its noise from torch's global state, which is put back."""
    mean = torch.tensor([[-2.0], [2.0]], dtype=torch.float64)
    pool = GaussianPool(mean, torch.tensor([0.3, 0.5]), torch.tensor([1.0, 3.0]))
    noise, samples = start(pool, 1500)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        denoiser = as_denoiser(make_field(pool, "full"), samples)
        final = azula.ItoSampler(denoiser, start=0.999, stop=0.001, steps=60, silent=True)(noise)[:, 0]
    share = float((final > 0).double().mean())
    assert abs(share - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 1500)
    assert abs(float(final[final > 0].mean()) - 2) < 0.08


def test_its_schedule_is_the_path(gaussian):
    t = torch.linspace(0, 1, 5)
    alpha, sigma = ours.LinearSchedule()(t)
    assert torch.equal(alpha, 1 - t)
    assert torch.equal(sigma, t)
    near = noise_of_azula.RectifiedSchedule(1e-6, 1e-6)(t)
    torch.testing.assert_close(torch.stack(near), torch.stack((alpha, sigma)), rtol=0, atol=2e-6)


def test_what_does_not_fit_is_refused(gaussian):
    noise, samples = start(gaussian, 3)
    field = make_field(gaussian, "full")
    with pytest.raises(InputError, match="of 3 samples, not 2"):
        as_denoiser(field, samples)(noise[:2], torch.tensor(0.5))
    with pytest.raises(InputError, match="has no label"):
        as_denoiser(field, samples)(noise, torch.tensor(0.5), label=1)
    with pytest.raises(InputError, match="at least 1 interval"):
        as_denoiser(field, samples, intervals=0)
