"""The Lightning module: a thin shell around an objective, an optimiser and averaged weights."""

import copy
import logging
import math
from typing import Any, Generic, cast, final

import lightning
import torch
from torch import Tensor, nn

from mnist_ddm.compute.launches import uncollected
from mnist_ddm.models.presets import Recipe
from mnist_ddm.training.objectives import Batch, Data, Objective

BETAS = (0.9, 0.99)


def learning_rate(recipe: Recipe, step: int) -> float:
    """The rate of a step: a linear rise over the warmup, then half a cosine down to 0."""
    done = (step + 0.5) / recipe.steps
    if done < recipe.warmup:
        return recipe.learning_rate * done / recipe.warmup
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (done - recipe.warmup) / (1 - recipe.warmup)))


def averaging_decay(recipe: Recipe, step: int) -> float:
    """The decay of the averaged weights: they forget over ``averaging`` of the run, and faster at its start."""
    return min(1 - 1 / max(recipe.averaging * recipe.steps, 1.0), (step + 1) / (step + 10))


def rate_type(device: torch.device) -> torch.dtype:
    """The numbers in which a rate is told to the optimiser: that of CUDA reads a tensor's in float32 alone.

    It has to be told the same rate as a tensor, where its steps are captured, and as a number, where they are not.
    """
    return torch.float32 if device.type == "cuda" else torch.float64


def captured(model: nn.Module, objective: Objective[Any], batch: Batch) -> nn.Module:
    """The model with the launches of its passes, forwards and backwards, captured for batches like this one.

    They take a GPU less time than the CPU to launch. Where they cannot be captured the model is returned as it is.
    """
    inputs = objective.inputs(batch)
    if inputs is None or not inputs[0].is_cuda:
        return model
    try:
        like = tuple(tensor.detach().clone() for tensor in inputs)
        with uncollected():
            return cast(nn.Module, torch.cuda.make_graphed_callables(model, like))
    except RuntimeError as error:
        logging.getLogger(__name__).warning("training goes on without captured launches: %s", str(error).split("\n")[0])
        return model


@final
class TrainingModule(lightning.LightningModule, Generic[Data]):
    """Trains one model by one objective.

    Attributes:
        model: being trained.
        averaged: its exponential moving average, which is what is kept in the end.
        done: steps finished.
        optimizer: of the model, from `configure_optimizers` on.
        moments: of each parameter by its number, with which the optimiser begins; ``None`` for fresh ones.
    """

    optimizer: torch.optim.Optimizer

    def __init__(self, model: nn.Module, objective: Objective[Data], recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.averaged = copy.deepcopy(model).requires_grad_(False)
        self.objective = objective
        self.recipe = recipe
        self.done = 0
        self.moments: dict[int, dict[str, Tensor]] | None = None
        self._launched: tuple[nn.Module, ...] = ()  # a module of its own would be a part of this one twice

    def configure_optimizers(self, rate: float | Tensor = 0.0) -> torch.optim.Optimizer:
        """The optimiser; its steps can be captured if its rate is a tensor, of which it holds a copy."""
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=rate,
            betas=BETAS,
            weight_decay=self.recipe.weight_decay,
            fused=True,
            capturable=isinstance(rate, Tensor),
        )
        if self.moments is not None:
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": self.moments})
        return self.optimizer

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        rate = torch.tensor(learning_rate(self.recipe, self.done), dtype=rate_type(self.device)).item()
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        if not self._launched:
            self._launched = (captured(self.model, self.objective, batch),)
        losses = self.objective.loss(self._launched[0], batch)
        return {"loss": losses.mean(), "losses": losses.detach(), "t": batch["t"]}

    @torch.no_grad()
    def finish_step(self) -> None:
        """Average the weights and count the step; called when the optimiser has moved."""
        weight = 1 - averaging_decay(self.recipe, self.done)
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self.model.parameters()), weight)
        self.done += 1
