"""Strategies that perturb the router's choice by a sample's own random numbers, and those that change with time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from mnist_ddm.compute.devices import sent
from mnist_ddm.core.noise import gumbels
from mnist_ddm.core.routing.base import Routing, RoutingContext, among, number, renormalised
from mnist_ddm.errors import InputError


@final
@dataclass(frozen=True)
class Gumbel(Routing):
    r"""The k largest of the router's logits plus one Gumbel vector that each sample keeps, by their probabilities.

    With k = 1 it asks one expert, :math:`\arg\max_k (z_k + g_k)`, at ``t = 1``, and at any state that does not depend
    on g, an exact draw from the router (Gumbel 1954), so that unlike with `TopK` the experts get the shares that the
    router gives them. As g is drawn once for a trajectory, the choice changes only when the router changes its mind,
    unlike with `SampleEach`; and as the state follows the expert that g chose, it keeps to that one more often than a
    new draw would. More experts are draws without replacement (Kool et al. 2019), with the router's own weights
    renormalised; all K are `FullEnsemble`.

    Attributes:
        k: how many experts.
    """

    k: int = 1
    needs_router = True

    @property
    def name(self) -> str:
        return "gumbel" if self.k == 1 else f"gumbel{self.k}"

    def check(self, n_experts: int) -> None:
        if self.k > n_experts:
            raise InputError(f"{self.name} needs {self.k} experts, but there are {n_experts}; choose k <= {n_experts}")

    def most_experts(self, n_experts: int) -> int:
        return self.k

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return renormalised(logits, self._first(logits, context))

    def chosen(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return among(logits, self._first(logits, context))

    def _first(self, logits: Tensor, context: RoutingContext) -> Tensor:
        perturbed = logits.detach() + sent(gumbels(context.samples.seeds, logits.shape[1]), logits.device, logits.dtype)
        return perturbed.argsort(dim=1, descending=True, stable=True)[:, : self.k]


@final
@dataclass(frozen=True)
class Switch(Routing):
    """One strategy from ``t = 1`` down to a time, that time included, and another one below it.

    It tells at which times a choice matters. What one keeps along the trajectory the other one finds.

    Attributes:
        before: the first strategy.
        time: the last time of the first, in ``(0, 1)``.
        after: the second strategy.
    """

    before: Routing
    time: float
    after: Routing

    @property
    def name(self) -> str:
        return f"{self.before.name}~{number(self.time)}~{self.after.name}"

    @property
    def needs_router(self) -> bool:
        return self.before.needs_router or self.after.needs_router

    @property
    def takes_logits(self) -> bool:
        return self.before.takes_logits or self.after.takes_logits

    @property
    def needs_reference(self) -> bool:
        return self.before.needs_reference or self.after.needs_reference

    @property
    def needs_real_states(self) -> bool:
        return self.before.needs_real_states or self.after.needs_real_states

    @property
    def needs_conditions(self) -> bool:
        return self.before.needs_conditions or self.after.needs_conditions

    def check(self, n_experts: int) -> None:
        self.before.check(n_experts)
        self.after.check(n_experts)

    def most_experts(self, n_experts: int) -> int:
        return max(self.before.most_experts(n_experts), self.after.most_experts(n_experts))

    def cost(self, n_experts: int) -> float:
        return max(self.before.cost(n_experts), self.after.cost(n_experts))

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return self._either(context, lambda routing: routing.weights(logits, context))

    def chosen(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return self._either(context, lambda routing: routing.chosen(logits, context))

    def _either(self, context: RoutingContext, asked: Callable[[Routing], Tensor]) -> Tensor:
        early = context.t >= torch.tensor(self.time, dtype=context.t.dtype, device=context.t.device)
        if early.all():
            return asked(self.before)
        if not early.any():
            return asked(self.after)
        return torch.where(early[:, None], asked(self.before), asked(self.after))
