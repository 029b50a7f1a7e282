"""Observables: what a recording may keep of each visited state.

An observable is a named, versioned function of one visited state. A caller says which ones to keep; nothing else is
stored. All K experts are evaluated only where a wanted observable needs them. `NAME@tenths` keeps an observable at the
visited states nearest to t = 0.9, 0.8, ..., 0.1 alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mnist_ddm.compute.devices import widened
from mnist_ddm.core.consistency import PARTS, router_consistency
from mnist_ddm.core.measures import Reference
from mnist_ddm.core.sensitivity import TERMS, ExpertNorms, ExpertTermNorm, JacobianTermNorms, local_errors, switching
from mnist_ddm.core.visits import Visit
from mnist_ddm.errors import InputError, unknown

_TENTHS = "@tenths"


Function = Callable[[Visit], Tensor]
"""From a visit to a tensor ``(B, ...)``."""
Numbers = Callable[[int, int], int]
"""From the number of experts and that of a state's values to how many numbers are kept of one sample."""


@dataclass(frozen=True)
class Observable:
    """A named function of a visited state.

    Attributes:
        name: under which the recording keeps it.
        start: makes the function for one block of samples; one that remembers the visit before is made anew for each.
        numbers: how many it keeps of each sample, for estimates of disk.
        needs_experts: whether it reads the velocities of all experts.
        cost: about how many evaluations of the field a visit costs in addition, for estimates of time.
        version: to be raised when the function changes, so that stored recordings are not mistaken for current ones.
    """

    name: str
    start: Callable[[], Function]
    numbers: Numbers
    needs_experts: bool = False
    cost: float = 0.0
    version: int = 1


@dataclass(frozen=True)
class Kept:
    """An observable and where it is kept.

    Attributes:
        observable: what.
        tenths: only at the visited states nearest to the fixed times, instead of at all of them.
    """

    observable: Observable
    tenths: bool

    @property
    def name(self) -> str:
        """Its spelling, as `observables_named` takes it."""
        return self.observable.name + (_TENTHS if self.tenths else "")

    @property
    def file(self) -> str:
        """The name of its file in a recording, which holds the version."""
        return f"{self.name}.{self.observable.version}"

    def visits(self, times: Sequence[float], tenths: Sequence[float]) -> tuple[int, ...]:
        """Numbers of the visits at which it is kept; a coarse grid may have fewer than there are tenths."""
        if not self.tenths:
            return tuple(range(len(times)))
        return tuple(sorted({min(range(len(times)), key=lambda i: abs(times[i] - t)) for t in tenths}))


def _experts(visit: Visit) -> Tensor:
    experts = visit.evaluation.experts
    if experts is None:
        raise InputError("this observable needs the experts' velocities, but the field has no experts")
    return experts


def _weights(visit: Visit) -> Tensor:
    weights = visit.evaluation.weights
    if weights is None:
        raise InputError("this observable needs routing weights, but the field has no experts")
    return weights


def _logits(visit: Visit) -> Tensor:
    logits = visit.evaluation.logits
    if logits is None:
        raise InputError("this observable needs router logits, but the field has no router")
    return logits


def _target(visit: Visit) -> Tensor:
    if visit.target is None:
        raise InputError("this observable needs a velocity target, which only noised real states have")
    return visit.target


def _reference(visit: Visit) -> Reference:
    reference = visit.pool.measures.reference
    if reference is None:
        raise InputError(f"the system {visit.pool.name!r} has no closed-form reference velocity")
    return reference


def _left_out_angles(visit: Visit) -> Tensor:
    experts = _experts(visit)
    return angle_degrees(experts, left_out_blends(experts, _weights(visit)))


def _velocity_products(visit: Visit) -> Tensor:
    flat = widened(_experts(visit)).flatten(2)
    return (flat @ flat.transpose(1, 2)).float()


def _reference_angles(visit: Visit) -> Tensor:
    velocity = _reference(visit).velocity(visit.x, visit.times)
    return angle_degrees(_experts(visit), velocity[:, None])


def _reference_posterior(visit: Visit) -> Tensor:
    return _reference(visit).posterior(visit.x, visit.times)


def _target_errors(visit: Visit) -> Tensor:
    difference = _experts(visit) - _target(visit)[:, None]
    return widened(difference).flatten(2).square().mean(dim=2).float()


def left_out_blends(velocities: Tensor, weights: Tensor) -> Tensor:
    r"""For each expert the blend of the others, :math:`\sum_{j \ne k} w_j v_j / \sum_{j \ne k} w_j`.

    Unlike the routed velocity it does not contain the expert that is compared with it. An expert without weight is
    compared with the routed velocity itself.

    Args:
        velocities: of all experts, shape ``(B, K, *state_shape)``.
        weights: shape ``(B, K)``.

    Returns:
        Shape ``(B, K, *state_shape)``; NaN for an expert that has all the weight.
    """
    k = velocities.shape[1]
    others = weights[:, None, :] * (1 - torch.eye(k, dtype=weights.dtype, device=weights.device))
    share = others / others.sum(dim=2, keepdim=True)
    return torch.einsum("bij,bj...->bi...", share, velocities)


