"""Strategies made of another one: its router's temperature, its weights, or its router changed."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from mnist_ddm.compute.devices import sent, widened
from mnist_ddm.core.asked import asked_velocity
from mnist_ddm.core.noise import directions
from mnist_ddm.core.routing.base import Routing, RoutingContext, number
from mnist_ddm.core.spectral import BatchFunction, linearize, spectral_norm

ROUGH = 0.05
"""The most by which the logits of `Rough` are off, whatever their slopes are."""
STEEPEST = 1e6
"""The largest slope of `Rough`; beyond it float32 states are too coarse to tell two of a wave's crests apart."""
CLIP_TOLERANCE = 0.02
"""`WeightClip` measures its norms until their relative residual is at most this.

The relative error of a norm is about the square of its residual, so 0.0004: it decides the order of two norms wrongly
only if they are as near to each other as that.
"""
_NORM_COST = 12.0
"""About how many evaluations of an expert it takes to measure the norm of its Jacobian to `CLIP_TOLERANCE`."""
_CENTROID_STATES = 2000
"""So many training states of each cluster, at the most, decide the mean and the variance that `Centroids` takes."""


class Modifier(Routing):
    """A strategy made of another one, which decides all that it does not."""

    base: Routing

    @property
    def needs_router(self) -> bool:
        return self.base.needs_router

    @property
    def takes_logits(self) -> bool:
        return self.base.takes_logits

    @property
    def needs_reference(self) -> bool:
        return self.base.needs_reference

    @property
    def needs_real_states(self) -> bool:
        return self.base.needs_real_states

    @property
    def needs_conditions(self) -> bool:
        return self.base.needs_conditions

    def check(self, n_experts: int) -> None:
        self.base.check(n_experts)

    def most_experts(self, n_experts: int) -> int:
        return self.base.most_experts(n_experts)

    def cost(self, n_experts: int) -> float:
        return self.base.cost(n_experts) + self._own_cost(n_experts)

    def _own_cost(self, n_experts: int) -> float:
        return 0.0


