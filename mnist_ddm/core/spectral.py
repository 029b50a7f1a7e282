"""Spectral norms of Jacobians without the Jacobians: products J v and J^T u alone, for a whole batch at once.

A function whose row ``i`` depends on row ``i`` of its argument alone has one Jacobian for each row. `linearize` turns
it into a `LinearMap`, sums and shifts of such maps are maps again, and `spectral_norm` finds each row's largest
singular value.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mnist_ddm.compute.devices import sent, widened
from mnist_ddm.compute.launches import products_alone
from mnist_ddm.compute.precision import computing_in
from mnist_ddm.core.convolutions import FrozenConvolutions
from mnist_ddm.errors import InputError

BatchFunction = Callable[[Tensor], Tensor]
"""From ``(B, *shape)`` to the same shape, row by row."""

WARM_NOISE = 0.3
"""How much of a random unit vector is added to the unit vector that a search starts from.

A search that starts from the leading direction at a neighbouring state may start from the second direction here, and
one that has no part at all in the leading direction never gets to it.
"""

LEAST_STEPS = 3
"""No search stops after fewer steps than this, however small its residual is, unless there is nothing left to add.

After one step from a neighbour's direction it may rest on some nearly equal singular values with a small residual,
while a larger one is no longer near them; each further step tells one more group of equal values apart.
"""


@dataclass(frozen=True)
class LinearMap:
    """One linear map for each row of a batch.

    Attributes:
        jvp: from ``v`` to J v, both ``(B, *shape)``.
        vjp: from ``u`` to J^T u, both ``(B, *shape)``.
        select: the map of some rows (int64, any length); ``None`` if it can only be applied to all of them.
    """

    jvp: BatchFunction
    vjp: BatchFunction
    select: "Callable[[Tensor], LinearMap] | None" = None

    def __add__(self, other: "LinearMap") -> "LinearMap":
        """The sum of two maps."""
        mine, theirs = self.select, other.select
        return LinearMap(
            lambda v: self.jvp(v) + other.jvp(v),
            lambda u: self.vjp(u) + other.vjp(u),
            (lambda rows: mine(rows) + theirs(rows)) if mine and theirs else None,
        )

    def identity_minus(self, scale: float) -> "LinearMap":
        """The map I - scale J: with scale = t the Jacobian of the predicted clean image x - t v(x, t)."""
        mine = self.select
        return LinearMap(
            lambda v: v - scale * self.jvp(v),
            lambda u: u - scale * self.vjp(u),
            (lambda rows: mine(rows).identity_minus(scale)) if mine else None,
        )


@dataclass(frozen=True)
class SpectralNorm:
    r"""What `spectral_norm` says of each row.

    Attributes:
        norm: the largest singular value found, never more than the true one; float64, shape ``(B,)``.
        residual: :math:`\lVert J^T u - \sigma v \rVert / \sigma` of the best pair of singular vectors: some singular
            value lies within that relative distance, and the error of ``norm`` is of its square; shape ``(B,)``.
        products: how many products J v and J^T u went into it, int64, shape ``(B,)``.
        converged: whether the residual reached the tolerance, shape ``(B,)``.
        direction: the unit vector ``v`` that is stretched most, the start for a neighbouring state; ``(B, *shape)``.
    """

    norm: Tensor
    residual: Tensor
    products: Tensor
    converged: Tensor
    direction: Tensor


def linearize(f: BatchFunction, x: Tensor, restrict: Callable[[Tensor], BatchFunction] | None = None) -> LinearMap:
    r"""The Jacobian of a function at a point, as a linear map.

    The graphs of f and of its derivative are built once; after that a product costs about as much as one evaluation
    of f. J^T u is a backward pass, and since J^T u is linear in u, its own backward pass gives J v.

    Args:
        f: differentiable in its argument, row by row.
        x: the point, shape ``(B, *shape)``.
        restrict: from some rows (int64) to the function of those rows alone, if f depends on the row. With it the map
            can be narrowed to the rows that still need work.

    Raises:
        InputError: if the result of f does not depend on x in a way that torch can differentiate.
    """
    with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        # Fused attention kernels have no second derivative; and a state recorded in inference mode has no graph.
        point = x.clone().detach().requires_grad_()
        with FrozenConvolutions(), products_alone():
            value = f(point)
        pulled = None
        if value.requires_grad:
            probe = torch.zeros_like(value, requires_grad=True)
            with computing_in("float32", x.device):
                (pulled,) = torch.autograd.grad(value, point, probe, create_graph=True, allow_unused=True)
        if pulled is None:  # with parameters that require gradients, a result cut off from x requires them too
            raise InputError("a Jacobian was asked of something that is not differentiable (is it under no_grad?)")

    def vjp(u: Tensor) -> Tensor:
        with torch.inference_mode(False), computing_in("float32", x.device):
            (product,) = torch.autograd.grad(value, point, u.clone(), retain_graph=True, materialize_grads=True)
        return product

    def jvp(v: Tensor) -> Tensor:
        if not pulled.requires_grad:
            return torch.zeros_like(v)
        with torch.inference_mode(False), computing_in("float32", x.device):
            (product,) = torch.autograd.grad(pulled, probe, v.clone(), retain_graph=True, materialize_grads=True)
        return product

    def select(rows: Tensor) -> LinearMap:
        assert restrict is not None
        return linearize(restrict(rows), x[rows], lambda inner: restrict(rows[inner]))

    return LinearMap(jvp, vjp, select if restrict else None)


def jacobian_spectral_norm(
    f: BatchFunction,
    x: Tensor,
    *,
    start: Tensor | None = None,
    generator: torch.Generator | None = None,
    tolerance: float = 1e-4,
    max_products: int = 200,
    restrict: Callable[[Tensor], BatchFunction] | None = None,
) -> SpectralNorm:
    r"""The spectral norm :math:`\lVert \nabla_x f(x) \rVert` of each row's Jacobian; see `linearize`, `spectral_norm`.

    Args:
        f: differentiable in its argument, row ``i`` of the result depending on row ``i`` of the argument alone.
        x: shape ``(B, *shape)``.
        start: a guess of the leading directions, such as `SpectralNorm.direction` at a neighbouring state.
        generator: of the random direction; by default one with a fixed seed.
        tolerance: of the relative residual.
        max_products: at most this many products for each row.
        restrict: from rows to the function of those rows alone.

    Raises:
        InputError: if f is not differentiable.
    """
    jacobian = linearize(f, x, restrict)
    return spectral_norm(jacobian, x, start=start, generator=generator, tolerance=tolerance, max_products=max_products)


def spectral_norm(
    jacobian: LinearMap,
    like: Tensor,
    *,
    start: Tensor | None = None,
    generator: torch.Generator | None = None,
    tolerance: float = 1e-4,
    max_products: int = 200,
) -> SpectralNorm:
    r"""The largest singular value of each row's map, by Golub-Kahan-Lanczos bidiagonalization.

    After j steps (2j products) :math:`J V = U B` and :math:`J^T U = V_{+} \tilde B^T` with a small bidiagonal matrix,
    whose largest singular value is the best that any vector of the Krylov space gives: never worse than power
    iteration with as many products. All earlier directions are kept orthogonal. A row stops when its residual
    :math:`\beta_j |p_j|` (the last part of the left singular vector of B) reaches the tolerance, after `LEAST_STEPS`;
    when half of the rows have stopped the map is narrowed to the rest, if it can be.

    Rows that are not converged are said in `SpectralNorm.converged` and in a `RuntimeWarning`.

    Args:
        jacobian: the maps.
        like: any tensor of shape ``(B, *shape)`` with the dtype and device of the vectors.
        start: a guess of the leading directions, shape of ``like``.
        generator: of the random direction, which is the same for all rows, so that a row does not depend on its
            companions; by default one with a fixed seed.
        tolerance: of the relative residual.
        max_products: at most this many products for each row.

    References:
        Golub and Kahan (1965), Calculating the singular values and pseudo-inverse of a matrix.
    """
    shape, n, dim = like.shape[1:], len(like), like[0].numel()
    norms = SpectralNorm(
        norm=torch.zeros(n, dtype=torch.float64),
        residual=torch.zeros(n, dtype=torch.float64),
        products=torch.zeros(n, dtype=torch.int64),
        converged=torch.zeros(n, dtype=torch.bool),
        direction=_start(like, start, generator).reshape(n, *shape),
    )
    rows = torch.arange(n)  # of the samples that still run
    place = torch.arange(n)  # where each of them is in the map, which is narrowed less often
    size = n

    def apply(product: BatchFunction, vectors: Tensor) -> Tensor:
        if len(place) == size:
            return product(vectors.reshape(size, *shape)).detach().reshape(size, dim)
        at = sent(place, like.device)
        full = vectors.new_zeros(size, dim).index_copy(0, at, vectors)
        return product(full.reshape(size, *shape)).detach().reshape(size, dim)[at]

    right = norms.direction.reshape(n, 1, dim).clone()
    left = right.new_zeros(n, 0, dim)
    bidiagonal = torch.zeros(n, 0, 1, dtype=torch.float64)
    for step in range(1, max(1, min(max_products // 2, dim)) + 1):
        u = _orthogonal(apply(jacobian.jvp, right[:, -1]), left)
        alpha = widened(u).norm(dim=1)
        left = torch.cat([left, _unit(u, alpha)[:, None]], dim=1)
        w = _orthogonal(apply(jacobian.vjp, left[:, -1]), right)
        beta = widened(w).norm(dim=1)
        right = torch.cat([right, _unit(w, beta)[:, None]], dim=1)
        bidiagonal = torch.nn.functional.pad(bidiagonal, (0, 1, 0, 1))
        alpha, beta = torch.stack([alpha, beta]).cpu()
        bidiagonal[:, step - 1, step - 1], bidiagonal[:, step - 1, step] = alpha, beta
        # A row with NaN would end the decomposition of the whole batch; it stops as it is, not converged.
        broken = ~bidiagonal.isfinite().all(dim=(1, 2))
        sound = torch.where(broken[:, None, None], 0.0, bidiagonal)
        p, sigma, _ = torch.linalg.svd(sound[:, :, :step])
        _, best, q = torch.linalg.svd(sound, full_matrices=False)
        best = torch.where(broken[:, None], torch.nan, best)
        residual = beta * p[:, -1, 0].abs() / sigma[:, 0].clamp(min=torch.finfo(torch.float64).tiny)
        exhausted = residual <= 10 * torch.finfo(like.dtype).eps  # the space is invariant: nothing can be added
        stopped = exhausted | ((residual <= tolerance) & (step >= LEAST_STEPS))
        residual[broken] = torch.nan
        norms.norm[rows], norms.residual[rows], norms.products[rows] = best[:, 0], residual, 2 * step
        norms.converged[rows] = stopped & ~broken
        direction = torch.einsum("bj,bjd->bd", q[:, 0].to(right), right).reshape(-1, *shape)
        norms.direction.index_copy_(0, sent(rows, like.device), direction)
        going = ~stopped & ~broken
        if not going.any():
            break
        if not going.all():
            kept = sent(going.nonzero()[:, 0], like.device)
            rows, place, bidiagonal, left, right = rows[going], place[going], bidiagonal[going], left[kept], right[kept]
        if jacobian.select is not None and 2 * len(rows) <= size:
            jacobian, place, size = jacobian.select(place), torch.arange(len(rows)), len(rows)
    if not norms.converged.all():
        warnings.warn(
            f"{int((~norms.converged).sum())} of {n} spectral norms did not converge in {max_products} products "
            f"(largest relative residual {float(norms.residual.nan_to_num(nan=torch.inf).max()):.1e})",
            RuntimeWarning,
            stacklevel=2,
        )
    return norms


def _start(like: Tensor, start: Tensor | None, generator: torch.Generator | None) -> Tensor:
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    flat = like.flatten(1)
    random = torch.randn(flat.shape[1], generator=generator, dtype=torch.float64, device=generator.device)
    random = (random / random.norm()).to(flat).expand_as(flat)
    if start is not None:
        guess = start.detach().to(flat).flatten(1)
        random = torch.nn.functional.normalize(guess, dim=1) + WARM_NOISE * random
    return torch.nn.functional.normalize(random, dim=1)


def _orthogonal(vector: Tensor, basis: Tensor) -> Tensor:
    """The part of ``(B, d)`` vectors outside the span of orthonormal ``(B, j, d)`` bases; twice is enough."""
    for _ in range(2):
        vector = vector - torch.einsum("bj,bjd->bd", torch.einsum("bd,bjd->bj", vector, basis), basis)
    return vector


def _unit(vector: Tensor, length: Tensor) -> Tensor:
    """Unit vectors; a vector that rounding alone left over becomes zero and ends the search in that direction."""
    length = length[:, None].to(vector)
    return torch.where(length > 0, vector / length, 0)
