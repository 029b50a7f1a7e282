"""What a routing strategy is, and what it may look at."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from mnist_ddm.compute.devices import sent
from mnist_ddm.core.asked import asked_velocity
from mnist_ddm.core.condition import Condition
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.errors import blamed


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
        memory = {name: kept[sent(rows, kept.device)] for name, kept in self.memory.items()}
        return Samples(self.seeds[rows.to(self.seeds.device)], self.condition.select(rows), memory)


@final
class AskedExperts:
    """The experts of a pool at some states: a strategy may ask them before it decides, and none is asked twice.

    Attributes:
        products: of a Jacobian and a vector that the strategy took, for each state, on the CPU, shape ``(B,)``; each
            counts as an evaluation.
    """

    def __init__(self, pool: ExpertPool, x: Tensor, t: Tensor, condition: Condition) -> None:
        """Take the states ``(B, *state_shape)`` at times ``(B,)``; nothing is evaluated yet."""
        self._pool, self._x, self._t, self._condition = pool, x, t, condition
        self._asked: Tensor | None = None
        self._velocities: Tensor | None = None
        self.products = torch.zeros(len(x), dtype=torch.int64)

    def velocities(self, wanted: Tensor) -> Tensor:
        """The velocities of the experts that are wanted where ``wanted`` ``(B, K)`` says so, kept for the field.

        Returns:
            Shape ``(B, K, *state_shape)``; 0 for an expert that nobody has asked there.
        """
        asked, kept = self._kept()
        wanted = wanted.cpu()
        for k in range(self._pool.n_experts):
            rows = (wanted[:, k] & ~asked[:, k]).nonzero()[:, 0]
            if len(rows):
                kept[sent(rows, kept.device), k] = self._evaluate(k, rows)
        asked |= wanted
        return kept

    def keep(self, velocities: Tensor) -> None:
        """Keep velocities of all experts ``(B, K, *state_shape)`` that the strategy evaluated itself."""
        asked, kept = self._kept()
        asked.fill_(True)
        kept.copy_(velocities)

    def of(self, expert: int, rows: Tensor) -> Tensor:
        """One expert's velocities at some states, kept ones included.

        Args:
            expert: which.
            rows: of the states, int64, on the CPU.

        Returns:
            Shape ``(len(rows), *state_shape)``.
        """
        if self._asked is None or self._velocities is None:
            return self._evaluate(expert, rows)
        new = ~self._asked[rows, expert]
        found = self._velocities[sent(rows, self._velocities.device), expert]
        if not new.any():
            return found
        return found.index_put((sent(new.nonzero()[:, 0], found.device),), self._evaluate(expert, rows[new]))

    def evaluations(self, chosen: Tensor) -> Tensor:
        """Evaluations of experts for each state ``(B,)``, if those of ``chosen`` ``(B, K)`` are joined; on the CPU."""
        asked = chosen if self._asked is None else chosen | self._asked
        return asked.sum(dim=1) + self.products + self._pool.shared_evaluations

    def _kept(self) -> tuple[Tensor, Tensor]:
        if self._asked is None or self._velocities is None:
            k, x = self._pool.n_experts, self._x
            self._asked = torch.zeros(len(x), k, dtype=torch.bool)
            self._velocities = x.new_zeros(len(x), k, *x.shape[1:])
        return self._asked, self._velocities

    def _evaluate(self, expert: int, rows: Tensor) -> Tensor:
        place = sent(rows, self._x.device)
        return asked_velocity(self._pool, expert, self._x[place], self._t[place], self._condition.select(rows))


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

    @cached_property
    def experts(self) -> AskedExperts:
        """What the experts say at the states, for strategies whose weights depend on it."""
        return AskedExperts(self.pool, self.x, self.t, self.samples.condition)


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
    def takes_logits(self) -> bool:
        """Whether the weights follow the logits that it is given: not those of a strategy that has others, or none."""
        return self.needs_router

    @property
    def needs_reference(self) -> bool:
        """Whether the weights depend on the closed form of the data, which not every system has."""
        return False

    @property
    def needs_real_states(self) -> bool:
        """Whether the weights depend on training states, which not every system has."""
        return False

    @property
    def needs_conditions(self) -> bool:
        """Whether the weights depend on which clusters a condition belongs to, which not every system knows."""
        return False

    @property
    def follows_flow(self) -> bool:
        """Whether what it keeps of a trajectory is right only where no noise is added on the way."""
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

    def chosen(self, logits: Tensor, context: RoutingContext) -> Tensor:
        """Which experts the strategy takes, bool, shape ``(B, K)``; the weight of one may be so small that it is 0."""
        return self.weights(logits, context) > 0


def asked_weights(routing: Routing, logits: Tensor, context: RoutingContext) -> Tensor:
    """The weights of a strategy; one of another package that fails, or gives none, is named.

    Raises:
        InputError: if it does.
    """
    maker = maker_of(routing)
    if maker is None:
        return routing.weights(logits, context)
    with blamed(f"the routing {maker}"):
        weights: object = routing.weights(logits, context)
        if not isinstance(weights, Tensor) or weights.shape != logits.shape or not weights.is_floating_point():
            told = f"shape {tuple(weights.shape)}" if isinstance(weights, Tensor) else type(weights).__name__
            raise TypeError(f"its weights are no {tuple(logits.shape)} of numbers but {told}")
        if (weights < 0).any():
            raise ValueError("it gives weights below 0")
        return weights


def parts_of(routing: Routing) -> Iterator[Routing]:
    """A strategy and all that it is made of."""
    yield routing
    for value in getattr(routing, "__dict__", {}).values():
        if isinstance(value, Routing):
            yield from parts_of(value)


def maker_of(routing: Routing) -> str | None:
    """Name and origin of the part of a strategy that another package made; ``None`` if it is all of this one."""
    for part in parts_of(routing):
        module = type(part).__module__
        if module.partition(".")[0] not in ("mnist_ddm", "paris_ddm"):
            return f"{type(part).__name__!r} of {module}"
    return None


def among(logits: Tensor, experts: Tensor) -> Tensor:
    """Which experts are among the ``experts`` ``(B, k)``, bool ``(B, K)``; one that the router rules out never is."""
    return torch.zeros_like(logits, dtype=torch.bool).scatter(1, experts, True) & (logits > -torch.inf)


def renormalised(logits: Tensor, chosen: Tensor) -> Tensor:
    """The softmax of ``logits`` over the experts ``chosen`` ``(B, k)`` alone; 0 for the others."""
    return torch.full_like(logits, -torch.inf).scatter(1, chosen, logits.gather(1, chosen)).softmax(dim=1)


def one_hot(expert: Tensor, like: Tensor) -> Tensor:
    """Weights ``(B, K)`` of the shape and dtype of ``like`` that are 1 for ``expert`` ``(B,)`` and 0 elsewhere."""
    return torch.zeros_like(like).scatter(1, sent(expert, like.device)[:, None], 1.0)


def negligible_weight(dtype: torch.dtype) -> float:
    """Experts of at most this weight are not run: an eighth of the spacing of numbers at 1, which rounds away."""
    return torch.finfo(dtype).eps / 8


def number(value: float) -> str:
    """A number as it is spelled in a routing's name: short, and read back as the same number."""
    return f"{value:.12g}"
