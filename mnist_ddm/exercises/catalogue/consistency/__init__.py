"""The router's Jacobian that experts imply, against the exact router of Gaussians."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, call
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.material import SOFT, experts_of, normal, triangle
from mnist_ddm.figures.palette import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@final
class ImpliedJacobian(ClosedExercise):
    """Three Gaussians, whose exact router can be differentiated."""

    name = "consistency"

    def cases(self) -> Iterable[Case]:
        yield _exact_case()
        yield _case("random velocities of four experts in five dimensions", normal(41, 6, 4, 5), 42)
        yield _case("one expert has all the weight", normal(43, 2, 3, 4), 44, 1e3)

    mistakes = (
        Mistake(
            "the sign: a router takes weight from an expert in the direction of what it says beside the blend",
            lambda velocities, weights, t: -implied(velocities, weights, t),
        ),
        Mistake(
            "t and 1 - t are exchanged: the factor grows towards the data, t = 0",
            lambda velocities, weights, t: implied(velocities, weights, 1 - t),
        ),
        Mistake(
            "the factor (1 - t) / t is missing, or its sign",
            lambda velocities, weights, t: -_spread(velocities, weights),
        ),
        Mistake(
            "take the blend from each velocity first: (v_k - v), not v_k",
            lambda velocities, weights, t: _factor(t) * _products(velocities, weights),
        ),
        Mistake(
            "that is beside the plain mean of the experts; v is the weighted one",
            lambda velocities, weights, t: (
                _factor(t) * _products(velocities - velocities.mean(dim=1, keepdim=True), weights)
            ),
        ),
        Mistake(
            "every expert has the same weight in the sum; multiply by w_k",
            lambda velocities, weights, t: (
                _factor(t) * _products(_apart(velocities, weights), torch.ones_like(weights))
            ),
        ),
        Mistake(
            "that is the trace, the weighted disagreement; an outer product keeps both axes, (B, d, d)",
            lambda velocities, weights, t: implied(velocities, weights, t).diagonal(dim1=1, dim2=2).sum(dim=1),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        axes = figure.add_subplot()
        times = torch.linspace(0.15, 0.95, 17, dtype=torch.float64)
        for temperature, colour in zip((1.0, 2.0, 0.5), (SOFT, *COLOURS), strict=False):
            ratios = [_ratio(function, float(t), temperature) for t in times]
            axes.plot(times, ratios, "o-", color=colour, markersize=3, label=f"T = {temperature:g}")
        axes.set_yscale("log", base=2)
        axes.set_yticks([0.5, 1, 2], ["1/2", "1", "2"])
        axes.invert_xaxis()
        axes.set_xlabel("t")
        axes.set_ylabel("router's term over the implied one")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(title="temperature of the router", loc="outside lower center", ncols=3, frameon=False)


def implied(velocities: Tensor, weights: Tensor, t: Tensor) -> Tensor:
    """The right answer, shape ``(B, d, d)``."""
    return _factor(t) * _spread(velocities, weights)


def _factor(t: Tensor) -> Tensor:
    return (-(1 - t) / t)[:, None, None]


def _apart(velocities: Tensor, weights: Tensor) -> Tensor:
    return velocities - (weights[:, :, None] * velocities).sum(dim=1, keepdim=True)


def _products(apart: Tensor, weights: Tensor) -> Tensor:
    return torch.einsum("bk,bki,bkj->bij", weights, apart, apart)


def _spread(velocities: Tensor, weights: Tensor) -> Tensor:
    return _products(_apart(velocities, weights), weights)


def _case(asked: str, velocities: Tensor, key: int, sharpness: float = 1.0) -> Case:
    weights = (sharpness * normal(key, *velocities.shape[:2])).softmax(dim=1)
    t = torch.linspace(0.2, 0.9, len(velocities), dtype=torch.float64)
    return Case(
        asked,
        lambda function: call(function, velocities.clone(), weights.clone(), t.clone()),
        implied(velocities, weights, t),
        ("the matrices",),
    )


def _exact_case() -> Case:
    """The router of three Gaussians, differentiated."""
    x, t = normal(40, 5, 1, 1, 2), torch.linspace(0.3, 0.8, 5, dtype=torch.float64)
    velocities, weights, term = _at(x, t, 1.0)
    return Case(
        "three Gaussians, against the derivative of their exact router",
        lambda function: call(function, velocities.clone(), weights.clone(), t.clone()),
        term,
        ("the matrices",),
    )


def _at(x: Tensor, t: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Velocities, weights of a router with a temperature, and its term by differentiation."""
    pool = triangle()
    velocities = torch.stack([expert(x, t) for expert in experts_of(pool)], dim=1).flatten(2)
    point = x.clone().requires_grad_()
    weights = (pool.router_logits(point, t) / temperature).softmax(dim=1)
    slopes = [torch.autograd.grad(w.sum(), point, retain_graph=True)[0].flatten(1) for w in weights.unbind(dim=1)]
    term = torch.einsum("bki,bkj->bij", velocities, torch.stack(slopes, dim=1))
    return velocities, weights.detach(), term


def _ratio(function: StudentFunction, t: float, temperature: float) -> float:
    """Median over states of the lengths' ratio."""
    times = torch.full((64,), t, dtype=torch.float64)
    x = (1 - t) * triangle().means.mean(dim=0).double() + normal(45, 64, 1, 1, 2)
    velocities, weights, term = _at(x, times, temperature)
    lengths = [torch.linalg.matrix_norm(m) for m in (term, function(velocities, weights, times))]
    return float((lengths[0] / lengths[1].clamp(min=1e-300)).median())
