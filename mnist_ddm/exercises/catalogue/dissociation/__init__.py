"""Reading the dissociation of stability and quality."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np

from mnist_ddm.analyses.paper import paper_values
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Sampling
from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, call
from mnist_ddm.exercises.base import ClosedExercise
from mnist_ddm.figures.palette import COLOURS
from mnist_ddm.metrics.frechet import extract, frechet_distance
from mnist_ddm.stats.tests import spearman
from mnist_ddm.systems.gaussian import load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PARTS = ("rho", "most_stable", "best", "dissociated")
ByRouting = Mapping[str, float]


@final
class Dissociation(ClosedExercise):
    """The paper's table, and made-up ones of each kind."""

    name = "dissociation"

    def cases(self) -> Iterable[Case]:
        yield _case("the paper's Table 3 (Paris): Top-1, Top-2, Full", *paper_table())
        four = ("full", "top1", "top2", "uniform")
        yield _case(
            "ranks, which are not the numbers of an argsort",
            dict(zip(four, (0.02, 0.05, 0.03, 0.01), strict=True)),
            dict(zip(four, (30.0, 20.0, 10.0, 40.0), strict=True)),
        )
        together = {"full": 0.001, "top4": 0.004, "top2": 0.3, "top1": 0.9}
        other_order = {"top1": 7.1, "top2": 3.0, "top4": 0.4, "full": 0.35}
        yield _case("a table where the most stable routing is also the best", together, other_order)
        names = ("full", "top4", "top3", "top2", "top1", "uniform")
        rising, against = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), (1.0, 6.0, 5.0, 4.0, 3.0, 2.0)
        yield _case(
            "rho is negative, and yet the most stable routing is the best",
            dict(zip(names, rising, strict=True)),
            dict(zip(names, against, strict=True)),
        )
        between = {"full": 0.9, "top2": 0.1, "top1": 0.5, "uniform": 0.2}
        yield _case(
            "the most stable routing is neither best nor worst",
            between,
            {"full": 1.0, "top2": 2.0, "top1": 3.0, "uniform": 9.0},
        )

    mistakes = (
        Mistake(
            "FID is a distance: the best quality has the smallest",
            lambda s, q: _reading(s, {k: -v for k, v in q.items()}, rho=_rho(s, q)),
        ),
        Mistake(
            "a small Delta_refine is stable: the most stable routing has the smallest",
            lambda s, q: _reading({k: -v for k, v in s.items()}, q, rho=_rho(s, q)),
        ),
        Mistake(
            "that is Pearson's correlation; Spearman's is that of the ranks",
            lambda s, q: _reading(s, q, rho=_correlation(np.array, s, q)),
        ),
        Mistake(
            "best has the largest FID; that is a distance, so the smallest is best",
            lambda s, q: (*_reading(s, q)[:2], max(q, key=q.__getitem__), _reading(s, q)[3]),
        ),
        Mistake(
            "argsort lists who comes first, second, ...; ranks are scipy.stats.rankdata, or argsort of argsort",
            lambda s, q: _reading(s, q, rho=_correlation(np.argsort, s, q)),
        ),
        Mistake(
            "that is Kendall's correlation, which counts pairs; Spearman's is Pearson's of the ranks",
            lambda s, q: _reading(s, q, rho=_kendall(s, q)),
        ),
        Mistake(
            "the two tables list the routings in another order: look values up by name",
            lambda s, q: _reading(s, q, rho=spearman(np.array(list(s.values())), np.array(list(q.values())))),
        ),
        Mistake(
            "dissociated means that the most stable routing is the *worst*, not merely that it is not the best",
            lambda s, q: (*_reading(s, q)[:3], min(s, key=s.__getitem__) != min(q, key=q.__getitem__)),
        ),
        Mistake(
            "the sign of rho: both quantities are better when small, so correlate them as they are",
            lambda s, q: _reading(s, q, rho=-_rho(s, q)),
        ),
        Mistake(
            "read the sign: a negative rho alone is no dissociation, compare the routings themselves",
            lambda s, q: (*_reading(s, q)[:3], _rho(s, q) < 0),
        ),
    )

    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        tables = {"Paris, as the paper has it": paper_table(), "gaussian, exact experts and router": gaussian_table()}
        for axes, (title, table), colour in zip(figure.subplots(1, 2), tables.items(), COLOURS, strict=False):
            rho, stable, best, dissociated = function(*table)
            for name in table[0]:
                axes.plot(table[0][name], table[1][name], "o", color=colour)
                axes.annotate(name, (table[0][name], table[1][name]), xytext=(5, 4), textcoords="offset points")
            word = "dissociated" if dissociated else "not dissociated"
            axes.set_title(
                f"{title}\n{word}: most stable {stable}, best {best}, rho {rho:.1f}", fontsize=8.5, loc="left"
            )
            axes.set_xlabel("Delta_refine (small is stable)")
            axes.set_ylabel("FID (small is good)")
            axes.margins(0.2)
            axes.spines[["top", "right"]].set_visible(False)


def paper_table() -> tuple[ByRouting, ByRouting]:
    """The paper's Table 3: Delta_refine and FID by routing."""
    stated = paper_values("routing-comparison", "paris")
    rows = {name: stated[name] for name in ("top1", "top2", "full")}
    return {k: v["Delta_refine"] for k, v in rows.items()}, {k: v["FID"] for k, v in rows.items()}


def gaussian_table(n: int = 250, steps: int = 10) -> tuple[ByRouting, ByRouting]:
    """The same, measured on the `gaussian` system."""
    pool = load()
    (features,) = pool.measures.frechet_features.values()
    (distance,) = pool.measures.distances.values()
    real, _ = pool.measures.real_states(10_000)
    stability, quality = {}, {}
    for routing in ("top1", "top2", "full"):
        coarse = sample(pool, Sampling(routing, n, steps=steps)).final
        fine = sample(pool, Sampling(routing, n, steps=steps, refine=2)).final
        stability[routing] = float(distance(coarse, fine).mean())
        quality[routing] = frechet_distance(extract(features, real), extract(features, coarse))
    return stability, quality


def _rho(stability: ByRouting, quality: ByRouting) -> float:
    return spearman(np.array(list(stability.values())), np.array([quality[name] for name in stability]))


def _correlation(
    of: Callable[[list[float]], "np.ndarray[Any, Any]"], stability: ByRouting, quality: ByRouting
) -> float:
    """Pearson's correlation of something made of both columns."""
    return float(np.corrcoef(of(list(stability.values())), of([quality[name] for name in stability]))[0, 1])


def _kendall(stability: ByRouting, quality: ByRouting) -> float:
    from scipy.stats import kendalltau

    return float(kendalltau(list(stability.values()), [quality[name] for name in stability]).statistic)


def _reading(stability: ByRouting, quality: ByRouting, rho: float | None = None) -> tuple[float, str, str, bool]:
    stable, best = min(stability, key=stability.__getitem__), min(quality, key=quality.__getitem__)
    worst = max(quality, key=quality.__getitem__)
    return _rho(stability, quality) if rho is None else rho, stable, best, stable == worst


def _case(asked: str, stability: ByRouting, quality: ByRouting) -> Case:
    return Case(
        asked, lambda function: call(function, dict(stability), dict(quality)), _reading(stability, quality), _PARTS
    )
