"""Routing strategies: from router logits to the weights of the experts.

A strategy is one small final class with a `weights` method, and a spelling in the one grammar that the command line,
files and plots share: a name, perhaps a number (`top2`), perhaps a value (`commit=0.9`). Further strategies are found
under the entry point group `mnist_ddm.routings`: an entry point's name is the strategy's name, and its object a
function from the argument's text (`""` if there is none) to a `Routing`.

A strategy may carry state along a trajectory (`Samples.memory`), and any random number it draws is keyed by the
sample's seed and the interval of the step grid. Both stages of a Heun step, and a run on a grid twice as fine, so
see the same field.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import final

import torch
from torch import Tensor

from mnist_ddm.core.errors import InputError, unknown
from mnist_ddm.core.noise import Purpose, categorical, subsets, uniforms
from mnist_ddm.core.pool import Condition, ExpertPool

ENTRY_POINT_GROUP = "mnist_ddm.routings"


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

    @abstractmethod
    def check(self, n_experts: int) -> None:
        """Refuse a pool that the strategy does not fit.

        Raises:
            InputError: for instance if Top-k asks for more experts than there are.
        """

    @abstractmethod
    def most_experts(self, n_experts: int) -> int:
        """The most experts that one state can need, for estimates of cost."""

    @abstractmethod
    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        """Weights of the experts.

        Args:
            logits: of the router, shape ``(B, K)``.
            context: state, time, samples.

        Returns:
            Non-negative weights that sum to 1 in each row, shape ``(B, K)``.
        """


@final
@dataclass(frozen=True)
class TopK(Routing):
    r"""The k most probable experts, renormalised: :math:`w = p 1_S / \sum_{j \in S} p_j` (Section 2.3).

    Ties go to the expert with the lower number. Inside a region of constant :math:`S` the weights are differentiable.
    """

    k: int
    needs_router = True

    @property
    def name(self) -> str:
        return f"top{self.k}"

    def check(self, n_experts: int) -> None:
        if self.k > n_experts:
            raise InputError(f"{self.name} needs {self.k} experts, but there are {n_experts}; choose k <= {n_experts}")

    def most_experts(self, n_experts: int) -> int:
        return self.k

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        chosen = logits.argsort(dim=1, descending=True, stable=True)[:, : self.k]
        return _renormalised(logits, chosen)


@final
@dataclass(frozen=True)
class FullEnsemble(Routing):
    r"""All experts, weighted by the router: :math:`w_k = p_t(k \mid x_t)` (Section 2.3)."""

    needs_router = True

    @property
    def name(self) -> str:
        return "full"

    def check(self, n_experts: int) -> None:
        """Fits every pool."""

    def most_experts(self, n_experts: int) -> int:
        return n_experts

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return logits.softmax(dim=1)


@final
@dataclass(frozen=True)
class SampleOnce(Routing):
    r"""One expert for each sample, drawn from the router at the start of the trajectory and kept.

    Since :math:`p(x_0) = \sum_k \pi_k p_k(x_0)`, exact experts drawn from the exact prior sample the data exactly, at
    the cost of one expert.
    """

    needs_router = True

    @property
    def name(self) -> str:
        return "once"

    def check(self, n_experts: int) -> None:
        """Fits every pool."""

    def most_experts(self, n_experts: int) -> int:
        return 1

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        memory = context.samples.memory
        if "once" not in memory:
            memory["once"] = categorical(logits.softmax(dim=1), uniforms(context.samples.seeds, Purpose.ROUTING))
        return one_hot(memory["once"], logits)


@final
@dataclass(frozen=True)
class Oracle(Routing):
    """The expert of the cluster that the sample is asked to come from (`Condition.cluster`); no router involved."""

    needs_router = False

    @property
    def name(self) -> str:
        return "label"

    def check(self, n_experts: int) -> None:
        """Fits every pool."""

    def most_experts(self, n_experts: int) -> int:
        return 1

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return one_hot(context.samples.condition.cluster, logits)


@final
@dataclass(frozen=True)
class Uniform(Routing):
    r"""All experts with equal weights :math:`1 / K`; no router involved."""

    needs_router = False

    @property
    def name(self) -> str:
        return "uniform"

    def check(self, n_experts: int) -> None:
        """Fits every pool."""

    def most_experts(self, n_experts: int) -> int:
        return n_experts

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return torch.full_like(logits, 1 / logits.shape[1])


@final
@dataclass(frozen=True)
class RandomK(Routing):
    r"""k experts drawn at random in each interval, with the router's weights renormalised (Table 8's misaligned Top-2).

    The draw does not look at the router, so it breaks the alignment of experts and states and keeps the number of
    experts. It is a function of the sample's seed and the interval of the step grid.
    """

    k: int
    needs_router = True

    @property
    def name(self) -> str:
        return f"misaligned{self.k}"

    def check(self, n_experts: int) -> None:
        if self.k > n_experts:
            raise InputError(f"{self.name} needs {self.k} experts, but there are {n_experts}; choose k <= {n_experts}")

    def most_experts(self, n_experts: int) -> int:
        return self.k

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        chosen = subsets(context.samples.seeds, context.interval, logits.shape[1], self.k).to(logits.device)
        return _renormalised(logits, chosen)


@final
@dataclass(frozen=True)
class SampleEach(Routing):
    """One expert for each state, drawn anew from the router in each interval of the step grid.

    The control of McAllister et al. (2025): the right expert on average, and another one at each step.
    """

    needs_router = True

    @property
    def name(self) -> str:
        return "each"

    def check(self, n_experts: int) -> None:
        """Fits every pool."""

    def most_experts(self, n_experts: int) -> int:
        return 1

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        uniform = uniforms(context.samples.seeds, Purpose.ROUTING, context.interval)
        return one_hot(categorical(logits.softmax(dim=1), uniform), logits)


def _renormalised(logits: Tensor, chosen: Tensor) -> Tensor:
    """The softmax of ``logits`` over the experts ``chosen`` ``(B, k)`` alone; 0 for the others."""
    return torch.full_like(logits, -torch.inf).scatter(1, chosen, logits.gather(1, chosen)).softmax(dim=1)


def one_hot(expert: Tensor, like: Tensor) -> Tensor:
    """Weights ``(B, K)`` of the shape and dtype of ``like`` that are 1 for ``expert`` ``(B,)`` and 0 elsewhere."""
    return torch.zeros_like(like).scatter(1, expert.to(like.device)[:, None], 1.0)


def _counted(name: str, cls: Callable[[int], Routing]) -> Callable[[str], Routing]:
    def make(argument: str) -> Routing:
        if not argument.isdigit() or int(argument) < 1:
            raise InputError(f"this routing is spelled {name}1, {name}2, ...; '{name}{argument}' has no k >= 1")
        return cls(int(argument))

    return make


def _plain(cls: Callable[[], Routing]) -> Callable[[str], Routing]:
    def make(argument: str) -> Routing:
        routing = cls()
        if argument:
            raise InputError(f"the routing {routing.name!r} takes no argument, but was given {argument!r}")
        return routing

    return make


_BUILT_IN: Mapping[str, tuple[str, Callable[[str], Routing]]] = {
    "top": ("top1, top2, ...", _counted("top", TopK)),
    "full": ("full", _plain(FullEnsemble)),
    "uniform": ("uniform", _plain(Uniform)),
    "misaligned": ("misaligned1, misaligned2, ...", _counted("misaligned", RandomK)),
    "once": ("once", _plain(SampleOnce)),
    "each": ("each", _plain(SampleEach)),
    "label": ("label", _plain(Oracle)),
}


def known_routings() -> list[str]:
    """How the strategies that exist here are spelled, those of other packages included."""
    return [spelling for spelling, _ in _BUILT_IN.values()] + sorted(e.name for e in _entry_points())


def _entry_points() -> list[EntryPoint]:
    return [e for e in entry_points(group=ENTRY_POINT_GROUP) if e.name not in _BUILT_IN]


def parse_routing(text: str) -> Routing:
    """The strategy that a spelling names, such as `top2`, `full` or `label`.

    Raises:
        InputError: if there is no such strategy (the message lists what exists) or its argument makes no sense.
    """
    match = re.fullmatch(r"([a-z][a-z-]*?)(?:-?(\d+)|=(.+))?", text.strip().lower())
    if match:
        name, argument = match[1], match[2] or match[3] or ""
        if name in _BUILT_IN:
            return _BUILT_IN[name][1](argument)
        for entry in _entry_points():
            if entry.name == name:
                factory: Callable[[str], Routing] = entry.load()
                return factory(argument)
    raise unknown("routing", text, known_routings())
