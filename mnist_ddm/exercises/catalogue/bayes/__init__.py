"""The exact router of two Gaussians."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, call
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.material import SOFT, normal
from mnist_ddm.systems.gaussian import GaussianPool

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SCALES = torch.tensor([0.4, 0.9], dtype=torch.float64)
_PRIOR = torch.tensor([0.25, 0.75], dtype=torch.float64)


def posterior(x: Tensor, t: Tensor, means: Tensor, scales: Tensor, prior: Tensor) -> Tensor:
    """The `gaussian` system's own, for states that are rows."""
    pool = GaussianPool(means[:, None, None], scales, prior)
    return pool.posterior_logits(x[:, None, None], t).softmax(dim=1)


@final
class BayesRouter(ClosedExercise):
    """Two clusters of unequal weight and width, in 3 and in 784 dimensions."""

    name = "bayes"

    def cases(self) -> Iterable[Case]:
        t = torch.tensor([0.9, 0.6, 0.4, 0.2], dtype=torch.float64)
        yield _case("p(k | x_t) of four states in 3 dimensions at t = 0.9, 0.6, 0.4, 0.2", normal(5, 4, 3), t, 1.0)
        yield _case("pure noise, where only the prior is left", normal(6, 4, 3), torch.ones_like(t), 1.0)
        look = "in 784 dimensions a density is 0 or infinite in a computer: use logarithms until the softmax"
        yield _case("784 dimensions", normal(7, 4, 784), t, 0.1, look)

    mistakes = (
        Mistake(
            "t is reversed: at t = 1 there is only noise, so the clean parts are multiplied by 1 - t",
            lambda x, t, m, s, p: posterior(x, 1 - t, m, s, p),
        ),
        Mistake(
            "the prior is missing: a frequent cluster is more probable, add log pi_k",
            lambda x, t, m, s, p: posterior(x, t, m, s, torch.ones_like(p) / len(p)),
        ),
        Mistake(
            "the factor V_k^(-d/2) of the density is missing: a wide Gaussian is lower everywhere",
            lambda x, t, m, s, p: (_logits(x, t, m, s, p) + x.shape[1] / 2 * _variance(t, s).log()).softmax(dim=1),
        ),
        Mistake(
            "the variance of d dimensions counts d times: -d/2 log V_k, not -1/2 log V_k",
            lambda x, t, m, s, p: (_logits(x, t, m, s, p) + (x.shape[1] - 1) / 2 * _variance(t, s).log()).softmax(
                dim=1
            ),
        ),
        Mistake(
            "the means shrink with the noise: compare x_t with (1 - t) mu_k",
            lambda x, t, m, s, p: _logits(x, t, m, s, p, shrink=False).softmax(dim=1),
        ),
        Mistake(
            "the noise widens the clusters: V_k = (1 - t)^2 s_k^2 + t^2, not s_k^2",
            lambda x, t, m, s, p: _logits(x, t, m, s, p, variance=(s**2).expand(len(x), -1)).softmax(dim=1),
        ),
        Mistake(
            "V_k is made of squares: (1 - t)^2 s_k^2 + t^2",
            lambda x, t, m, s, p: _logits(x, t, m, s, p, variance=(1 - t[:, None]) * s + t[:, None]).softmax(dim=1),
        ),
        Mistake(
            "V_k is a variance already: divide by 2 V_k, not by 2 V_k^2",
            lambda x, t, m, s, p: _logits(x, t, m, s, p, divisor=2 * _variance(t, s) ** 2).softmax(dim=1),
        ),
        Mistake(
            "the 1/2 in the exponent is missing: divide the square by 2 V_k",
            lambda x, t, m, s, p: _logits(x, t, m, s, p, divisor=_variance(t, s)).softmax(dim=1),
        ),
        Mistake(
            "scales are standard deviations: the variance has s_k^2",
            lambda x, t, m, s, p: posterior(x, t, m, s.sqrt(), p),
        ),
        Mistake(
            "these are logarithms; a softmax over the clusters makes probabilities of them", lambda *a: _logits(*a)
        ),
        Mistake("these do not sum to 1: divide by their sum, or use softmax", lambda *a: _logits(*a).exp()),
        Mistake(
            "the softmax runs over the states; it must run over the clusters, dim=1", lambda *a: _logits(*a).softmax(0)
        ),
        Mistake(
            "the densities are too small for a computer and became 0: stay with logarithms until the softmax",
            lambda *a: _logits(*a, constant=True).exp() / _logits(*a, constant=True).exp().sum(dim=1, keepdim=True),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        axes = figure.add_subplot()
        line = torch.linspace(-3, 3, 241, dtype=torch.float64)
        means = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        for i, t in enumerate((0.95, 0.8, 0.6, 0.4, 0.1)):
            p = function(line[:, None], torch.full_like(line, t), means, _SCALES, _PRIOR)
            axes.plot(line, p[:, 0], color=(0.0, 0.2 + 0.12 * i, 0.85 - 0.15 * i), label=f"t = {t}")
        for mean, label in zip(means[:, 0].tolist(), ("left mean", "right mean"), strict=True):
            axes.axvline(mean, color=SOFT, linewidth=0.8)
            axes.text(mean, 1.03, label, color=SOFT, fontsize=8, ha="center", transform=axes.get_xaxis_transform())
        axes.axhline(float(_PRIOR[0]), color=SOFT, linestyle=":", label="prior")
        axes.set_xlabel("x_t on the line through both means")
        axes.set_ylabel("p(left cluster | x_t)")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)


def _case(asked: str, x: Tensor, t: Tensor, spread: float, look: str = "") -> Case:
    means = spread * normal(8, 2, x.shape[1])
    expected = posterior(x, t, means, _SCALES, _PRIOR)

    def ask(function: StudentFunction) -> object:
        return call(function, x.clone(), t.clone(), means.clone(), _SCALES.clone(), _PRIOR.clone())

    return Case(asked, ask, expected, ("the posterior",), look=look)


def _variance(t: Tensor, scales: Tensor) -> Tensor:
    return (1 - t[:, None]) ** 2 * scales**2 + t[:, None] ** 2


def _logits(
    x: Tensor,
    t: Tensor,
    means: Tensor,
    scales: Tensor,
    prior: Tensor,
    *,
    shrink: bool = True,
    variance: Tensor | None = None,
    divisor: Tensor | None = None,
    constant: bool = False,
) -> Tensor:
    """Logarithms of prior times density, with one part wrong; ``constant`` adds what is the same for all."""
    alpha = (1 - t)[:, None, None] if shrink else 1.0
    variance = _variance(t, scales) if variance is None else variance
    divisor = 2 * variance if divisor is None else divisor
    square = (x[:, None] - alpha * means).square().sum(dim=2)
    logits = prior.log() - x.shape[1] / 2 * variance.log() - square / divisor
    return logits - x.shape[1] / 2 * torch.log(torch.tensor(2 * torch.pi)) if constant else logits
