"""A visit: one state of each sample of a batch, and what the field said there."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mnist_ddm.core.field import Evaluation, VelocityField
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.routing import Samples


@dataclass(frozen=True)
class Visit:
    """One visited state of a batch: where it is and what the field said there.

    Attributes:
        x: states ``(B, *state_shape)``.
        t: the time, the same for the whole batch.
        evaluation: of the field at ``(x, t)``.
        samples: whose states they are.
        field: what was evaluated.
        calls: expert evaluations that the routing asked for up to here, for each sample, shape ``(B,)``.
        number: of the visit, from 0.
        visits: how many there are in the run.
        interval: of the step grid, for routings that draw anew in each.
        target: the velocity target of each state, where the states are noised data.
    """

    x: Tensor
    t: float
    evaluation: Evaluation
    samples: Samples
    field: VelocityField
    calls: Tensor
    number: int
    visits: int
    interval: int
    target: Tensor | None = None

    @property
    def pool(self) -> ExpertPool:
        """The system."""
        return self.field.pool

    @property
    def times(self) -> Tensor:
        """The time of each row, shape ``(B,)``."""
        return torch.full((len(self.x),), self.t, dtype=self.x.dtype, device=self.x.device)
