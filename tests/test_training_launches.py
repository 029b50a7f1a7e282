"""Training by captured launches, as far as it can be told without a GPU."""

from types import SimpleNamespace

import pytest
import torch

from mnist_ddm.training.module import captured
from mnist_ddm.training.objectives import ClassifierObjective, Objective, RouterObjective, VelocityObjective


class _OnGpu(Objective):
    """An objective whose inputs say to lie on a GPU."""

    def batch(self, data, rows, recipe, rng):
        raise NotImplementedError

    def loss(self, model, batch):
        raise NotImplementedError

    def inputs(self, batch):
        return (SimpleNamespace(is_cuda=True, detach=lambda: torch.zeros(2)),)


def test_launches_are_captured_on_a_gpu_alone_and_training_goes_on_where_they_cannot_be(monkeypatch, caplog):
    model, seen = torch.nn.Identity(), []
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", lambda m, like: seen.append(like) or torch.nn.ReLU())
    batch = {"clean": torch.zeros(2, 1, 4, 4), "noise": torch.ones(2, 1, 4, 4), "t": torch.tensor([0.5, 1.0])}
    assert captured(model, VelocityObjective(), batch) is model
    assert captured(model, ClassifierObjective(), batch) is model
    assert not seen
    assert isinstance(captured(model, _OnGpu(), {}), torch.nn.ReLU)
    assert len(seen) == 1

    def fail(m, like):
        raise RuntimeError("operation not permitted\nmore")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fail)
    assert captured(model, _OnGpu(), {}) is model
    assert "goes on without captured launches: operation not permitted" in caplog.text


@pytest.mark.parametrize("objective", [VelocityObjective(), RouterObjective()])
def test_a_loss_calls_the_model_with_its_inputs_alone(objective):
    called = []

    def model(*inputs):
        called.append(inputs)
        return torch.zeros(2, 1, 4, 4) if isinstance(objective, VelocityObjective) else torch.zeros(2, 3)

    batch = {"clean": torch.zeros(2, 1, 4, 4), "noise": torch.ones(2, 1, 4, 4), "t": torch.tensor([0.5, 1.0])}
    objective.loss(model, batch | {"target": torch.tensor([0, 2])})
    (inputs,) = called
    assert all(torch.equal(a, b) for a, b in zip(inputs, objective.inputs(batch), strict=True))
