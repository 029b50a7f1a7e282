r"""The terms of a routed field's Jacobian (Section G.3), as linear maps for `spectral_norm`.

.. math:: \nabla_x v = \sum_k w_k \nabla_x v_k + \sum_k (v_k - v) \nabla_x w_k

The second term is the paper's router term :math:`\sum_k v_k \nabla_x w_k` in its centred form, which is equal because
the weights sum to 1. Inside a region of constant Top-k set the renormalised weights are differentiable; jumps between
regions are not part of a Jacobian.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mnist_ddm.core.asked import asked_logits
from mnist_ddm.core.field import RoutedField, VelocityField
from mnist_ddm.core.routing import Samples
from mnist_ddm.core.spectral import BatchFunction, LinearMap, linearize
from mnist_ddm.errors import InputError


@dataclass(frozen=True)
class JacobianTerms:
    """The terms at one state of each sample.

    Attributes:
        expert: the experts' part, with constant weights; of a field without experts the whole.
        router: the weights' part, with constant expert velocities; ``None`` where the weights do not depend on x.
    """

    expert: LinearMap
    router: LinearMap | None

    @property
    def whole(self) -> LinearMap:
        """The Jacobian of the field."""
        return self.expert if self.router is None else self.expert + self.router


def jacobian_terms(
    field: VelocityField,
    x: Tensor,
    t: Tensor,
    samples: Samples,
    interval: int,
    weights: Tensor | None,
    *,
    neglected: float = 0.0,
) -> JacobianTerms:
    """The terms of the field's Jacobian.

    Args:
        field: whose.
        x: states ``(B, *state_shape)``.
        t: times ``(B,)``.
        samples: whose states they are.
        interval: the interval of the step grid.
        weights: of the experts there, shape ``(B, K)``; ``None`` for a field without experts.
        neglected: experts of at most this weight are left out of the experts' part, for speed.
    """
    router = None
    if isinstance(field, RoutedField) and field.routing.needs_router:
        every = torch.arange(len(x), device=x.device)
        router = _router_term(field, x, t, samples.select(every), interval, weights)
    return JacobianTerms(expert_term(field, x, t, samples, interval, weights, neglected=neglected), router)


def expert_term(
    field: VelocityField,
    x: Tensor,
    t: Tensor,
    samples: Samples,
    interval: int,
    weights: Tensor | None,
    *,
    neglected: float = 0.0,
) -> LinearMap:
    """The experts' part alone; arguments as in `jacobian_terms`."""
    kept = None if weights is None else torch.where(weights > neglected, weights, 0)

    def function(rows: Tensor) -> BatchFunction:
        chosen, fixed = samples.select(rows), None if kept is None else kept[rows]
        return lambda z: field.evaluate(z, t[rows], chosen, interval, weights=fixed).velocity

    return linearize(function(torch.arange(len(x), device=x.device)), x, function)


def _router_term(
    field: RoutedField, x: Tensor, t: Tensor, samples: Samples, interval: int, weights: Tensor | None
) -> LinearMap | None:
    every = torch.arange(len(x), device=x.device)
    if not _weights_are_smooth(field, x, t, samples.select(every), interval):
        return None
    here = field.evaluate(x, t, samples, interval, keep_experts=True, weights=weights)
    assert here.experts is not None
    deviation = here.experts - here.velocity[:, None]

    def function(rows: Tensor) -> BatchFunction:
        chosen = samples.select(rows)

        def blend(z: Tensor) -> Tensor:
            _, changing = field.weights(z, t[rows], chosen, interval)
            return torch.einsum("bk,bk...->b...", changing, deviation[rows])

        return blend

    return linearize(function(every), x, function)


def _weights_are_smooth(field: RoutedField, x: Tensor, t: Tensor, samples: Samples, interval: int) -> bool:
    """Whether the weights have a derivative at all: those that only choose experts are constant between jumps."""
    with torch.inference_mode(False), torch.enable_grad():
        logits, weights = field.weights(x.clone().detach().requires_grad_(), t, samples, interval)
    if not logits.requires_grad and not _is_constant(field, x, t, logits):
        raise InputError(f"the router of {field.pool.name!r} is not differentiable (is it under no_grad?)")
    return weights.requires_grad


def _is_constant(field: RoutedField, x: Tensor, t: Tensor, logits: Tensor) -> bool:
    """Whether a router says the same of every state, as one that knows nothing does; it has no derivative to follow."""
    return all(torch.equal(asked_logits(field.pool, other, t), logits) for other in (-x, 2 * x + 1))


def expert_jacobian(field: RoutedField, expert: int, x: Tensor, t: Tensor, samples: Samples) -> LinearMap:
    """The Jacobian of one expert, whatever its weight."""
    weights = torch.nn.functional.one_hot(torch.tensor(expert), field.pool.n_experts).to(x)

    def function(rows: Tensor) -> BatchFunction:
        chosen = samples.select(rows)
        return lambda z: field.evaluate(z, t[rows], chosen, weights=weights.expand(len(rows), -1)).velocity

    return linearize(function(torch.arange(len(x), device=x.device)), x, function)
