r"""Blends of velocities other than their mean by the router's probabilities.

Both are weights of the experts, as every strategy's are: a spatial median lies among the velocities, and a geometric
mean of densities has the weighted mean of their scores.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from mnist_ddm.compute.devices import widened
from mnist_ddm.core.routing.base import Routing, RoutingContext, negligible_weight

_STEPS = 30
"""Of Newton's method, each the best of `_LENGTHS`; it needs about ten."""
_EQUAL = 1e-7
"""Points that are nearer to each other than this, beside the largest distance, are one."""
_LENGTHS = (1.0, 0.5, 0.1, 0.01, 0.0)


@final
@dataclass(frozen=True)
class Median(Routing):
    r"""All experts, joined by the spatial median of their velocities instead of by the mean.

    The velocity :math:`\arg\min_v \sum_k p_k \lVert v - v_k \rVert` with the router's probabilities: an expert with
    more than half of the probability decides alone, and one that is far off pulls no harder than one that is near.
    The minimum has the weights :math:`w_k \propto p_k / \lVert v - v_k \rVert` (Weiszfeld 1937). They count as
    constant in Jacobians.
    """

    needs_router = True

    @property
    def name(self) -> str:
        return "median"

    def check(self, n_experts: int) -> None:
        """Fits every pool."""

    def most_experts(self, n_experts: int) -> int:
        return n_experts

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        p = logits.detach().softmax(dim=1)
        p = torch.where(p > negligible_weight(p.dtype), p, 0)
        with torch.no_grad():
            return spatial_median_weights(context.experts.velocities(p > 0).flatten(2), p).to(logits)


@final
@dataclass(frozen=True)
class GeometricMean(Routing):
    r"""All experts, weighted by the shares of their clusters: the geometric mean of their densities.

    The score of :math:`\prod_k p_k^{\pi_k}` is :math:`\sum_k \pi_k \nabla \log p_k`, so its velocity is the mean of
    the experts' by the constant weights :math:`\pi_k`. It is a product of experts, likely only where all of them agree,
    and the opposite of the mixture that a router serves. (Of each time's densities: it is not the density at t = 0 that
    was noised.)
    """

    needs_router = False

    @property
    def name(self) -> str:
        return "geometric"

    def check(self, n_experts: int) -> None:
        """Fits every pool."""

    def most_experts(self, n_experts: int) -> int:
        return n_experts

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return context.pool.prior.to(logits).expand_as(logits)


def spatial_median_weights(points: Tensor, p: Tensor) -> Tensor:
    r"""Weights with which the mean of some points has the least :math:`\sum_k p_k \lVert v - v_k \rVert`.

    Args:
        points: shape ``(B, K, d)``.
        p: non-negative, shape ``(B, K)``; points with 0 are ignored.

    Returns:
        Shape ``(B, K)``, float64; non-negative, of sum 1.
    """
    points, p = widened(points), widened(p)
    p = p / p.sum(dim=1, keepdim=True)
    # K points span at most K dimensions, in which they have coordinates with the same distances.
    centred = points - points.mean(dim=1, keepdim=True)
    values, axes = torch.linalg.eigh(torch.einsum("bid,bjd->bij", centred, centred))
    points = axes * values.clamp(min=0).sqrt()[:, None]
    apart = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    apart = torch.where(apart > _EQUAL * apart.amax(dim=(1, 2), keepdim=True), apart, 0)
    # A point is the median itself if all the others together do not pull it away with more than its own weight.
    pull = torch.where(apart > 0, p[:, None] / torch.where(apart > 0, apart, 1), 0)
    towards = torch.einsum("bij,bjd->bid", pull, points) - pull.sum(dim=2)[:, :, None] * points
    own = torch.where(apart > 0, 0, p[:, None]).sum(dim=2)
    is_median = (towards.norm(dim=2) <= own * (1 + _EQUAL)) & (p > 0)
    v = _between(points, p)
    w = p / _distances(v, points)
    alone = torch.nn.functional.one_hot(is_median.double().argmax(dim=1), p.shape[1]).double()
    return torch.where(is_median.any(dim=1)[:, None], alone, w / w.sum(dim=1, keepdim=True))


def _between(points: Tensor, p: Tensor) -> Tensor:
    """The median by Newton's method, from the mean; where it is none of the points ``(B, K, d)``, shape ``(B, d)``."""
    v = torch.einsum("bk,bkd->bd", p, points)
    lengths = torch.stack([v.new_full((), length) for length in _LENGTHS])
    identity = torch.eye(v.shape[1], dtype=v.dtype, device=v.device)
    for _ in range(_STEPS):
        distance = _distances(v, points)
        unit, w = (v[:, None] - points) / distance[:, :, None], p / distance
        slope = torch.einsum("bk,bkd->bd", p, unit)
        curved = w.sum(dim=1)[:, None, None] * identity - torch.einsum("bk,bki,bkj->bij", w, unit, unit)
        ridge = 1e-9 * w.sum(dim=1)[:, None, None] * identity
        tried = v[:, None] - lengths[:, None] * torch.linalg.solve(curved + ridge, slope)[:, None]
        total = torch.stack([(p * _distances(z, points)).sum(dim=1) for z in tried.unbind(dim=1)], dim=1)
        v = tried[torch.arange(len(v), device=v.device), total.argmin(dim=1)]
    return v


def _distances(v: Tensor, points: Tensor) -> Tensor:
    apart: Tensor = (v[:, None] - points).norm(dim=2)
    return apart.clamp(min=1e-30)
