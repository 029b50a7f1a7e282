"""A training that was stopped goes on with the same bits, on every device."""

import pytest
import torch
from test_cuda import fitted

from mnist_ddm.training import loop

CUDA = pytest.param(
    "cuda",
    marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")],
)


class Stopped(Exception):  # noqa: N818 (no error)
    pass


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_training_that_was_stopped_goes_on_with_the_same_bits(device, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 4)  # and a state is saved with each row

    def stop(module):
        if (tmp_path / "stopped" / "state").exists():
            assert module.done < 10
            raise Stopped

    for folder in ("whole", "stopped"):
        (tmp_path / folder).mkdir()
    whole = fitted(tmp_path / "whole", device, 10)
    with pytest.raises(Stopped):
        fitted(tmp_path / "stopped", device, 10, stop)
    resumed = fitted(tmp_path / "stopped", device, 10)
    assert repr(resumed.rows) == repr(whole.rows)  # where no time fell, a mean is NaN
    for a, b in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(a, b)
