"""The open exercise: a routing that beats Top-2 at its cost, by Frechet distance."""

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from torch import Tensor

from mnist_ddm.core.field import RoutedField
from mnist_ddm.core.noise import Purpose, sample_seeds, uniforms
from mnist_ddm.core.routing import Routing, RoutingContext, parse_routing
from mnist_ddm.core.solvers import SOLVERS, StepGrid
from mnist_ddm.core.visits import start, trajectory
from mnist_ddm.exercises.answers import StudentFunction, WrongAnswer, call
from mnist_ddm.exercises.base import Exercise, Pass, Score
from mnist_ddm.figures.palette import COLOURS
from mnist_ddm.systems.gaussian import GaussianPool, spots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROUNDS, SAMPLES, STEPS = (101, 102, 103, 104), 300, 10
MOST_EXPERTS = 2.0
RIVAL = "top2"
_REAL = 10_000


@dataclass(frozen=True)
class Moment:
    """What a routing of the contest may look at besides the router's logits.

    Attributes:
        x: the states, shape ``(B, 1, 4, 4)``.
        t: their time, shape ``(B,)``.
        uniform: one random number in ``[0, 1)`` for each row and interval of the step grid, shape ``(B,)``.
        memory: what earlier calls left for these rows.
    """

    x: Tensor
    t: Tensor
    uniform: Tensor
    memory: dict[str, Tensor]


@final
class Contest(Exercise):
    """Scored, not compared with one right answer."""

    name = "contest"

    def __init__(self) -> None:
        """Load what measures: before the clock of a check runs, and not whenever a file imports `Moment`."""
        import_module("mnist_ddm.metrics.frechet")

    def examine(self, function: StudentFunction) -> Pass:
        mine, rival = score(function), score_of(RIVAL)
        told = f"Frechet distance {mine.value:.3f} with {mine.cost:.2f} experts for each state"
        against = f"Top-2 has {rival.value:.3f} with {rival.cost:.2f}"
        wins = sum(a < b for a, b in zip(mine.rounds, rival.rounds, strict=True))
        if mine.cost > MOST_EXPERTS + 1e-6:
            raise WrongAnswer(
                "your routing asks for too many experts",
                expected=f"at most {MOST_EXPERTS:g} with weight, on average over all states",
                came=f"{mine.cost:.2f} ({told})",
                look="give weight 0, exactly, to experts that you do not need",
            )
        if all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(mine.rounds, rival.rounds, strict=True)):
            raise WrongAnswer("that is Top-2 itself", came=told, look="the story says what is wrong with the router")
        if wins < len(ROUNDS):
            raise WrongAnswer(
                f"your routing does not beat Top-2 yet: it is better in {wins} of {len(ROUNDS)} rounds",
                expected=f"less than Top-2 in each round: {_listed(rival)}",
                came=f"{_listed(mine)} ({told})",
                look="the story says what is wrong with the router and with the experts",
            )
        return Pass(f"{told}; {against}: better in each of {len(ROUNDS)} rounds", mine)

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        left, right = figure.subplots(1, 2)
        scores = {name: score_of(name) for name in ("full", "top1", "top2")} | {"yours": score(function)}
        for i, (name, result) in enumerate(scores.items()):
            colour = COLOURS[1] if name == "yours" else COLOURS[0]
            left.plot([i] * len(result.rounds), result.rounds, "o", color=colour, alpha=0.7)
        left.set_xticks(range(len(scores)), list(scores))
        left.set_ylabel("Frechet distance, each round")
        left.set_yscale("log")
        times, weights = _one_trajectory(function)
        shades = [COLOURS[i % len(COLOURS)] for i in range(weights.shape[1])]
        right.stackplot(times, weights.T.numpy(), colors=shades, step="post")
        right.invert_xaxis()
        right.set_xlabel("t (1 = noise, 0 = data)")
        right.set_ylabel("your weights along one trajectory")
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)


