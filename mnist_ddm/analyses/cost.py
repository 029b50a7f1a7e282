"""Which routing buys the most quality for the fewest expert evaluations? Beyond the paper."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import final

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import FID, ROUTING
from mnist_ddm.analyses.quality import (
    CLEAR,
    COVERAGE,
    EVALUATIONS,
    FID_INFINITE,
    IMBALANCE,
    KID,
    LONG,
    PRECISION,
    SHARE,
    Quality,
    QualitySettings,
)
from mnist_ddm.analyses.within import FID_BALANCED, IMBALANCE_EXCESS
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.tables.table import RATIO, Column, Row, Schema, Table, Value

ROUTINGS = (
    *("top1", "top2", "top4", "full", "uniform", "label", "once", "once=prior", "each", "posterior"),
    *("gumbel", "gumbel2", "top1@likelihood", "each~0.8~top1", "gumbel~0.8~top1", "median", "geometric"),
    *("top1@clean", "full@clean", "full@density", "gumbel@density"),
    *("commit=0.7", "commit=0.9", "commit=0.99", "top-p=0.5", "top-p=0.8", "top-p=0.9"),
    *("full@T=0.1", "full@T=0.25", "full@T=0.5", "full@T=2", "full@T=4"),
    *("misaligned2", "misaligned2+equal", "full+clip"),
    *("top1@centroids", "top2@centroids", "full@centroids", "top1@centroids=static", "full@centroids=static"),
    *("top1+caption", "top2+caption", "full+caption"),
)
"""Those of the paper, its interventions, those that theory suggests, and a router without training."""
FEWER_ROUTINGS = (
    *("top1", "top2", "top4", "full", "uniform", "label", "once", "each", "commit=0.9", "top-p=0.8", "top-p=0.9"),
    *("gumbel", "gumbel2", "top1@likelihood"),
    *("full@T=0.1", "full@T=0.25", "full@T=0.5", "full@T=2", "full@T=4", "misaligned2", "misaligned2+equal"),
    *("top1@centroids", "top2@centroids"),
    *("top1+caption", "top2+caption", "full+caption"),
)
"""Without +clip, which measures the Jacobians of all experts at every state."""
FEW_ROUTINGS = ("top1", "top2", "full", "gumbel", "once", "commit=0.9", "top-p=0.9")

_NEAR, _CHEAP = 1.05, 1.3
"""The aim: a FID within 5% of the best one at no more than 1.3 times Top-1's evaluations."""
_CHEAPEST = "top1"
_EVERYTHING = "all"
"""The judge of adherence that asks for everything that the caption says."""
_TAKEN_OVER = (FID_BALANCED.key, CLEAR.key, IMBALANCE.key, IMBALANCE_EXCESS.key)
"""Keys of columns of the tables of classes."""
_TABLE = Schema(
    "cost-and-quality",
    (
        ROUTING,
        EVALUATIONS,
        Column("cost_over_top1", "cost / top1", kind=RATIO),
        FID,
        Column("fid_over_best", "FID / best", kind=RATIO),
        replace(FID_BALANCED, optional=True),
        FID_INFINITE,
        KID,
        PRECISION,
        COVERAGE,
        replace(CLEAR, optional=True),
        replace(IMBALANCE, optional=True),
        replace(IMBALANCE_EXCESS, optional=True),
        replace(SHARE, key="adherence", title="shows all that was asked", optional=True),
        Column("on_the_front", "on the front", "note"),
    ),
)


