"""Resume state without pickle: one safetensors file with weights, averages, Adam moments and a JSON header."""

import math
from pathlib import Path
from typing import Annotated, final

import msgspec
import torch
from torch import Tensor

from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import read_tensors, write_tensors
from mnist_ddm.storage.typed import as_kind
from mnist_ddm.training.module import TrainingModule
from mnist_ddm.training.objectives import Data
from mnist_ddm.versions import History

LogRow = dict[str, int | float]
"""A row of the loss log: the step, the mean loss, and the mean loss by time."""

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save_state(
    path: Path,
    module: TrainingModule[Data],
    identity: str,
    log: list[LogRow],
    seconds: float,
    history: History,
) -> None:
    """Write the state of a training between two steps.

    Args:
        path: of the state file; replaced atomically.
        module: the training.
        identity: digest of everything that decides the result.
        log: the rows of the loss log so far.
        seconds: spent so far.
        history: the versions of the software so far.
    """
    tensors: dict[str, Tensor] = {}
    tensors |= {f"model.{name}": value for name, value in module.model.state_dict().items()}
    tensors |= {f"averaged.{name}": value for name, value in module.averaged.state_dict().items()}
    state = module.optimizer.state_dict()["state"]
    for index, moments in state.items():
        tensors |= {f"optimizer.{index}.{name}": moments[name] for name in _MOMENTS}
    header = {"done": module.done, "identity": identity, "log": log, "seconds": seconds, "versions": history}
    write_tensors(path, tensors, header)


def load_state(path: Path, module: TrainingModule[Data], identity: str) -> tuple[list[LogRow], float, History]:
    """Put a training back to where `save_state` left it; returns the log, the seconds spent and the versions so far.

    Raises:
        InputError: if the file is damaged or belongs to another training.
    """
    tensors, stated = read_tensors(path, finite=True)
    header = as_kind(stated, _Header, f"the header of {path}", "a state of a training; delete it to begin again")
    if header.identity != identity:
        raise InputError(f"{path} is the state of another training (other recipe, data or seed); choose another --out")
    if header.done > module.recipe.steps:
        raise InputError(f"{path} tells of more steps than the training has; delete it to begin again")
    model, averaged = _below(tensors, "model."), _below(tensors, "averaged.")
    try:
        for read, target in ((model, module.model), (averaged, module.averaged)):
            target.load_state_dict(read)
            if any(value.dtype != read[name].dtype for name, value in target.state_dict().items()):
                raise RuntimeError("other types")  # which torch would convert
    except RuntimeError as error:
        raise InputError(f"{path} does not fit the model; delete it to begin again") from error
    parameters = list(module.model.parameters())
    for i, parameter in enumerate(parameters):
        if not _fit(_below(tensors, f"optimizer.{i}."), parameter, header.done):
            raise InputError(f"{path} does not hold the optimiser of this model; delete it to begin again")
    module.moments = {i: _like(parameter, _below(tensors, f"optimizer.{i}.")) for i, parameter in enumerate(parameters)}
    module.done = header.done
    return header.log, header.seconds, header.versions


@final
class _Header(msgspec.Struct, frozen=True):
    done: Annotated[int, msgspec.Meta(ge=1)]
    identity: str
    log: Annotated[list[LogRow], msgspec.Meta(min_length=1)]
    seconds: Annotated[float, msgspec.Meta(ge=0, le=1e12)]
    versions: dict[str, str] = {}

    def __post_init__(self) -> None:
        if any(row.keys() != self.log[0].keys() for row in self.log) or not {"step", "loss"} <= self.log[0].keys():
            raise ValueError("the rows of its log differ in their columns")
        steps = [row["step"] for row in self.log]
        if not all(isinstance(step, int) for step in steps) or steps != sorted({0, *steps})[1:]:
            raise ValueError("the steps of its log do not rise")
        if steps[-1] != self.done:
            raise ValueError("its log ends at another step")
        # The mean loss at some times is NaN where no time of a small batch fell.
        if not all(math.isfinite(row["loss"]) for row in self.log):
            raise ValueError("a loss in its log is not finite")


def _fit(moments: dict[str, Tensor], parameter: Tensor, done: int) -> bool:
    """Whether these are the moments of a parameter after so many steps."""
    return (
        moments.keys() == set(_MOMENTS)
        and all(value.dtype == parameter.dtype for value in moments.values())
        and moments["exp_avg"].shape == moments["exp_avg_sq"].shape == parameter.shape
        and bool((moments["exp_avg_sq"] >= 0).all())
        and moments["step"].shape == ()
        and float(moments["step"]) == done
    )


def _like(parameter: Tensor, moments: dict[str, Tensor]) -> dict[str, Tensor]:
    """Moments in the memory layout of their parameter: the fused optimiser walks over both in parallel."""
    return {
        name: torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
        for name, value in moments.items()
    }


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