@final
class _Students(Routing):
    """A student's function as a routing of the package."""

    name = "contest"
    needs_router = True

    def __init__(self, function: StudentFunction) -> None:
        """Take the function."""
        self._function = function
        self._drawn: tuple[int, Tensor] | None = None

    def check(self, n_experts: int) -> None:
        """Fits the system of the contest."""

    def most_experts(self, n_experts: int) -> int:
        return n_experts

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        if self._drawn is None or self._drawn[0] != context.interval:  # both stages of a step see the same numbers
            numbers = uniforms(context.samples.seeds, Purpose.ROUTING, context.interval)
            self._drawn = (context.interval, numbers.to(logits))
        moment = Moment(context.x.clone(), context.t.clone(), self._drawn[1].clone(), context.samples.memory)
        weights = call(self._function, logits.clone(), moment)
        if not isinstance(weights, Tensor) or weights.shape != logits.shape:
            came = f"a tensor of shape {tuple(weights.shape)}" if isinstance(weights, Tensor) else repr(weights)[:60]
            shape = f"shape {tuple(logits.shape)}"
            raise WrongAnswer("weights have the shape of the logits", expected=shape, came=came)
        weights = weights.detach().to(logits)
        _check_weights(weights, float(moment.t[0]))
        return weights


def _check_weights(weights: Tensor, t: float) -> None:
    """See to it that weights are not negative and sum to 1.

    Raises:
        WrongAnswer: if not; it shows the row that is furthest off.
    """

    def shown(row: int) -> str:
        return f"row {row} at t = {t:.2f}: {[round(float(w), 4) for w in weights[row]]}"

    if bool((weights < 0).any()):
        raise WrongAnswer(
            "weights must not be negative",
            expected="numbers of at least 0",
            came=shown(int(weights.amin(dim=1).nan_to_num(0).argmin())),
            look="what was subtracted? clamp(min=0) and then divide by the sum over dim 1",
        )
    off = (weights.sum(dim=1) - 1).abs().nan_to_num(torch.inf)
    row = int(off.argmax())
    if float(off[row]) > 1e-4:
        raise WrongAnswer(
            "weights must sum to 1 in each row",
            expected="a sum of 1",
            came=f"{shown(row)}, sum {float(weights[row].sum()):.4g}",
            look="renormalise: divide by the sum over dim 1",
        )


@cache
def system() -> GaussianPool:
    """Eight spots with a router four times too flat, and experts that err away from their own data.

    The largest cluster is 16 times as frequent as the smallest, or drawing experts without the router would beat Top-2.
    """
    ramp = torch.linspace(0, 1, 8, dtype=torch.float64)
    means, scales, prior = 2 * spots(8, 4), 0.2 + 0.2 * ramp, 16**ramp
    return GaussianPool(means, scales, prior, expert_error=1.0, router_temperature=4.0)


@cache
def _real_features() -> Tensor:
    states, _ = system().measures.real_states(_REAL)
    return states.flatten(1).double()


@cache
def score_of(routing: str) -> Score:
    """The score of a routing that exists."""
    return _score(parse_routing(routing))


def score(function: StudentFunction) -> Score:
    """The score of a student's function."""
    return _score(_Students(function))


@contextmanager
def _same_dice() -> Iterator[None]:
    """Global generators start from a fixed seed and are put back at the end, so that a score cannot be rolled again."""
    kept = random.getstate(), np.random.get_state()  # noqa: NPY002 (a student may use it)
    with torch.random.fork_rng(devices=[]):
        try:
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002 (a student may use it)
            torch.default_generator.manual_seed(0)
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])  # noqa: NPY002 (a student may use it)


@torch.no_grad()
def _score(routing: Routing) -> Score:
    """All rounds at once; a sample does not depend on its companions."""
    from mnist_ddm.metrics.frechet import frechet_distance

    x, samples = start(system(), torch.cat([sample_seeds(seed, SAMPLES) for seed in ROUNDS]))
    with _same_dice():
        *_, last = trajectory(RoutedField(system(), routing), SOLVERS["heun"], StepGrid(STEPS), x, samples)
    rounds = tuple(frechet_distance(_real_features(), x.flatten(1).double()) for x in last.x.split(SAMPLES))
    return Score(sum(rounds) / len(rounds), float(last.calls.mean()) / (2 * STEPS - 1), rounds)


@torch.no_grad()
def _one_trajectory(function: Callable[..., Tensor]) -> tuple[list[float], Tensor]:
    x, samples = start(system(), sample_seeds(ROUNDS[0], 1))
    visits = list(trajectory(RoutedField(system(), _Students(function)), SOLVERS["heun"], StepGrid(40), x, samples))[
        :-1
    ]
    weights = [visit.evaluation.weights for visit in visits]
    return [visit.t for visit in visits], torch.cat([w for w in weights if w is not None])


def _listed(result: Score) -> str:
    return ", ".join(f"{value:.3f}" for value in result.rounds)
