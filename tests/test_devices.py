"""What a GPU would refuse, without one: see `elsewhere.py`. And which device a name means."""

import os
import re
import time
from functools import cache
from pathlib import Path

import pytest
import torch
from elsewhere import DEVICE, Elsewhere
from test_field import Spoiled

import mnist_ddm
import paris_ddm
from mnist_ddm.cli import cli
from mnist_ddm.compute import devices
from mnist_ddm.compute.parallel import run_jobs
from mnist_ddm.core.empirical import EmpiricalReference
from mnist_ddm.core.field import make_field
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.observables import OBSERVABLES
from mnist_ddm.core.recording import sample
from mnist_ddm.core.solvers import StepGrid, solver_named
from mnist_ddm.core.visits import Noising, Sampling, start, trajectory
from mnist_ddm.errors import InputError, NotFiniteError
from mnist_ddm.figures.points import save_scatter
from mnist_ddm.metrics.fidelity import classify
from mnist_ddm.metrics.frechet import extract
from mnist_ddm.systems import contract, gaussian, mnist
from mnist_ddm.systems.simple import SimplePool
from mnist_ddm.terminal.options import resolve_workers


@pytest.fixture(params=[True, False], ids=["float64", "no float64"])
def elsewhere(request, monkeypatch):
    """A device with and one without float64; entered by the test."""
    if not request.param:
        monkeypatch.setattr(devices, "WITHOUT_FLOAT64", frozenset((DEVICE.type,)))
    return Elsewhere(float64=request.param)


@cache
def here(visits, names=()):
    """What is recorded here, once for both kinds of device."""
    return sample(gaussian.load(), visits, names)


@cache
def measured(device):
    pool = mnist.load(device)
    samples = sample(pool, Sampling("top2", 2, steps=2), ("angles", "disagreement")).observed
    images = pool.decode(pool.measures.real_states(3)[0])
    classifier = pool.measures.classifier
    probabilities = classify.__wrapped__(classifier, images)  # torch's subclasses know no inference mode
    return *samples.values(), extract(pool.measures.frechet_features["classifier"], images), probabilities


ROUTINGS = [
    "gumbel",
    "full@density",
    "median",
    "full",
    "each",
    "once",
    "misaligned2",
    "top1@T=2+equal",
    "top-p=0.9",
    "commit=0.6",
    "label",
]


@pytest.mark.long
def test_every_routing_goes_elsewhere_and_comes_to_the_same(elsewhere):
    for routing in (*ROUTINGS, "top2@centroids", "posterior", "monolith"):
        sampling = Sampling(routing, 3, steps=2)
        with elsewhere:
            there = sample(gaussian.load(DEVICE), sampling)
        torch.testing.assert_close(there.final, here(sampling).final, rtol=0, atol=1e-5, msg=routing)
        assert there.evaluations.equal(here(sampling).evaluations), routing


def test_clipping_by_jacobians_goes_elsewhere(elsewhere):
    sampling = Sampling("top2+clip", 2, steps=1)
    with elsewhere:
        there = sample(gaussian.load(DEVICE), sampling)
    torch.testing.assert_close(there.final, here(sampling).final, rtol=0, atol=1e-5)


def test_every_observable_is_the_same_elsewhere(elsewhere):
    names = tuple(name for name in OBSERVABLES if name not in ("target-errors", "expert-jacobians"))
    sampling, data = Sampling("top2", 2, steps=1), Noising("top2", 2, moments=(0.5,))
    kept, noised = here(sampling, names), here(data, ("target-errors",))
    with elsewhere:
        pool = gaussian.load(DEVICE)
        there, noised_there = sample(pool, sampling, names), sample(pool, data, ("target-errors",))
    for name in names:
        torch.testing.assert_close(there.observed[name], kept.observed[name], rtol=1e-5, atol=1e-5, msg=name)
    torch.testing.assert_close(noised_there.observed["target-errors"], noised.observed["target-errors"])


@pytest.mark.long
def test_networks_and_what_measures_them_give_the_same_bits_elsewhere(elsewhere):
    ours = measured("cpu")
    with elsewhere:
        theirs = measured.__wrapped__(DEVICE)
    assert all(a.equal(b) for a, b in zip(ours, theirs, strict=True))


def test_what_is_told_drawn_and_promised_of_states_elsewhere_is_that_of_states_here(elsewhere, tmp_path):
    def found(device, picture):
        states, clusters = torch.arange(8.0).reshape(4, 2).to(device), torch.tensor([0, 1, 1, 0]).to(device)
        pool = SimplePool([lambda x, t: x] * 2, lambda x, t: x, (states, clusters))
        save_scatter(states, ("x", "y"), states, picture, {})
        contract._columns(gaussian.load(device))
        return pool.prior, pool.measures.fingerprint

    def posterior(device):
        reference = EmpiricalReference(torch.eye(3, 2).to(device), torch.tensor([0, 1, 1]).to(device), 2)
        return reference.posterior(torch.zeros(2, 2).to(device), torch.full((2,), 0.5).to(device)).cpu()

    (prior, fingerprint), weights = found("cpu", tmp_path / "here.png"), posterior("cpu")
    with elsewhere:
        prior_there, fingerprint_there = found(DEVICE, tmp_path / "there.png")
        weights_there = posterior(DEVICE)
    assert prior_there.equal(prior)
    assert fingerprint_there == fingerprint
    assert weights_there.equal(weights)
    assert (tmp_path / "there.png").read_bytes() == (tmp_path / "here.png").read_bytes()


def test_nothing_is_widened_before_it_is_moved():
    """A device without float64 refuses to widen."""
    for package in (mnist_ddm, paris_ddm):
        for file in sorted(Path(package.__file__).parent.rglob("*.py")):
            assert not re.search(r"double\(\)\.(cpu|to)\(", file.read_text(encoding="utf-8")), file


