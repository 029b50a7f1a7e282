r"""Is a router consistent with its experts? Its term of the Jacobian beside the one that the experts imply.

If the weights are the exact posterior of the experts of the linear path, then
:math:`\nabla w_k = -\tfrac{1 - t}{t} w_k (v_k - v)`, and the router's term :math:`A = \sum_k (v_k - v) \nabla w_k^T` is

.. math:: M = -\frac{1 - t}{t} \sum_k w_k (v_k - v)(v_k - v)^T,

symmetric, not positive, and known from velocities alone; its trace is the weighted disagreement. Both terms have at
most K rows, so their Frobenius norms and products are sums over pairs of experts, exact and without any d x d matrix.
"""

import torch
from torch import Tensor

from mnist_ddm.compute.devices import widened
from mnist_ddm.core.field import RoutedField
from mnist_ddm.core.jacobians import jacobian_terms
from mnist_ddm.core.noise import signs
from mnist_ddm.core.visits import Visit
from mnist_ddm.errors import InputError

PARTS = ("learned", "implied", "product", "transposed", "trace", "implied_trace", "skew", "probed")
r"""What `router_consistency` measures of A and M and of the field's Jacobian J.

:math:`\lVert A \rVert_F^2`, :math:`\lVert M \rVert_F^2`, :math:`\langle A, M \rangle`, :math:`\langle A, A^T \rangle`,
the two traces, and :math:`\lVert (J - J^T) z \rVert^2` and :math:`\lVert J z \rVert^2` for signs z of the sample's own.
"""


def router_consistency(visit: Visit) -> Tensor:
    """The numbers of `PARTS` at a visit, shape ``(B, 8)``; A is 0 where weights only jump.

    Raises:
        InputError: if the field has no router.
    """
    field, experts = visit.field, visit.evaluation.experts
    if not isinstance(field, RoutedField) or experts is None or not field.routing.needs_router:
        raise InputError("consistency needs experts and a router, but the field has none")
    weights, slopes = _weights_and_slopes(field, visit)
    velocities, t = widened(experts).flatten(2), visit.t
    apart = velocities - torch.einsum("bk,bkd->bd", weights, velocities)[:, None]
    implied = -(1 - t) / t * weights[:, :, None] * apart
    pairs = torch.einsum("bid,bjd->bij", apart, apart)

    def product(a: Tensor, b: Tensor) -> Tensor:
        return (pairs * torch.einsum("bid,bjd->bij", a, b)).sum(dim=(1, 2))

    across = torch.einsum("bid,bjd->bij", apart, slopes)
    every = torch.arange(len(visit.x), device=visit.x.device)
    samples, here = visit.samples.select(every), visit.evaluation.weights
    jacobian = jacobian_terms(field, visit.x, visit.times, samples, visit.interval, here).whole
    probe = signs(visit.samples.seeds, field.pool.state_shape).to(visit.x)
    pushed, pulled = (widened(j).flatten(1) for j in (jacobian.jvp(probe), jacobian.vjp(probe)))
    found = (
        product(slopes, slopes),
        product(implied, implied),
        product(slopes, implied),
        (across * across.transpose(1, 2)).sum(dim=(1, 2)),
        (apart * slopes).sum(dim=(1, 2)),
        (apart * implied).sum(dim=(1, 2)),
        (pushed - pulled).square().sum(dim=1),
        pushed.square().sum(dim=1),
    )
    return torch.stack(found, dim=1)


def _weights_and_slopes(field: RoutedField, visit: Visit) -> tuple[Tensor, Tensor]:
    """The weights ``(B, K)`` and their gradients ``(B, K, d)``, float64; 0 for those that only choose experts."""
    every = torch.arange(len(visit.x), device=visit.x.device)
    with torch.inference_mode(False), torch.enable_grad():
        point = visit.x.clone().detach().requires_grad_()
        _, weights = field.weights(point, visit.times, visit.samples.select(every), visit.interval)
        if not weights.requires_grad:
            return widened(weights), widened(weights.new_zeros(*weights.shape, point[0].numel()))
        slopes = [
            torch.autograd.grad(weights[:, k].sum(), point, retain_graph=True)[0] for k in range(weights.shape[1])
        ]
    return widened(weights.detach()), widened(torch.stack(slopes, dim=1)).flatten(2)
