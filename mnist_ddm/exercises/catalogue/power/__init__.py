"""Power iteration against closed forms."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from mnist_ddm.core.spectral import linearize
from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, call
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.material import nobody, normal, triangle
from mnist_ddm.figures.palette import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Product = Callable[[Tensor], Tensor]


@final
class PowerIteration(ClosedExercise):
    """Matrices of known singular values, and Jacobians of the Gaussian system."""

    name = "power"

    def cases(self) -> Iterable[Case]:
        values = torch.tensor([3.0, 1.0, 0.5, 0.2, 0.1], dtype=torch.float64)
        scales = torch.tensor([1.0, 0.1, 20.0, 4.0], dtype=torch.float64)
        yield _matrix_case("four 5 x 5 matrices of known singular values", scales[:, None] * values, 30)
        yield _jacobian_case()
        yield _matrix_case("a norm of 3000 and 100 iterations", 1000 * values[None], 100)

    mistakes = (
        Mistake(
            "that is the square of the norm (the eigenvalue of J^T J): take its root",
            lambda jvp, vjp, start, n: _iterated(jvp, vjp, start, n).square(),
        ),
        Mistake(
            "that used J alone and found how much an eigenvector is stretched; alternate J and J^T",
            lambda jvp, vjp, start, n: _iterated(jvp, lambda u: u, start, n),
        ),
        Mistake(
            "the numbers overflow on the way: make v a unit vector in each iteration, not only at the end",
            lambda jvp, vjp, start, n: _unit_at_the_end(jvp, vjp, start, n),
        ),
        Mistake(
            "the vectors were never made unit vectors again: the result grows with the number of iterations",
            lambda jvp, vjp, start, n: _iterated(jvp, vjp, start, n, unit=lambda v: v),
        ),
        Mistake(
            "one length was used for the whole batch: each row needs its own, norm(dim=1, keepdim=True)",
            lambda jvp, vjp, start, n: _iterated(jvp, vjp, start, n, unit=lambda v: v / v.norm()),
        ),
        Mistake(
            "no iteration was made: that is how much the start vector is stretched",
            lambda jvp, vjp, start, n: _iterated(jvp, vjp, start, 0),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        axes = figure.add_subplot()
        counts, start = range(1, 26), torch.ones(1, 5, dtype=torch.float64)  # a fair share in each direction
        for second, colour in zip((0.5, 0.8, 0.95), COLOURS, strict=False):
            matrices = _matrices(torch.tensor([[1.0, second, 0.3, 0.2, 0.1]], dtype=torch.float64))
            norms = [float(function(*_products(matrices), start, n)) for n in counts]
            axes.semilogy(
                counts, [max(abs(1 - f), 1e-16) for f in norms], "o-", color=colour, markersize=3, label=second
            )
        axes.set_xlabel("iterations")
        axes.set_ylabel("relative error")
        axes.spines[["top", "right"]].set_visible(False)
        title = "second singular value, as a share of the largest"
        figure.legend(title=title, loc="outside lower center", ncols=3, frameon=False)


def _matrices(values: Tensor) -> Tensor:
    """Matrices ``(B, d, d)`` with these singular values ``(B, d)``; their eigenvalues are others."""
    b, d = values.shape
    left, right = (torch.linalg.qr(normal(key, b, d, d)).Q for key in (17, 18))
    matrices: Tensor = left @ torch.diag_embed(values) @ right.mT
    return matrices


def _products(matrices: Tensor) -> tuple[Product, Product]:
    return (
        lambda v: torch.einsum("bij,bj->bi", matrices, v),
        lambda u: torch.einsum("bji,bj->bi", matrices, u),
    )


def _matrix_case(asked: str, values: Tensor, iterations: int) -> Case:
    products, start = _products(_matrices(values)), 7 * normal(19, *values.shape)
    parts = ("the spectral norms",)
    return Case(asked, lambda function: call(function, *products, start.clone(), iterations), values[:, 0], parts)


def _jacobian_case() -> Case:
    """The marginal velocity of three Gaussians: its Jacobian is known."""
    pool = triangle()
    x, t = normal(20, 5, 1, 1, 2), torch.linspace(0.3, 0.8, 5, dtype=torch.float64)
    jacobian = linearize(lambda z: pool.monolith_velocity(z, t, nobody(len(z))), x)
    exact: Tensor = torch.linalg.matrix_norm(pool.marginal_jacobian(x, t), 2)

    def flat(product: Product) -> Product:
        return lambda v: product(v.reshape(x.shape)).flatten(1)

    def ask(function: StudentFunction) -> object:
        return call(function, flat(jacobian.jvp), flat(jacobian.vjp), normal(21, 5, 2), 100)

    return Case("Jacobians of the marginal velocity of three Gaussians", ask, exact, ("the spectral norms",), 1e-4)


def _iterated(jvp: Product, vjp: Product, start: Tensor, iterations: int, unit: Product | None = None) -> Tensor:
    unit = unit or (lambda v: torch.nn.functional.normalize(v, dim=1))
    v = unit(start)
    for _ in range(iterations):
        v = unit(vjp(jvp(v)))
    norms: Tensor = jvp(v).norm(dim=1)
    return norms


def _unit_at_the_end(jvp: Product, vjp: Product, start: Tensor, iterations: int) -> Tensor:
    """Right, as long as no number overflows."""
    v = start
    for _ in range(iterations):
        v = vjp(jvp(v))
    norms: Tensor = jvp(v / v.norm(dim=1, keepdim=True)).norm(dim=1)
    return norms