@final
class CostAndQuality(Analysis[QualitySettings]):
    """Expert evaluations per sample against Frechet distance, fidelity and coverage, and which routings are dominated.

    A routing is on the front if no other one is at least as good and at least as cheap, and better in one of the two.
    """

    id = "cost-and-quality"
    group = "regimes"
    question = "Which routing buys the most quality for the fewest expert evaluations? (beyond the paper)"
    tables = (_TABLE,)
    compares = True
    sizes = Sizes(
        small=QualitySettings(n=16, steps=10, routings=FEW_ROUTINGS),
        medium=QualitySettings(n=200, routings=FEWER_ROUTINGS),
        full=QualitySettings(n=LONG, routings=ROUTINGS),
    )

    def needs(self, pool: ExpertPool, settings: QualitySettings) -> tuple[Need, ...]:
        return Quality().needs(pool, settings)

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: QualitySettings) -> Answer:
        answer = Quality().answer(pool, recordings, settings)
        quality, others = answer.tables[0], answer.tables[1:]
        points = {
            str(row["routing"]): (cost, fid)
            for row in quality.rows
            if isinstance(cost := row["expert_evaluations"], float) and isinstance(fid := row["fid"], float)
        }
        front, judged = _front(points), _judged(others)
        rows: list[Row] = []
        for row in sorted(quality.rows, key=lambda row: points.get(str(row["routing"]), (0.0, 0.0))[1]):
            routing = str(row["routing"])
            taken = {key: row[key] for key in ("routing", "fid_infinite", "kid", "precision", "coverage")}
            on_the_front = "yes" if routing in front else "no"
            rows.append(
                {**taken, **_relative(routing, points), **judged.get(routing, {}), "on_the_front": on_the_front}
            )
        notes = (
            f"The aim is a FID within 5% of the best at no more than {_CHEAP} times Top-1's evaluations. "
            f"Reached by: {', '.join(_reached(rows)) or 'none'}.",
            "Evaluations of experts whose velocity is used. Not counted: the router, and the Jacobian norms of +clip, "
            "over a hundred evaluations for each state.",
            *quality.notes,
        )
        steps = f"{settings.steps} {settings.solver} steps"
        title = f"Cost and quality by routing, best FID first, n = {quality.rows[0]['n']}, {steps}"
        return Answer(
            (Table(_TABLE, title, tuple(rows), notes),), (_plot(points, front), *_within_plot(rows)), answer.artefacts
        )


def _relative(routing: str, points: Mapping[str, tuple[float, float]]) -> Row:
    """Cost and FID of a routing, and both relative to Top-1's and to the best; empty where they are not known."""
    cost, fid = points.get(routing, (None, None))
    cheapest = points[_CHEAPEST][0] if _CHEAPEST in points else None
    best = min((fid for _, fid in points.values()), default=None)
    return {
        "expert_evaluations": cost,
        "cost_over_top1": cost / cheapest if cost is not None and cheapest else None,
        "fid": fid,
        "fid_over_best": fid / best if fid is not None and best else None,
    }


def _judged(tables: Iterable[Table]) -> dict[str, dict[str, Value]]:
    """For each routing what is taken over of the tables of classes and of adherence, where the system has them."""
    judged: dict[str, dict[str, Value]] = {}
    for row in (row for table in tables for row in table.rows):
        taken = judged.setdefault(str(row["routing"]), {})
        taken |= {key: row[key] for key in _TAKEN_OVER if key in row}
        if row.get("judge") == _EVERYTHING:
            taken["adherence"] = row[SHARE.key]
    return judged


def _front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names that no other point dominates, by rising cost."""
    kept = [
        name
        for name, mine in points.items()
        if not any(other != mine and other[0] <= mine[0] and other[1] <= mine[1] for other in points.values())
    ]
    return sorted(kept, key=lambda name: points[name])


def _reached(rows: Sequence[Row]) -> list[str]:
    return [
        str(row["routing"])
        for row in rows
        if isinstance(near := row["fid_over_best"], float)
        and isinstance(cost := row["cost_over_top1"], float)
        and near <= _NEAR
        and cost <= _CHEAP
    ]


def _within_plot(rows: Sequence[Row]) -> tuple[Plot, ...]:
    """Cost against the distance with the classes' shares put right, where the system has classes."""
    known = [
        (str(row["routing"]), float(cost), fid)
        for row in rows
        if isinstance(cost := row["expert_evaluations"], float)
        and isinstance(fid := row.get("fid_balanced"), Estimate)
        and not math.isnan(fid.value)
    ]
    if not known:
        return ()
    names, costs, fids = zip(*known, strict=True)
    ends = [fid.low for fid in fids], [fid.high for fid in fids]
    title = "Cost and quality within classes by routing (lower left is better)"
    series = Series("", costs, [fid.value for fid in fids], *ends, names=names)
    return (
        Plot("cost-and-quality-within", "named points", title, "expert evaluations for each sample", "FID", (series,)),
    )


def _plot(points: Mapping[str, tuple[float, float]], front: Sequence[str]) -> Plot:
    def series(label: str, names: Sequence[str]) -> Series:
        return Series(label, [points[name][0] for name in names], [points[name][1] for name in names], names=names)

    rest = [name for name in points if name not in front]
    return Plot(
        "cost-and-quality",
        "named points",
        "Cost and quality by routing (lower left is better)",
        "expert evaluations for each sample",
        "FID",
        (series("dominated", rest), series("on the front", front)),
        logarithmic=True,
    )