@pytest.mark.parametrize("routing", ["full", "top2", "top1", "once", "gumbel", "misaligned2"])
def test_an_evaluation_of_a_trajectory_waits_for_a_device_once_however_many_experts_it_asks(routing):
    """For which rows each expert gets, and whether all before was finite; nothing that is sent there is waited for."""
    device = Elsewhere(float64=True)
    with device:
        field = make_field(gaussian.load(DEVICE), routing)
        x, samples = start(field.pool, sample_seeds(0, 4))
        t = torch.full((4,), 0.5, device=DEVICE)
        field.evaluate(x, t, samples)  # at first some draw what they keep
        device.looks.clear()
        assert field.evaluate(x, t, samples).calls.device.type == "cpu"
        assert device.looks == {"to the CPU": 1, "_local_scalar_dense": 1}  # alone it looks whether all is finite
        device.looks.clear()
        for _ in trajectory(field, solver_named("heun"), StepGrid(3), x, samples):
            pass
    assert device.looks == {"to the CPU": 5, "_local_scalar_dense": 1}  # the last step is one of Euler's


@pytest.mark.parametrize("part", ["router", 1])
def test_a_number_elsewhere_that_is_none_is_named_with_its_sample_and_step(part):
    def said(device, solver, steps):
        with pytest.raises(NotFiniteError) as error:
            sample(Spoiled(gaussian.load(device), part, float("nan")), Sampling("full", 3, solver=solver, steps=steps))
        return str(error.value)

    for way in (("euler", 2), ("heun", 4)):  # of the first the last evaluation is wrong
        ours = said("cpu", *way)
        with Elsewhere(float64=True):
            assert said(DEVICE, *way) == ours


def test_auto_is_the_best_device_that_there_is(monkeypatch, capsys):
    monkeypatch.setattr(devices, "available_devices", lambda: {"cpu": "", "mps": ""})
    assert devices.chosen_device("auto") == "mps"
    monkeypatch.setattr(devices, "available_devices", lambda: {"cpu": "", "cuda:0": "A1", "cuda:1": "", "mps": ""})
    assert devices.chosen_device("auto") == "cuda"  # all of them
    assert devices.chosen_device("cuda") == "cuda"
    assert devices.described("cuda") == "cuda (2 of A1)"
    assert devices.described("cuda:0") == "cuda:0 (A1)"
    with pytest.raises(InputError, match="auto, cpu, cuda:0, cuda:1, mps"):
        devices.chosen_device("cuda:2")
    monkeypatch.setattr(devices, "available_devices", lambda: {"cpu": "", "cuda:0": "A1"})
    assert devices.chosen_device("auto") == "cuda:0"
    assert devices.described("cuda") == "cuda (A1)"


@pytest.fixture
def three_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_workers_divide_the_gpus_that_this_process_sees_unless_one_is_named(three_gpus, monkeypatch):
    assert devices.shared_gpus("cuda") == devices.shared_gpus(torch.device("cuda")) == ("0", "1", "2")
    assert devices.shared_gpus("cuda:1") == devices.shared_gpus("cpu") == ()
    assert [resolve_workers(None, name) for name in ("cuda", "cuda:1", "mps")] == [3, 1, 1]
    assert resolve_workers(2, "cuda") == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-ab,7")
    assert devices.shared_gpus("cuda") == ("5", "GPU-ab", "7")


def test_each_worker_sees_the_gpu_after_that_of_the_one_before(three_gpus, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6,7")
    gpus = devices.shared_gpus("cuda")
    for expected in ("5", "6", "7", "5"):
        devices.take_gpu(gpus, tmp_path)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == expected


def test_workers_of_one_gpu_all_see_it(three_gpus, monkeypatch, tmp_path):
    """So parts of the small Paris can share it, each trained in a process of its own."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    gpus = devices.shared_gpus("cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # is put back after the test
    assert resolve_workers(10, "cuda") == 10
    for _ in range(10):
        devices.take_gpu(gpus, tmp_path)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


def seen(report):
    time.sleep(0.2)  # so that no worker takes both jobs
    return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]


@pytest.mark.slow
def test_jobs_on_several_gpus_run_in_processes_that_see_one_each(three_gpus):
    found = dict(run_jobs([seen] * 12, workers=3, device="cuda"))
    assert sorted(found.values()) == ["0", "1", "2"]
    assert os.environ.get("CUDA_VISIBLE_DEVICES") is None


def test_the_device_is_told_whoever_chose_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(devices, "available_devices", lambda: {"cpu": "", "cuda:0": "A1"})
    plan = ["reproduce", "--system", "gaussian", "--plan"]
    monkeypatch.setattr("mnist_ddm.systems.registry.load_system", lambda *given, **options: gaussian.load("cpu"))
    for chosen, told in (("auto", "cuda:0 (A1)"), ("cuda", "cuda (A1)"), ("cuda:0", "cuda:0 (A1)")):
        cli.main([*plan, "--device", chosen], standalone_mode=False)
        assert f"device: {told}" in capsys.readouterr().err
    arguments = ["--system", "gaussian", "--n", "2", "--steps", "2", "--out", str(tmp_path / "a.png")]
    cli.main(["sample", *arguments], standalone_mode=False)
    assert "device" not in capsys.readouterr().err


def test_a_training_uses_the_gpu_of_its_number():
    from mnist_ddm.training.loop import _accelerator

    assert _accelerator("cuda:3") == {"accelerator": "cuda", "devices": [3]}
    assert _accelerator("cuda") == {"accelerator": "cuda", "devices": [0]}
    assert _accelerator("cpu") == {"accelerator": "cpu", "devices": 1}
