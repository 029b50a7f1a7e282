"""What is recorded of a field's sensitivity: Jacobian norms, switching between experts, local errors of a step."""

from typing import final

import torch
from torch import Tensor

from mnist_ddm.compute.devices import widened
from mnist_ddm.core.field import RoutedField
from mnist_ddm.core.jacobians import expert_jacobian, expert_term, jacobian_terms
from mnist_ddm.core.noise import Purpose, subsets
from mnist_ddm.core.solvers import Heun
from mnist_ddm.core.spectral import LinearMap, SpectralNorm, spectral_norm
from mnist_ddm.core.visits import Visit
from mnist_ddm.errors import InputError

TOLERANCE = 0.02
"""Every norm is measured until its relative residual is at most this.

Where the two largest singular values are apart the relative error of the norm is about the square of its residual, so
0.0004; where they are not, it is at most the residual.
"""

NEGLECTED = 1e-4
"""Experts of at most this weight are left out of the expert term.

That moves the norm of the term by at most the sum over these experts of the weight times the norm of the expert's own
Jacobian, which is far below what `TOLERANCE` leaves open.
"""

TERMS = ("expert", "router", "whole", "denoiser")
"""The Jacobians that `JacobianTermNorms` measures: the two terms of the field's, their sum, and that of the denoiser.

The denoiser is the map to the predicted clean image, x - t v(x, t).
"""

STEP = 0.01
"""The larger step size h at which local errors are measured, as in Table 5; the smaller one is half of it."""

SUB_STEPS = 10
"""A step is compared with so many steps of the same method over the same time."""

POINTS = 10
"""Local errors are measured at so many random states of each trajectory."""

_VANISHING = 1e-6
"""A weight of at most this is about to fade to 0, so that its expert's appearance or disappearance is no jump."""


@final
class JacobianTermNorms:
    r"""Norms of :math:`\sum_k w_k \nabla v_k`, :math:`\sum_k (v_k - v) \nabla w_k`, :math:`\nabla v` and the denoiser.

    Each visit starts from the directions found at the visit before.
    """

    def __init__(self) -> None:
        """Start without any direction."""
        self._directions: dict[str, Tensor] = {}

    def __call__(self, visit: Visit) -> Tensor:
        """Norm, residual and products of each of `TERMS`, shape ``(B, 4, 3)``; see `spectral_norm`."""
        terms = jacobian_terms(
            visit.field,
            visit.x,
            visit.times,
            visit.samples,
            visit.interval,
            visit.evaluation.weights,
            neglected=NEGLECTED,
        )
        expert = self._measure("expert", terms.expert, visit)
        if terms.router is None:
            router, whole = torch.zeros_like(expert), torch.cat([expert[:, :2], torch.zeros_like(expert[:, 2:])], dim=1)
        else:
            router = self._measure("router", terms.router, visit)
            whole = self._measure("whole", terms.whole, visit)
        denoiser = self._measure("denoiser", terms.whole.identity_minus(visit.t), visit)
        return torch.stack([expert, router, whole, denoiser], dim=1)

    def _measure(self, name: str, jacobian: LinearMap, visit: Visit) -> Tensor:
        measured = spectral_norm(jacobian, visit.x, start=self._directions.get(name), tolerance=TOLERANCE)
        self._directions[name] = measured.direction
        return _columns(measured)


@final
class ExpertTermNorm:
    """The norm of the expert term alone, cheap enough for every state of a trajectory."""

    def __init__(self) -> None:
        """Start without any direction."""
        self._direction: Tensor | None = None

    def __call__(self, visit: Visit) -> Tensor:
        """Norm, residual and products, shape ``(B, 3)``; see `spectral_norm`."""
        field, weights = visit.field, visit.evaluation.weights
        jacobian = expert_term(field, visit.x, visit.times, visit.samples, visit.interval, weights, neglected=NEGLECTED)
        measured = spectral_norm(jacobian, visit.x, start=self._direction, tolerance=TOLERANCE)
        self._direction = measured.direction
        return _columns(measured)


@final
class ExpertNorms:
    """The norm of every expert's own Jacobian, selected or not."""

    def __init__(self) -> None:
        """Start without any direction."""
        self._directions: dict[int, Tensor] = {}

    def __call__(self, visit: Visit) -> Tensor:
        """Norms, shape ``(B, K)``."""
        field, norms = _routed(visit), []
        for k in range(field.pool.n_experts):
            jacobian = expert_jacobian(field, k, visit.x, visit.times, visit.samples)
            measured = spectral_norm(jacobian, visit.x, start=self._directions.get(k), tolerance=TOLERANCE)
            self._directions[k] = measured.direction
            norms.append(measured.norm.float())
        return torch.stack(norms, dim=1)


