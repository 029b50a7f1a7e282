"""Top-k and renormalisation."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from mnist_ddm.core.routing import RoutingContext, Samples, TopK
from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, call
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.material import nobody, normal, router_along_a_trajectory, triangle
from mnist_ddm.figures.palette import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def weights(logits: Tensor, k: int) -> Tensor:
    """Those of the package's own routing."""
    seeds = torch.arange(len(logits))
    context = RoutingContext(logits, logits[:, 0], 0, Samples(seeds, nobody(len(logits))), triangle())
    return TopK(k).weights(logits, context)


_UNPLACED = "these are k numbers, the largest first: put each back into the column of its expert, with scatter"


@final
class TopKWeights(ClosedExercise):
    """Random logits for several k."""

    name = "topk"

    def cases(self) -> Iterable[Case]:
        logits = 1.5 * normal(9, 3, 5)
        yield _case("k = 2 of five experts", logits, 2)
        yield _case("k = 1, which has all the weight", logits, 1)
        yield _case("k = 5, all experts", logits, 5)
        yield _case("logits of size 1000, as a very sure router has them", 1000 * normal(10, 2, 4), 3)

    mistakes = (
        Mistake(
            "the weights of a row do not sum to 1: renormalise over the chosen experts",
            lambda logits, k: _kept(logits.softmax(dim=1), k),
        ),
        Mistake(
            "you chose the experts with the smallest logits; torch.argsort and sort are ascending by default",
            lambda logits, k: logits.masked_fill(~_chosen(-logits, k), -torch.inf).softmax(dim=1),
        ),
        Mistake(
            "equal weights for the chosen experts: they should be in proportion to the router's probabilities",
            lambda logits, k: _chosen(logits, k) / k,
        ),
        Mistake(
            "the experts that are not chosen have weight: exp(0) is 1. Mask logits with -inf, not with 0",
            lambda logits, k: (logits * _chosen(logits, k)).softmax(dim=1),
        ),
        Mistake(
            "a softmax of probabilities instead of logits: that flattens the weights",
            lambda logits, k: weights(logits.softmax(dim=1), k),
        ),
        Mistake(
            "the softmax ran over the states; it belongs over the experts, dim=1",
            lambda logits, k: _renormalised(logits.softmax(dim=0), k),
        ),
        Mistake(
            "renormalise by the sum of the chosen probabilities, not by their length (the root of the sum of squares)",
            lambda logits, k: torch.nn.functional.normalize(logits.softmax(dim=1) * _chosen(logits, k), dim=1),
        ),
        Mistake(
            "one sum was used for the whole batch: each row needs its own, sum(dim=1, keepdim=True)",
            lambda logits, k: _kept(logits.softmax(dim=1), k) / _kept(logits.softmax(dim=1), k).sum(),
        ),
        Mistake(
            _UNPLACED,
            lambda logits, k: logits.topk(k, dim=1).values.softmax(dim=1),
        ),
        Mistake(
            _UNPLACED,
            lambda logits, k: logits.softmax(dim=1).topk(k, dim=1).values,
        ),
        Mistake(
            "exp overflowed: torch.softmax subtracts the largest logit first, exp(z) / exp(z).sum() does not",
            lambda logits, k: _renormalised(logits.exp(), k),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        times, logits = router_along_a_trajectory()
        axes = figure.subplots(1, 3, sharey=True)
        labels = [f"expert {i}" for i in range(logits.shape[1])]
        for axis, k in zip(axes, (1, 2, logits.shape[1]), strict=True):
            weights = function(logits, k)
            shades = [COLOURS[i % len(COLOURS)] for i in range(logits.shape[1])]
            axis.stackplot(
                times, weights.T.numpy(), colors=shades, labels=labels, step="post" if k < logits.shape[1] else None
            )
            axis.invert_xaxis()
            axis.set_title(f"k = {k}", fontsize=10)
            axis.set_xlabel("t")
        axes[0].set_ylabel("weights of the experts")
        axes[0].set_ylim(0, 1)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)


def _case(asked: str, logits: Tensor, k: int) -> Case:
    return Case(asked, lambda function: call(function, logits.clone(), k), weights(logits, k), ("the weights",))


def _chosen(logits: Tensor, k: int) -> Tensor:
    """Whether an expert is among the k most probable, shape ``(B, K)``."""
    return torch.zeros_like(logits).scatter(1, logits.topk(k, dim=1).indices, 1.0).bool()


def _renormalised(shares: Tensor, k: int) -> Tensor:
    kept = _kept(shares, k)
    return kept / kept.sum(dim=1, keepdim=True)


def _kept(shares: Tensor, k: int) -> Tensor:
    return shares * _chosen(shares, k)
