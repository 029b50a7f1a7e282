"""Routing without a router: each expert's log density, tracked along a trajectory from its velocity alone."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from mnist_ddm.compute.devices import widened
from mnist_ddm.core.asked import asked_velocity
from mnist_ddm.core.flow import expand_time
from mnist_ddm.core.noise import signs
from mnist_ddm.core.routing.base import Routing, RoutingContext
from mnist_ddm.core.routing.modifiers import LogitModifier
from mnist_ddm.errors import InputError

_FIRST_STEP = 0.05
"""A trajectory that does not begin at ``t = 1`` is led from there in steps of at most this, the state as it is."""


@final
@dataclass(frozen=True)
class Density(LogitModifier):
    r"""A strategy without a router: the posterior of the experts' own densities, tracked along the trajectory.

    All densities are equal at ``t = 1``. From there

    .. math:: d \log p_k = -(\nabla \cdot v_k + v_k \cdot s_k)\, dt + s_k \cdot dx

    with the scores :math:`s_k = -(x + (1 - t) v_k) / t` is integrated over the states that are visited, by the
    trapezoidal rule (the instantaneous change of variables of Chen et al. 2018, on a path that need not be expert k's
    own; Skreta et al. 2024, SuperDiff). The result is a function of the state, so it does not matter that a solver
    also looks at states that it leaves again. The logits are :math:`\log \pi_k + \log p_k`.

    The divergence is estimated along one direction of random signs for each sample, the same for all experts and times
    (Hutchinson 1989; Grathwohl et al. 2019); it is exact where a Jacobian is a multiple of the identity. Every expert
    is evaluated at every state, and a product with its Jacobian counts as one more evaluation. The weights count as
    constant in Jacobians.
    """

    base: Routing

    @property
    def name(self) -> str:
        return f"{self.base.name}@density"

    @property
    def needs_router(self) -> bool:
        return False

    @property
    def takes_logits(self) -> bool:
        return False

    @property
    def follows_flow(self) -> bool:
        return True

    def most_experts(self, n_experts: int) -> int:
        return n_experts

    def _own_cost(self, n_experts: int) -> float:
        return n_experts

    def logits(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return context.pool.prior.to(logits).log() + log_densities(context).to(logits)


@torch.no_grad()
def log_densities(context: RoutingContext) -> Tensor:
    r"""The experts' :math:`\log p_k(x_t)`, but for what they share, float64, shape ``(B, K)``; see `Density`."""
    memory, x, t = context.samples.memory, context.x.detach(), context.t
    velocities, here = _rates(context, t)
    context.experts.keep(velocities)
    if "density" in memory:
        before = _Rates(memory["density-t"], memory["density-in-time"], memory["density-scores"])
        known, moved = memory["density"], widened(x - memory["density-x"]).flatten(1)
    else:
        before, known = _from_noise(context, here)
        moved = widened(torch.zeros_like(x)).flatten(1)
    step = widened(t - before.t)[:, None]
    in_space = torch.einsum("bkd,bd->bk", widened(before.scores) + widened(here.scores), moved) / 2
    memory["density"] = known + (before.in_time + here.in_time) / 2 * step + in_space
    memory |= {"density-x": x, "density-t": t, "density-in-time": here.in_time, "density-scores": here.scores}
    return memory["density"]


@dataclass(frozen=True)
class _Rates:
    """How fast log densities change at times ``t`` ``(B,)``: in time ``(B, K)``, and in space ``(B, K, d)``."""

    t: Tensor
    in_time: Tensor
    scores: Tensor


def _rates(context: RoutingContext, t: Tensor) -> tuple[Tensor, _Rates]:
    """The experts' velocities at the context's states and times of one's own, and what follows from them."""
    x, pool = context.x.detach(), context.pool
    probe = signs(context.samples.seeds, pool.state_shape).to(x)
    found, divergences = [], []
    for k in range(pool.n_experts):
        with torch.inference_mode(False), torch.enable_grad():
            point = x.clone().requires_grad_()
            v = asked_velocity(pool, k, point, t, context.samples.condition)
            if not v.requires_grad:
                raise InputError(f"expert {k} of {pool.name!r} is not differentiable (is it under no_grad?)")
            (product,) = torch.autograd.grad(v, point, probe)
        found.append(v.detach())
        divergences.append(widened(product * probe).flatten(1).sum(dim=1))
        context.experts.products += 1
    velocities = torch.stack(found, dim=1)
    scores = -(x[:, None] + expand_time(1 - t, velocities) * velocities) / expand_time(t, velocities)
    flow = (widened(velocities) * widened(scores)).flatten(2).sum(dim=2)
    return velocities, _Rates(t, -torch.stack(divergences, dim=1) - flow, scores.flatten(2))


def _from_noise(context: RoutingContext, here: _Rates) -> tuple[_Rates, Tensor]:
    """The rates at the last time before the first state's, and the log densities there: 0 for all at ``t = 1``."""
    steps = math.ceil(float((1 - context.t).max()) / _FIRST_STEP - 1e-4)  # a float32 0.9 is a little below 0.9
    known, before = torch.zeros_like(here.in_time), here
    for i in range(steps):
        t = 1 - i / steps * (1 - context.t)
        now = _rates(context, t)[1]
        context.experts.products += context.pool.n_experts  # the velocities, which no one else asked for
        if i > 0:
            known = known + (before.in_time + now.in_time) / 2 * widened(t - before.t)[:, None]
        before = now
    return before, known