def _columns(measured: SpectralNorm) -> Tensor:
    return torch.stack([measured.norm, measured.residual, measured.products.double()], dim=1).float()


def switching(visit: Visit) -> Tensor:
    r"""How near a state is to a switch of experts, and how much a switch would change the velocity (Section I.6).

    With the two most probable experts (1) and (2): the margins :math:`m_p = p_{(1)} - p_{(2)}` and
    :math:`m_z = z_{(1)} - z_{(2)}`, and the gap :math:`g = \lVert v_{(1)} - v_{(2)} \rVert_2`.

    Returns:
        The three, shape ``(B, 3)``.
    """
    field, logits = _routed(visit), visit.evaluation.logits
    if logits is None or not field.routing.needs_router:
        raise InputError("switching needs a router")
    if logits.shape[1] < 2:
        raise InputError("switching needs at least two experts")
    z, first = logits.topk(2, dim=1)
    p = logits.softmax(dim=1).gather(1, first)
    both = torch.zeros_like(logits).scatter(1, first, 0.5)
    samples = visit.samples.select(torch.arange(len(visit.x)))
    experts = field.evaluate(visit.x, visit.times, samples, visit.interval, keep_experts=True, weights=both).experts
    assert experts is not None
    rows = torch.arange(len(visit.x), device=visit.x.device)
    gap = widened(experts[rows, first[:, 0]] - experts[rows, first[:, 1]]).flatten(1).norm(dim=1)
    return torch.stack([widened(p[:, 0] - p[:, 1]), widened(z[:, 0] - z[:, 1]), gap], dim=1).float()


def local_errors(visit: Visit) -> Tensor:
    r"""The error of one Heun step of size h against ten of h / 10, for h = 0.01 and 0.005 (Section G.2, Table 5).

    Measured at `POINTS` random visits of each trajectory with :math:`t > h`, NaN elsewhere.

    Returns:
        :math:`\lVert \epsilon(h) \rVert_2`, :math:`\lVert \epsilon(h / 2) \rVert_2` and 1 where the set of experts
        changes inside the step (0 elsewhere), shape ``(B, 3)``.
    """
    errors = torch.full((len(visit.x), 3), torch.nan)
    eligible = sum((visit.total - i) / visit.total > STEP for i in range(visit.total))
    if visit.number >= eligible:
        return errors
    chosen = subsets(visit.samples.seeds, Purpose.POINTS, 0, eligible, min(POINTS, eligible))
    rows = (chosen == visit.number).any(dim=1).nonzero()[:, 0]
    if len(rows) == 0:
        return errors
    # States in float64, as a local error can be smaller than the rounding of a float32 state; the field keeps its own.
    x, samples, first = widened(visit.x[rows]), visit.samples.select(rows), widened(visit.evaluation.velocity[rows])
    start = None if visit.evaluation.weights is None else visit.evaluation.weights[rows]
    switched = torch.zeros(len(rows), dtype=torch.bool)

    def velocity(state: Tensor, t: float) -> Tensor:
        times = torch.full((len(state),), t, dtype=visit.x.dtype, device=visit.x.device)
        there = visit.field.evaluate(state.to(visit.x), times, samples, visit.interval)
        if start is not None and there.weights is not None:
            switched.logical_or_(jumps(start, there.weights).cpu())
        return widened(there.velocity)

    solver = Heun()
    for column, h in enumerate((STEP, STEP / 2)):
        one = solver.step(velocity, x, visit.t, visit.t - h, first)
        fine, times = x, [visit.t - h * i / SUB_STEPS for i in range(SUB_STEPS + 1)]
        for i in range(SUB_STEPS):
            slope = first if i == 0 else velocity(fine, times[i])
            fine = solver.step(velocity, fine, times[i], times[i + 1], slope)
        errors[rows, column] = (one - fine).flatten(1).norm(dim=1).float().cpu()
    errors[rows, 2] = switched.float()
    return errors


def jumps(before: Tensor, after: Tensor) -> Tensor:
    """Where an expert appears or disappears with more than a vanishing weight: both ``(B, K)``, result ``(B,)``.

    A smooth weight that fades to 0 passes through small values first and is no jump.
    """
    appears, disappears = (before == 0) & (after > _VANISHING), (after == 0) & (before > _VANISHING)
    return (appears | disappears).any(dim=1)


def _routed(visit: Visit) -> RoutedField:
    if not isinstance(visit.field, RoutedField):
        raise InputError("this observable needs experts, but the field has none")
    return visit.field
