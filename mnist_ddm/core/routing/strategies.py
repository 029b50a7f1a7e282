"""The strategies: which experts a state is given to."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from mnist_ddm.compute.devices import sent
from mnist_ddm.core.noise import Purpose, categorical, subsets, uniforms
from mnist_ddm.core.routing.base import Routing, RoutingContext, among, number, one_hot, renormalised
from mnist_ddm.errors import InputError


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
        return renormalised(logits, self._first(logits))

    def chosen(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return among(logits, self._first(logits))

    def _first(self, logits: Tensor) -> Tensor:
        return logits.argsort(dim=1, descending=True, stable=True)[:, : self.k]


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
class TopP(Routing):
    r"""The smallest set of most probable experts whose probabilities sum to at least p, renormalised (Table 7).

    Read adaptively it averages over many experts where the router is unsure and uses one where it is sure. ``p = 1`` is
    the full ensemble.

    Attributes:
        p: in ``(0, 1]``.
    """

    p: float
    needs_router = True

    @property
    def name(self) -> str:
        return f"top-p={number(self.p)}"

    def check(self, n_experts: int) -> None:
        """Fits every pool."""

    def most_experts(self, n_experts: int) -> int:
        return n_experts

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        if self.p == 1:
            return logits.softmax(dim=1)
        order = logits.argsort(dim=1, descending=True, stable=True)
        probability = logits.softmax(dim=1).gather(1, order)
        before = probability.cumsum(dim=1) - probability
        kept = torch.zeros_like(logits, dtype=torch.bool).scatter(1, order, before < self.p)
        return logits.masked_fill(~kept, -torch.inf).softmax(dim=1)


@final
@dataclass(frozen=True)
class MinP(Routing):
    r"""The experts whose probability is at least p, renormalised: :math:`S = \{k : p_t(k \mid x_t) \ge p\}`.

    Where no expert has as much, the most probable one alone. Unlike `TopP`, which drops a share of the weight whoever
    has it, it drops every small weight and no large one, so that it tells whether the many small weights of experts far
    off their data do harm. As p goes to 0 it becomes the full ensemble, from a half on it is Top-1.

    Attributes:
        p: in ``(0, 1]``.
    """

    p: float
    needs_router = True

    @property
    def name(self) -> str:
        return f"min-p={number(self.p)}"

    def check(self, n_experts: int) -> None:
        """Fits every pool."""

    def most_experts(self, n_experts: int) -> int:
        return min(n_experts, max(1, math.floor((1 + 1e-6) / self.p)))  # float32 may round one up to p

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return logits.masked_fill(~self.chosen(logits, context), -torch.inf).softmax(dim=1)

    def chosen(self, logits: Tensor, context: RoutingContext) -> Tensor:
        first = logits.argsort(dim=1, descending=True, stable=True)[:, :1]
        return (logits.softmax(dim=1) >= self.p).scatter(1, first, True)


@final
@dataclass(frozen=True)
class Commit(Routing):
    r"""The full ensemble until the router is sure, then the expert that it is sure of, alone, to the end.

    Attributes:
        confidence: a sample commits at the first evaluation with :math:`\max_k p_k` of at least this; in ``(0, 1]``.
    """

    confidence: float
    needs_router = True

    @property
    def name(self) -> str:
        return f"commit={number(self.confidence)}"

    def check(self, n_experts: int) -> None:
        """Fits every pool."""

    def most_experts(self, n_experts: int) -> int:
        return n_experts

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        memory, p = context.samples.memory, logits.softmax(dim=1)
        committed = memory.get(self.name, torch.full((len(logits),), -1, device=logits.device))
        largest, expert = p.detach().max(dim=1)
        committed = torch.where((committed < 0) & (largest >= self.confidence), expert, committed)
        memory[self.name] = committed
        return torch.where((committed < 0)[:, None], p, one_hot(committed.clamp(min=0), logits))


@final
@dataclass(frozen=True)
class SampleOnce(Routing):
    r"""One expert for each sample, drawn at the start of the trajectory and kept.

    Since :math:`p(x_0) = \sum_k \pi_k p_k(x_0)`, exact experts drawn from the exact prior sample the data exactly, at
    the cost of one expert.

    Attributes:
        of_prior: draw from the shares of the clusters instead of from the router's weights at ``t = 1``.
    """

    of_prior: bool = False

    @property
    def name(self) -> str:
        return "once=prior" if self.of_prior else "once"

    @property
    def needs_router(self) -> bool:
        return not self.of_prior

    def check(self, n_experts: int) -> None:
        """Fits every pool."""

    def most_experts(self, n_experts: int) -> int:
        return 1

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        memory = context.samples.memory
        if self.name not in memory:
            chances = context.pool.prior.to(logits).expand_as(logits) if self.of_prior else logits.softmax(dim=1)
            memory[self.name] = categorical(chances, uniforms(context.samples.seeds, Purpose.ROUTING))
        return one_hot(memory[self.name], logits)


@final
@dataclass(frozen=True)
class Label(Routing):
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
class Posterior(Routing):
    """All experts, weighted by the closed-form posterior of the system's data instead of by the router.

    Exact for the Gaussian system; of the training data, which it memorises as t goes to 0, for digits. Its weights
    count as constant in Jacobians.
    """

    needs_router = False
    needs_reference = True

    @property
    def name(self) -> str:
        return "posterior"

    def check(self, n_experts: int) -> None:
        """Fits every number of experts; a field sees to it that there is a reference."""

    def most_experts(self, n_experts: int) -> int:
        return n_experts

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        reference = context.pool.measures.reference
        if reference is None:
            raise InputError(f"the system {context.pool.name!r} has no closed-form posterior to route by")
        return reference.posterior(context.x.detach(), context.t).to(logits)


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
class Misaligned(Routing):
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
        return renormalised(logits, self._drawn(logits, context))

    def chosen(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return among(logits, self._drawn(logits, context))

    def _drawn(self, logits: Tensor, context: RoutingContext) -> Tensor:
        drawn = subsets(context.samples.seeds, Purpose.SUBSET, context.interval, logits.shape[1], self.k)
        return sent(drawn, logits.device)


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