def _angles(visit: Visit) -> Tensor:
    return angle_degrees(_experts(visit), visit.evaluation.velocity[:, None])


def _disagreement(visit: Visit) -> Tensor:
    return pairwise_disagreement(_experts(visit))


def angle_degrees(a: Tensor, b: Tensor) -> Tensor:
    r"""The angle between vectors in degrees, :math:`\theta = \arccos(a \cdot b / \lVert a \rVert \lVert b \rVert)`.

    Computed in float64 by :math:`2 \arctan2(\lVert \hat a - \hat b \rVert, \lVert \hat a + \hat b \rVert)`, which
    keeps its accuracy near 0 and 180 degrees, where arccos loses half the digits (Section 4.3 defines the angle).

    Args:
        a: shape ``(B, K, *state_shape)``.
        b: broadcastable to ``a``.

    Returns:
        Angles in ``[0, 180]``, float32, shape ``(B, K)``.
    """
    unit_a = torch.nn.functional.normalize(widened(a).flatten(2), dim=2, eps=1e-300)
    unit_b = torch.nn.functional.normalize(widened(b).flatten(2), dim=2, eps=1e-300)
    angle = 2 * torch.atan2((unit_a - unit_b).norm(dim=2), (unit_a + unit_b).norm(dim=2))
    return torch.rad2deg(angle).float()


def pairwise_disagreement(velocities: Tensor) -> Tensor:
    r"""The experts' mean pairwise distance, :math:`D = \binom{K}{2}^{-1} \sum_{i<j} \lVert v_i - v_j \rVert_2`.

    Section 4.4.

    Args:
        velocities: of all experts, shape ``(B, K, *state_shape)``.

    Returns:
        Float32, shape ``(B,)``; 0 for a single expert.
    """
    flat = widened(velocities).flatten(2)
    k = flat.shape[1]
    if k < 2:
        return flat.new_zeros(len(flat)).float()
    # The direct form: the expansion |a|^2 + |b|^2 - 2ab cancels where experts nearly agree.
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    return (distances.sum(dim=(1, 2)) / (k * (k - 1))).float()


def _plain(name: str, function: Function, numbers: Numbers, needs_experts: bool = False) -> Observable:
    return Observable(name, lambda: function, numbers, needs_experts)


def _state(k: int, d: int) -> int:
    return d


def _each(k: int, d: int) -> int:
    return k


def _constant(count: int) -> Numbers:
    return lambda k, d: count


OBSERVABLES: Mapping[str, Observable] = {
    o.name: o
    for o in (
        _plain("x", lambda visit: visit.x, _state),
        _plain("velocity", lambda visit: visit.evaluation.velocity, _state),
        _plain("logits", _logits, _each),
        _plain("weights", _weights, _each),
        _plain("velocities", _experts, lambda k, d: k * d, needs_experts=True),
        _plain("angles", _angles, _each, needs_experts=True),
        _plain("left-out-angles", _left_out_angles, _each, needs_experts=True),
        _plain("velocity-products", _velocity_products, lambda k, d: k * k, needs_experts=True),
        _plain("reference-angles", _reference_angles, _each, needs_experts=True),
        _plain("reference-posterior", _reference_posterior, _each),
        _plain("target-errors", _target_errors, _each, needs_experts=True),
        Observable("router-consistency", lambda: router_consistency, _constant(len(PARTS)), needs_experts=True, cost=4),
        _plain("disagreement", _disagreement, _constant(1), needs_experts=True),
        Observable("jacobian-terms", JacobianTermNorms, _constant(3 * len(TERMS)), cost=40, version=2),
        Observable("expert-term", ExpertTermNorm, _constant(3), cost=10, version=2),
        Observable("expert-jacobians", ExpertNorms, _each, cost=60, version=2),
        Observable("switching", lambda: switching, _constant(3), cost=2),
        Observable("local-errors", lambda: local_errors, _constant(3), cost=12),
    )
}
"""The observables by name."""


def observables_named(names: tuple[str, ...]) -> tuple[Kept, ...]:
    """The observables of those names, each kept everywhere, or at the tenths if its name ends in `@tenths`.

    Raises:
        InputError: if one does not exist; the message lists those that do.
    """
    kept = []
    for name in names:
        plain = name.removesuffix(_TENTHS)
        if plain not in OBSERVABLES:
            raise unknown("observable", name, list(OBSERVABLES))
        kept.append(Kept(OBSERVABLES[plain], tenths=plain != name))
    return tuple(kept)
