"""On a real GPU: the same answers as on the CPU, whatever the batch, captured or not. `check.sh` runs this."""

from dataclasses import replace

import pytest
import torch

from mnist_ddm.compute.batches import evaluate_in_powers
from mnist_ddm.compute.launches import CudaGraphs, Replayed
from mnist_ddm.compute.precision import computing_in
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.recording import sample
from mnist_ddm.core.spectral import linearize
from mnist_ddm.core.visits import Sampling, start
from mnist_ddm.models.presets import preset_named
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.record import record_all
from mnist_ddm.systems.mnist import load
from mnist_ddm.training.data import Streams
from mnist_ddm.training.loop import Fit
from mnist_ddm.training.objectives import TrainingData, VelocityObjective

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here"),
]

TRAINED = 5e-3
"""Of weights after a few steps, of which AdamW moves the first by its rate whatever the size of a gradient.

One unit in the last place of the noise moved single ones by up to 1.3e-3 on a CPU."""
TOLERANCE = 2e-4
"""Of a velocity, whose numbers are of the size of 1: float32 sums of a few hundred terms in another order."""


@pytest.fixture(scope="module")
def pools():
    return load("cpu"), load("cuda")


def velocities(pool, n, t=0.5, k=3):
    x, samples = start(pool, sample_seeds(0, n))
    with torch.no_grad():
        return pool.velocity(k, x, torch.full((n,), t, device=x.device), samples.condition).cpu()


@pytest.mark.parametrize("t", [1.0, 0.5, 0.02])
def test_velocities_are_the_cpus_within_rounding(pools, t):
    here, there = (velocities(pool, 64, t) for pool in pools)
    torch.testing.assert_close(there, here, rtol=TOLERANCE, atol=TOLERANCE)


def test_a_row_is_the_same_within_rounding_in_a_batch_of_any_size_and_the_same_bits_in_one_size(pools):
    whole = velocities(pools[1], 2048)
    for n in (1, 7, 128, 2048):
        part = velocities(pools[1], n)
        torch.testing.assert_close(part, whole[:n], rtol=TOLERANCE, atol=TOLERANCE)
        assert velocities(pools[1], n).equal(part), n


def test_captured_launches_give_the_bits_of_those_that_are_not(pools):
    network = pools[1]._experts[0]
    replayed = Replayed(network, CudaGraphs())
    x, t = torch.randn(64, 1, 28, 28, device="cuda"), torch.rand(64, device="cuda")
    with torch.no_grad(), computing_in("float32", x.device):
        for _ in range(2):
            assert evaluate_in_powers(replayed, x, t).equal(evaluate_in_powers(network, x, t))
            x = x.flip(0)


def test_captured_products_with_a_jacobian_are_those_that_are_not(pools):
    network = pools[1]._experts[0]
    replayed = Replayed(network, CudaGraphs())
    for _ in range(2):
        x, u, v = (torch.randn(16, 1, 28, 28, device="cuda") for _ in range(3))
        t = torch.rand(16, device="cuda")
        with computing_in("float32", x.device):
            maps = [linearize(lambda z, f=f, t=t: f(z, t), x) for f in (network, replayed)]
        for product, vector in (("jvp", v), ("vjp", u)):
            plain, captured = (getattr(jacobian, product)(vector) for jacobian in maps)
            torch.testing.assert_close(captured, plain, rtol=TOLERANCE, atol=TOLERANCE * float(plain.abs().max()))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two GPUs")
def test_workers_that_divide_the_gpus_record_the_bits_of_one(tmp_path):
    wanted = {Sampling("top2", 2100, steps=2): ("angles",)}
    alone, shared = (
        record_all(load("cuda"), wanted, RecordingStore(tmp_path / str(workers)), workers) for workers in (1, 2)
    )
    for one, other in zip(alone.values(), shared.values(), strict=True):
        assert one.final.equal(other.final)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_other_precisions_are_near(pools, precision):
    exact, near = velocities(pools[1], 256), velocities(load("cuda", precision=precision), 256)
    assert 1e-6 < float((exact - near).norm() / exact.norm()) < 0.02


def test_trajectories_and_norms_are_the_cpus(pools):
    visits = Sampling("full", 4, steps=6)
    here, there = (sample(pool, visits, ("angles", "jacobian-terms@tenths")) for pool in pools)
    torch.testing.assert_close(there.final, here.final, rtol=0, atol=0.02)
    torch.testing.assert_close(there.observed["angles"], here.observed["angles"], rtol=0, atol=1.0)
    norms = [recording.observed["jacobian-terms@tenths"][..., 0] for recording in (here, there)]
    torch.testing.assert_close(norms[1], norms[0], rtol=0.05, atol=0.05)


def test_a_trajectory_repeats_its_bits(pools):
    visits = Sampling("top2", 32, steps=5)
    assert sample(pools[1], visits).final.equal(sample(pools[1], visits).final)


def fitted(folder, device, steps, after_step=lambda module: None):
    """A tiny network after some steps of training on noise, from what a state in the folder left."""
    recipe = replace(preset_named("tiny").recipes["expert"], steps=steps, batch=16)
    images = torch.randint(0, 256, (200, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = preset_named("tiny").build("expert", 10, 10)
    data = TrainingData(images, torch.zeros(200, dtype=torch.int64))
    place = folder / "state"
    fit = Fit("expert", Streams(0, 0, 0), "", VelocityObjective(), recipe, data, place, device, False, after_step)
    return fit(network, lambda done: None)


def test_training_by_captured_launches_is_that_of_the_cpu_and_repeats_its_bits(tmp_path):
    here, there, again = (fitted(tmp_path / str(i), d, 8) for i, d in enumerate(("cpu", "cuda", "cuda")))
    assert here.rows[-1]["loss"] == pytest.approx(there.rows[-1]["loss"], rel=1e-3)
    for a, b, c in zip(*(f.model.parameters() for f in (here, there, again)), strict=True):
        torch.testing.assert_close(a.detach(), b.detach().cpu(), rtol=TRAINED, atol=TRAINED)
        assert torch.equal(b, c)
