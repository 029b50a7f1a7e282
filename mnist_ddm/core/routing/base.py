"""What a routing strategy is, and what it may look at."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mnist_ddm.core.condition import Condition
from mnist_ddm.core.pool import ExpertPool


@dataclass(frozen=True)
class Samples:
    """The samples that the rows of a state belong to.

    Attributes:
        seeds: one seed for each sample, int64, shape ``(B,)``.
        condition: what each sample is asked to be.
        memory: tensors ``(B, ...)`` that a strategy keeps along the trajectory; empty at ``t = 1``.
    """

    seeds: Tensor
    condition: Condition
    memory: dict[str, Tensor] = field(default_factory=dict)

    def select(self, rows: Tensor) -> "Samples":
        """The samples at ``rows`` (int64, any length), with a memory of their own."""
        memory = {name: kept[rows.to(kept.device)] for name, kept in self.memory.items()}
        return Samples(self.seeds[rows.to(self.seeds.device)], self.condition.select(rows), memory)


@dataclass(frozen=True)
class RoutingContext:
    """What a strategy may look at besides the router's logits.

    Attributes:
        x: states ``(B, *state_shape)``.
        t: times ``(B,)``.
        interval: the interval of the step grid, 0 at ``t = 1``.
        samples: whose states they are.
        pool: the experts.
    """

    x: Tensor
    t: Tensor
    interval: int
    samples: Samples
    pool: ExpertPool


class Routing(ABC):
    """A routing strategy."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The spelling that `parse_routing` turns back into this strategy."""

    @property
    @abstractmethod
    def needs_router(self) -> bool:
        """Whether the weights depend on the router; if not, the router is not evaluated and its logits are 0."""

    @property
    def needs_reference(self) -> bool:
        """Whether the weights depend on the closed form of the data, which not every system has."""
        return False

    @abstractmethod
    def check(self, n_experts: int) -> None:
        """Refuse a pool that the strategy does not fit.

        Raises:
            InputError: for instance if Top-k asks for more experts than there are.
        """

    @abstractmethod
    def most_experts(self, n_experts: int) -> int:
        """The most experts that one state can need, for estimates of cost."""

    def cost(self, n_experts: int) -> float:
        """About how many evaluations of experts it takes to choose the weights of one state, for estimates of time."""
        return 0.0

    @abstractmethod
    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        """Weights of the experts.

        Args:
            logits: of the router, shape ``(B, K)``.
            context: state, time, samples.

        Returns:
            Non-negative weights that sum to 1 in each row, shape ``(B, K)``.
        """


def renormalised(logits: Tensor, chosen: Tensor) -> Tensor:
    """The softmax of ``logits`` over the experts ``chosen`` ``(B, k)`` alone; 0 for the others."""
    return torch.full_like(logits, -torch.inf).scatter(1, chosen, logits.gather(1, chosen)).softmax(dim=1)


def one_hot(expert: Tensor, like: Tensor) -> Tensor:
    """Weights ``(B, K)`` of the shape and dtype of ``like`` that are 1 for ``expert`` ``(B,)`` and 0 elsewhere."""
    return torch.zeros_like(like).scatter(1, expert.to(like.device)[:, None], 1.0)


def number(value: float) -> str:
    """A number as it is spelled in a routing's name: short, and read back as the same number."""
    return f"{value:.12g}"
