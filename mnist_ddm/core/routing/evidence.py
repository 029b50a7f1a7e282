r"""Modifiers that put something else in the place of the router's logits: a prior taken off, what experts say.

For the linear path an expert's velocity tells its score, :math:`\nabla \log p_k = -(x + (1 - t) v_k) / t`, so the
experts alone say how their posterior changes with the state:
:math:`\nabla w_k = -\tfrac{1 - t}{t} w_k (v_k - v)` for exact experts.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from mnist_ddm.core.asked import asked_logits
from mnist_ddm.core.flow import expand_time, predicted_clean
from mnist_ddm.core.routing.base import Routing, RoutingContext, negligible_weight
from mnist_ddm.core.routing.modifiers import LogitModifier


def _beside_prior(log_p: Tensor, prior: Tensor) -> Tensor:
    r""":math:`\log p_k - \log \pi_k`; an expert without data, of which nobody knows anything, is ruled out."""
    return torch.where(prior > 0, log_p - prior.log(), -torch.inf)


@final
@dataclass(frozen=True)
class Likelihood(LogitModifier):
    r"""A strategy whose router has its prior taken off: the logits :math:`z_k - \log \pi_k`.

    They are the log likelihoods :math:`\log p_t(x_t \mid k)` up to a constant, so the largest names the expert whose
    data explain the state best, however rare they are. The prior is the shares of the clusters in the training data.
    """

    base: Routing

    @property
    def name(self) -> str:
        return f"{self.base.name}@likelihood"

    def logits(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return _beside_prior(logits, context.pool.prior.to(logits))


@final
@dataclass(frozen=True)
class Captioned(LogitModifier):
    r"""A strategy whose router knows the caption as well: the logits :math:`z_k + \log p(k \mid c) - \log \pi_k`.

    A router that sees the state alone says :math:`p(k \mid x_t)`. Within a cluster a state tells nothing new of what
    its caption says of the cluster, so by Bayes
    :math:`p(k \mid x_t, c) \propto p(k \mid x_t)\, p(k \mid c) / p(k)`, and no model is trained again:
    :math:`p(k \mid c)` is what `ExpertPool.condition_posterior` says. A caption that says nothing of the clusters
    changes nothing.
    """

    base: Routing

    @property
    def name(self) -> str:
        return f"{self.base.name}+caption"

    @property
    def needs_conditions(self) -> bool:
        return True

    def logits(self, logits: Tensor, context: RoutingContext) -> Tensor:
        memory, pool = context.samples.memory, context.pool
        if self.name not in memory:  # a caption stays what it is along a trajectory
            posterior = pool.condition_posterior(context.samples.condition).cpu().double()
            told = posterior.clamp(min=torch.finfo(posterior.dtype).tiny).log()
            memory[self.name] = _beside_prior(told, pool.prior.cpu().double()).to(logits)
        return logits + memory[self.name]


@final
@dataclass(frozen=True)
class Clean(LogitModifier):
    r"""A strategy whose router looks at the predicted clean state instead of at the noisy one.

    All experts, weighted by the router, predict :math:`\hat x_0 = x_t - t v`; the router is then asked about
    :math:`\hat x_0` at ``t = 0``. An early prediction is a blur of all classes, of which the router has seen none.
    """

    base: Routing

    @property
    def name(self) -> str:
        return f"{self.base.name}@clean"

    @property
    def needs_router(self) -> bool:
        return True

    @property
    def takes_logits(self) -> bool:
        return False

    def _own_cost(self, n_experts: int) -> float:
        return n_experts

    def logits(self, logits: Tensor, context: RoutingContext) -> Tensor:
        w = logits.softmax(dim=1)
        velocities = context.experts.velocities(w > negligible_weight(w.dtype))
        clean = predicted_clean(context.x, torch.einsum("bk,bk...->b...", w, velocities), context.t)
        return asked_logits(context.pool, clean, torch.zeros_like(context.t))


@final
@dataclass(frozen=True)
class Implied(LogitModifier):
    r"""A strategy with the router's own values, but the slope in x that the experts imply.

    Its samples are the same; its Jacobian is that of a router consistent with its experts,
    :math:`\nabla z_k = -\tfrac{1 - t}{t} v_k` (plus what is common to all k), so that the part of a sensitivity
    which any router must have can be told from the rest.
    """

    base: Routing

    @property
    def name(self) -> str:
        return f"{self.base.name}@implied"

    @property
    def needs_router(self) -> bool:
        return True

    def _own_cost(self, n_experts: int) -> float:
        return n_experts

    def logits(self, logits: Tensor, context: RoutingContext) -> Tensor:
        x, t = context.x, context.t
        with torch.no_grad():
            velocities = context.experts.velocities(torch.ones_like(logits, dtype=torch.bool))
            slope = -expand_time((1 - t) / t, velocities) * velocities
        along = ((x - x.detach())[:, None] * slope).flatten(2).sum(dim=2)
        return logits.detach() + along
