"""Batched dispatch."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from torch import Tensor

from mnist_ddm.core.field import RoutedField
from mnist_ddm.core.flow import expand_time
from mnist_ddm.core.routing import Samples, Uniform
from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, WrongAnswer, call
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.exercises.material import experts_of, nobody, normal
from mnist_ddm.figures.palette import COLOURS
from mnist_ddm.systems.gaussian import load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STATES = 12


@final
class BatchedDispatch(ClosedExercise):
    """The routed velocity, with a count of what each expert was given."""

    name = "dispatch"

    def cases(self) -> Iterable[Case]:
        weights = _top2_weights(_STATES)
        yield _case("Top-2 weights of twelve states; two of eight experts are not needed", weights)
        yield _case("one state that needs one expert", torch.eye(8, dtype=torch.float64)[2:3])

    mistakes = (
        Mistake(
            "each expert may be called only once, with all its rows together: loop over experts, not states",
            lambda experts, weights, x, t: _by_row(experts, weights, x, t),
        ),
        Mistake(
            "experts were given rows without weight for them: select rows with weights[:, k] > 0 first",
            lambda experts, weights, x, t: _sum(experts, weights, x, t),
        ),
        Mistake(
            "an expert that is needed got the rows of others as well: give it x[rows] and t[rows], not x and t",
            lambda experts, weights, x, t: _sum(
                [expert for k, expert in enumerate(experts) if weights[:, k].any()], weights[:, weights.any(0)], x, t
            ),
        ),
        Mistake(
            "the weights are missing: multiply each velocity by its weight",
            lambda experts, weights, x, t: _dispatched(experts, weights, x, t, weighted=False),
        ),
        Mistake(
            "an expert overwrote what another one had added: add (index_add), do not assign (v[rows] = ...)",
            lambda experts, weights, x, t: _dispatched(experts, weights, x, t, adding=False),
        ),
        Mistake(
            "rows and times do not belong together: select t[rows] with the same rows as x[rows]",
            lambda experts, weights, x, t: _dispatched(experts, weights, x, t, own_times=False),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        weights = _top2_weights(200)
        _, _, rows = _asked(function, weights)
        axes, places = figure.add_subplot(), np.arange(8)
        axes.bar(places - 0.2, [200] * 8, 0.38, color="#cccccc", label="everything to everyone")
        axes.bar(places + 0.2, rows.numpy(), 0.38, color=COLOURS[0], label="your dispatch")
        axes.set_xlabel("expert")
        axes.set_ylabel("states evaluated, of 200")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)


def _states(n: int) -> tuple[Tensor, Tensor]:
    return normal(13, n, 1, 8, 8), torch.linspace(0.2, 0.9, n, dtype=torch.float64)


def _top2_weights(n: int) -> Tensor:
    """Weights of two of the experts 0 to 5, another two for each row."""
    logits = torch.nn.functional.pad(2 * normal(14, n, 6), (0, 2), value=-torch.inf)
    return logits.masked_fill(logits < logits.topk(2, dim=1).values[:, 1:], -torch.inf).softmax(dim=1)


def _asked(function: StudentFunction, weights: Tensor) -> tuple[object, Tensor, Tensor]:
    """What came, and for each expert how often it was called and with how many rows in all."""
    x, t = _states(len(weights))
    calls, rows = torch.zeros(8), torch.zeros(8)

    def watched(k: int, expert: StudentFunction) -> StudentFunction:
        def evaluate(x: Tensor, t: Tensor) -> Tensor:
            if len(x) == 0:
                raise WrongAnswer(f"expert {k} was called with an empty batch", look="skip experts that no row needs")
            if t.shape != (len(x),):
                raise WrongAnswer(
                    f"expert {k} was called with {len(x)} states and times of shape {tuple(t.shape)}",
                    expected=f"times of shape ({len(x)},)",
                    look="select rows of x and of t: expert(x[rows], t[rows])",
                )
            calls[k] += 1
            rows[k] += len(x)
            velocity: Tensor = expert(x, t)
            return velocity

        return evaluate

    experts = [watched(k, expert) for k, expert in enumerate(experts_of(load()))]
    return call(function, experts, weights.clone(), x, t), calls, rows


def _case(asked: str, weights: Tensor) -> Case:
    x, t = _states(len(weights))
    field = RoutedField(load(), Uniform())
    samples = Samples(torch.arange(len(x)), nobody(len(x)))
    needed = (weights > 0).sum(dim=0).float()
    expected = (field.evaluate(x, t, samples, weights=weights).velocity, (needed > 0).float(), needed)
    parts = ("the velocity", "the number of calls of each expert", "the number of rows that each expert got")
    return Case(asked, lambda function: _asked(function, weights), expected, parts)


def _sum(experts: Sequence[StudentFunction], weights: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """Everything to everyone."""
    parts = [expand_time(weights[:, k], x) * expert(x, t) for k, expert in enumerate(experts)]
    return torch.stack(parts).sum(dim=0)


def _by_row(experts: Sequence[StudentFunction], weights: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """One state after the other."""
    total = torch.zeros_like(x)
    for i, k in weights.nonzero().tolist():
        total[i] += weights[i, k] * experts[k](x[i : i + 1], t[i : i + 1])[0]
    return total


def _dispatched(
    experts: Sequence[StudentFunction],
    weights: Tensor,
    x: Tensor,
    t: Tensor,
    *,
    weighted: bool = True,
    adding: bool = True,
    own_times: bool = True,
) -> Tensor:
    """Dispatch with one part of it wrong."""
    total = torch.zeros_like(x)
    for k, expert in enumerate(experts):
        rows = weights[:, k].nonzero()[:, 0]
        if len(rows):
            v = expert(x[rows], t[rows] if own_times else t[: len(rows)])
            v = expand_time(weights[rows, k], v) * v if weighted else v
            total[rows] = total[rows] + v if adding else v
    return total
