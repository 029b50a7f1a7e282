"""Trainings of one device at once, captured where it is a GPU: the bits of each alone, of steps that are called, of
Lightning's loop, and of trainings that were not stopped; and the CPU's weights within rounding.
"""

from dataclasses import replace

import pytest
import torch
from test_cuda import TRAINED

from mnist_ddm.compute.launches import CudaGraphs
from mnist_ddm.models.presets import preset_named
from mnist_ddm.training import loop, together
from mnist_ddm.training.data import Streams
from mnist_ddm.training.loop import Fit
from mnist_ddm.training.objectives import OBJECTIVES, TrainingData
from mnist_ddm.training.together import fit_together

GPU = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")]
DEVICES = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
KINDS = ("expert", "expert", "router", "classifier")
STEPS = 10


class Stopped(Exception):  # noqa: N818 (no error)
    pass


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    for module in (loop, together):
        monkeypatch.setattr(module, "LOG_EVERY", 4)
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(loop, "SAVE_SHARE", float("inf"))


def prepared(folder, device, number):
    """What one of `KINDS` is fitted to, and its fresh network."""
    folder.mkdir(exist_ok=True)
    kind, tiny = KINDS[number], preset_named("tiny")
    random = torch.Generator().manual_seed(number)
    images = torch.randint(0, 256, (200, 1, 28, 28), dtype=torch.uint8, generator=random)
    data = TrainingData(images, torch.randint(0, 10, (200,), generator=random))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number)
        network = tiny.build(kind, 10, 10)
    recipe, place = replace(tiny.recipes[kind], steps=STEPS, batch=16), folder / f"{number}.safetensors"
    fit = Fit(kind, Streams(0, 0, number), "", OBJECTIVES[kind], recipe, data, place, device, every=STEPS)
    return fit, network


def trained(folder, device, numbers=range(4), *, captured=True, report=lambda done: None):
    """The weights of networks that were trained at once, by their numbers."""
    numbers, results = list(numbers), {}

    def finish(place, fitted):
        results[numbers[place]] = fitted.model.state_dict() | {"loss": torch.tensor(fitted.rows[-1]["loss"])}

    capture = CudaGraphs if captured and device == "cuda" else None
    fit_together([(*prepared(folder, device, number), report) for number in numbers], finish, capture)
    return results


def assert_equal(some, others):
    assert some.keys() == others.keys()
    for number, state in some.items():
        assert all(torch.equal(value.cpu(), others[number][name].cpu()) for name, value in state.items()), number


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    """What is trained on each device, at once and in one go."""
    known = {}

    def train(device):
        if device not in known:
            known[device] = trained(tmp_path_factory.mktemp(device), device)
        return known[device]

    return train


@DEVICES
def test_each_has_the_bits_of_itself_alone_and_of_steps_that_are_called(at_once, tmp_path, device):
    for number in range(4):
        assert_equal(trained(tmp_path / "alone", device, [number]), {number: at_once(device)[number]})
    assert_equal(trained(tmp_path / "called", device, captured=False), at_once(device))


@DEVICES
def test_they_have_the_bits_of_lightnings_loop(at_once, tmp_path, device):
    fitted = {}
    for number in range(4):
        fit, network = prepared(tmp_path, device, number)
        result = fit(network, lambda done: None)
        fitted[number] = result.model.state_dict() | {"loss": torch.tensor(result.rows[-1]["loss"])}
    assert_equal(fitted, at_once(device))


@DEVICES
def test_what_was_stopped_goes_on_with_the_same_bits(at_once, tmp_path, device):
    def stop(done):
        if done > 4 / STEPS:
            raise Stopped

    with pytest.raises(Stopped):
        trained(tmp_path, device, report=stop)
    assert len(list(tmp_path.glob("*.safetensors"))) == len(KINDS)
    assert_equal(trained(tmp_path, device), at_once(device))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")
def test_they_are_those_of_the_cpu_within_rounding(at_once):
    for number, state in at_once("cuda").items():
        for name, value in state.items():
            torch.testing.assert_close(value, at_once("cpu")[number][name], rtol=TRAINED, atol=TRAINED)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")
def test_every_step_could_be_captured(tmp_path, caplog):
    trained(tmp_path, "cuda")
    assert "without captured launches" not in caplog.text
