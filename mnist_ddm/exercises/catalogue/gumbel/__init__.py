"""Gumbel routing: exact draws that a trajectory keeps."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from torch import Tensor

from mnist_ddm.core.noise import Purpose, generator
from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, call
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.material import SOFT, normal
from mnist_ddm.figures.palette import COLOURS
from mnist_ddm.systems.gaussian import load

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def noise(uniform: Tensor) -> Tensor:
    """Of Gumbel's distribution, from numbers between 0 and 1."""
    return -torch.log(-torch.log(uniform))


@final
class GumbelWeights(ClosedExercise):
    """Random logits, and noise that decides otherwise than they do."""

    name = "gumbel"

    def cases(self) -> Iterable[Case]:
        yield _case("six states and five experts", 0.7 * normal(31, 6, 5), 32)
        yield _case("a router that says nothing: all logits 0", torch.zeros(8, 4, dtype=torch.float64), 33)
        yield _case("a very sure router: logits of size 1000", 1000 * normal(34, 6, 3), 35)

    mistakes = (
        Mistake(
            "the noise has no say: that is Top-1",
            lambda logits, uniform: _hot(logits),
        ),
        Mistake(
            "uniform numbers were added as they are: turn them into Gumbel noise first, -log(-log(u))",
            lambda logits, uniform: _hot(logits + uniform),
        ),
        Mistake(
            "the sign of the noise: it is -log(-log(u)), large where u is near 1",
            lambda logits, uniform: _hot(logits - noise(uniform)),
        ),
        Mistake(
            "only one logarithm: -log(u) is exponential noise, not Gumbel's",
            lambda logits, uniform: _hot(logits - uniform.log()),
        ),
        Mistake(
            "the noise was added to probabilities: it belongs on the logits",
            lambda logits, uniform: _hot(logits.softmax(dim=1) + noise(uniform)),
        ),
        Mistake(
            "all states got the noise of the first one: each sample has numbers of its own",
            lambda logits, uniform: _hot(logits + noise(uniform[:1])),
        ),
        Mistake(
            "these are weights of several experts: a draw asks one, so take the argmax and not a softmax",
            lambda logits, uniform: (logits + noise(uniform)).softmax(dim=1),
        ),
        Mistake(
            "these are the experts' numbers: make weights of them, 1 for the chosen one and 0 for the others",
            lambda logits, uniform: (logits + noise(uniform)).argmax(dim=1),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        pool, n = load(), 2000
        x = normal(36, n, *pool.state_shape).to(torch.float32)
        logits = pool.router_logits(x, torch.ones(n)).double()
        uniform = torch.from_numpy(generator(0, Purpose.EXERCISE, 37).random((n, logits.shape[1])))
        shares = {
            "the router": logits.softmax(dim=1).mean(dim=0),
            "Top-1": _hot(logits).mean(dim=0),
            "yours": function(logits, uniform).mean(dim=0),
        }
        axes, places = figure.add_subplot(), np.arange(logits.shape[1])
        for i, ((label, share), colour) in enumerate(zip(shares.items(), (SOFT, *COLOURS), strict=False)):
            axes.bar(places + 0.27 * (i - 1), share.numpy(), 0.25, color=colour, label=label)
        axes.set_xticks(places)
        axes.set_xlabel("expert")
        axes.set_ylabel("share of 2000 states at t = 1")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)


def _case(asked: str, logits: Tensor, key: int) -> Case:
    uniform = torch.from_numpy(generator(0, Purpose.EXERCISE, key).random(tuple(logits.shape)))
    return Case(
        asked,
        lambda function: call(function, logits.clone(), uniform.clone()),
        _hot(logits + noise(uniform)),
        ("the weights",),
    )


def _hot(scores: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(scores.argmax(dim=1), scores.shape[1]).to(scores)