class LogitModifier(Modifier):
    """A strategy that is given other logits than the router's."""

    @abstractmethod
    def logits(self, logits: Tensor, context: RoutingContext) -> Tensor:
        """The logits that the strategy gets, shape ``(B, K)``.

        Args:
            logits: of the router, or of a modifier that stands behind this one in the spelling.
            context: state, time, samples.
        """

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return self.base.weights(self.logits(logits, context), context)

    def chosen(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return self.base.chosen(self.logits(logits, context), context)


@final
@dataclass(frozen=True)
class Temperature(LogitModifier):
    r"""A strategy with the router's logits divided by T: :math:`w_T = \mathrm{softmax}(z / T)` (Table 9).

    ``T = 1`` changes nothing; as T goes to 0 the full ensemble becomes Top-1, as T grows it becomes uniform.

    Attributes:
        base: the strategy.
        temperature: T > 0.
    """

    base: Routing
    temperature: float

    @property
    def name(self) -> str:
        return f"{self.base.name}@T={number(self.temperature)}"

    def logits(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return logits / self.temperature


@final
@dataclass(frozen=True)
class Rough(LogitModifier):
    r"""A strategy whose router is rough in x: its logits are right to within 0.05, and their slopes are not.

    :math:`z_k + a \sin(\tfrac{\sqrt 2 s}{a}\, e_k \cdot x)` with :math:`a = 0.05` and a unit vector :math:`e_k` of
    each expert: probabilities change by the factor :math:`e^{2a}` at the most, while what is added to the slope of each
    logit has the root mean square s over states much wider than a wave. What stands before it gets the rough logits,
    so a temperature does: `full@T=16@rough=50`.

    Attributes:
        base: the strategy.
        slope: s in (0, `STEEPEST`].
    """

    base: Routing
    slope: float

    @property
    def name(self) -> str:
        return f"{self.base.name}@rough={number(self.slope)}"

    def logits(self, logits: Tensor, context: RoutingContext) -> Tensor:
        x = widened(context.x).flatten(1)
        waves = sent(directions(logits.shape[1], x.shape[1]), x.device, x.dtype)
        # One by one: what a product of matrices gives a row depends, in its last bits, on the other rows.
        along = torch.stack([(x * wave).sum(dim=1) for wave in waves], dim=1)
        return logits + (ROUGH * (math.sqrt(2) * self.slope / ROUGH * along).sin()).to(logits)


@final
@dataclass(frozen=True)
class EqualWeights(Modifier):
    """The experts of a strategy, all with the same weight."""

    base: Routing

    @property
    def name(self) -> str:
        return f"{self.base.name}+equal"

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        chosen = self.chosen(logits, context).to(logits)
        return chosen / chosen.sum(dim=1, keepdim=True)

    def chosen(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return self.base.chosen(logits, context)


@final
@dataclass(frozen=True)
class WeightClip(Modifier):
    r"""A strategy without the experts whose Jacobian norm is above the median of the K at the current state (Table 8).

    :math:`\lVert \nabla_x v_k \rVert` of all K experts is measured at every evaluation. The others are renormalised;
    where nothing would be left the weights stay as they were.
    """

    base: Routing

    @property
    def name(self) -> str:
        return f"{self.base.name}+clip"

    def _own_cost(self, n_experts: int) -> float:
        return _NORM_COST * n_experts

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        before = self.base.weights(logits, context)
        kept = before.masked_fill(self._rough(context), 0)
        total = kept.sum(dim=1, keepdim=True)
        return torch.where(total > 0, kept / torch.where(total > 0, total, 1), before)

    def chosen(self, logits: Tensor, context: RoutingContext) -> Tensor:
        before = self.base.chosen(logits, context)
        kept = before & ~self._rough(context)
        return torch.where(kept.any(dim=1, keepdim=True), kept, before)

    def _rough(self, context: RoutingContext) -> Tensor:
        """The experts whose norm is above the median, shape ``(B, K)``."""
        norms = self._norms(context)
        return (norms > norms.quantile(0.5, dim=1, keepdim=True)).to(context.x.device)

    def _norms(self, context: RoutingContext) -> Tensor:
        """Of every expert at the states, on the CPU, ``(B, K)``; each starts from the direction at the state before."""
        memory, pool, norms = context.samples.memory, context.pool, []
        for k in range(pool.n_experts):

            def expert(rows: Tensor, k: int = k) -> BatchFunction:
                condition = context.samples.condition.select(rows)
                return lambda z: asked_velocity(pool, k, z, context.t[rows], condition)

            every = torch.arange(len(context.x), device=context.x.device)
            measured = spectral_norm(
                linearize(expert(every), context.x.detach(), expert),
                context.x,
                start=memory.get(f"clip-{k}"),
                tolerance=CLIP_TOLERANCE,
            )
            memory[f"clip-{k}"] = measured.direction
            norms.append(measured.norm)
        return torch.stack(norms, dim=1)


@final
class Centroids(LogitModifier):
    r"""A strategy whose router is replaced by distances to the centroids of the experts' data: no training at all.

    The centroid :math:`c_k` is the mean of cluster k's training states and :math:`s_k^2` their mean variance per
    dimension. With time, a cluster counts as a Gaussian that is noised along with the state,

    .. math:: z_k = \log \pi_k - \tfrac{d}{2} \log V_k - \frac{\lVert x - (1 - t) c_k \rVert^2}{2 V_k}, \quad
        V_k = (1 - t)^2 s_k^2 + t^2;

    without time the state is compared with the centroids as they are: the same with t = 0 for every state.
    """

    def __init__(self, base: Routing, *, with_time: bool = True) -> None:
        """Take the strategy and whether the distances know the time."""
        self.base = base
        self.with_time = with_time
        self._clusters: tuple[Tensor, Tensor] | None = None

    @property
    def name(self) -> str:
        return f"{self.base.name}@centroids" + ("" if self.with_time else "=static")

    @property
    def needs_router(self) -> bool:
        return False

    @property
    def takes_logits(self) -> bool:
        return False

    @property
    def needs_real_states(self) -> bool:
        return True

    def logits(self, logits: Tensor, context: RoutingContext) -> Tensor:
        if self._clusters is None:
            self._clusters = _centroids(context)
        means, variances = self._clusters
        x = widened(context.x).flatten(1)
        t = widened(context.t)[:, None] if self.with_time else x.new_zeros(len(x), 1)
        spread = (1 - t) ** 2 * variances + t**2
        square = (x[:, None] - (1 - t)[:, :, None] * means).square().sum(dim=2)
        prior = context.pool.prior.to(x)
        return (prior.log() - x.shape[1] / 2 * spread.log() - square / (2 * spread)).to(logits)


def _centroids(context: RoutingContext) -> tuple[Tensor, Tensor]:
    """Mean ``(K, d)`` and mean variance per dimension ``(K,)`` of each cluster's training states."""
    means, variances = [], []
    for k in range(context.pool.n_experts):
        states = widened(context.pool.measures.real_states(_CENTROID_STATES, k, held_out=False)[0]).flatten(1)
        means.append(states.mean(dim=0))
        variances.append(states.var(dim=0, correction=0).mean())
    return torch.stack(means), torch.stack(variances)
