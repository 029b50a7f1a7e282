"""Observables: what a recording may keep of each visited state.

An observable is a named, versioned function of one visited state. A caller says which ones to keep; nothing else is
stored. All K experts are evaluated only where a wanted observable needs them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mnist_ddm.core.errors import InputError, unknown
from mnist_ddm.core.field import Evaluation


@dataclass(frozen=True)
class Visit:
    """One visited state of a batch: where it is and what the field said there.

    Attributes:
        x: states ``(B, *state_shape)``.
        t: the time, the same for the whole batch.
        evaluation: of the field at ``(x, t)``.
    """

    x: Tensor
    t: float
    evaluation: Evaluation


@dataclass(frozen=True)
class Observable:
    """A named function of a visited state.

    Attributes:
        name: under which the recording keeps it.
        function: from a `Visit` to a tensor ``(B, ...)``.
        needs_experts: whether it reads the velocities of all experts.
        version: to be raised when the function changes, so that stored recordings are not mistaken for current ones.
    """

    name: str
    function: Callable[[Visit], Tensor]
    needs_experts: bool = False
    version: int = 1


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
    unit_a = torch.nn.functional.normalize(a.double().flatten(2), dim=2, eps=1e-300)
    unit_b = torch.nn.functional.normalize(b.double().flatten(2), dim=2, eps=1e-300)
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
    flat = velocities.double().flatten(2)
    k = flat.shape[1]
    if k < 2:
        return flat.new_zeros(len(flat)).float()
    # The direct form: the expansion |a|^2 + |b|^2 - 2ab cancels where experts nearly agree.
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    return (distances.sum(dim=(1, 2)) / (k * (k - 1))).float()


OBSERVABLES: Mapping[str, Observable] = {
    o.name: o
    for o in (
        Observable("x", lambda visit: visit.x),
        Observable("velocity", lambda visit: visit.evaluation.velocity),
        Observable("logits", _logits),
        Observable("weights", _weights),
        Observable("velocities", _experts, needs_experts=True),
        Observable("angles", _angles, needs_experts=True),
        Observable("disagreement", _disagreement, needs_experts=True),
    )
}
"""The observables by name."""


def observables_named(names: tuple[str, ...]) -> tuple[Observable, ...]:
    """The observables of those names.

    Raises:
        InputError: if one does not exist; the message lists those that do.
    """
    for name in names:
        if name not in OBSERVABLES:
            raise unknown("observable", name, list(OBSERVABLES))
    return tuple(OBSERVABLES[name] for name in names)
