"""Which routing buys the most quality for the fewest expert evaluations? Beyond the paper."""

from collections.abc import Mapping, Sequence
from typing import final

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Plot, Series, Settings, Table, Value
from mnist_ddm.analyses.quality import LONG, STEPS, Quality
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits

ROUTINGS = (
    *("top1", "top2", "top4", "full", "uniform", "label", "once", "once=prior", "each", "posterior"),
    *("commit=0.7", "commit=0.9", "commit=0.99", "top-p=0.5", "top-p=0.8", "top-p=0.9"),
    *("full@T=0.1", "full@T=0.25", "full@T=0.5", "full@T=2", "full@T=4"),
    *("misaligned2", "misaligned2+equal", "full+clip"),
    *("top1@centroids", "top2@centroids", "full@centroids", "top1@centroids=static", "full@centroids=static"),
)
"""Those of the paper, its interventions, those that theory suggests, and a router without training."""

_NEAR, _CHEAP = 1.05, 1.3
"""The aim: a FID within 5% of the best one at no more than 1.3 times Top-1's evaluations."""
_CHEAPEST = "top1"
_JUDGED = ("clear (> 0.9)", "class imbalance", "all")
"""What is taken over of the tables of classes and of adherence, where the system has them."""


@final
class CostAndQuality(Analysis):
    """Expert evaluations per sample against Frechet distance, fidelity and coverage, and which routings are dominated.

    A routing is on the front if no other one is at least as good and at least as cheap, and better in one of the two.
    """

    def __init__(self, routings: Sequence[str] = ROUTINGS, n: int = LONG) -> None:
        """Take the routings and the samples of each."""
        self._quality = Quality(dict.fromkeys(routings, n))

    @property
    def id(self) -> str:
        return "cost-and-quality"

    @property
    def group(self) -> str:
        return "regimes"

    @property
    def question(self) -> str:
        return "Which routing buys the most quality for the fewest expert evaluations? (beyond the paper)"

    def settings(self, chosen: Settings) -> Settings:
        return self._quality.settings(chosen)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        return self._quality.needs(pool, settings)

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        found = self._quality.answer(pool, recordings, settings)
        judged: dict[str, dict[str, Value]] = {}
        for table in found.tables[1:]:
            for row in table.rows:
                judged.setdefault(str(row["routing"]), {}).update(row)
        points = {
            str(row["routing"]): (cost, fid)
            for row in found.tables[0].rows
            if isinstance(cost := row["expert evaluations"], float) and isinstance(fid := row["FID"], float)
        }
        front = _front(points)
        cheapest = points[_CHEAPEST][0] if _CHEAPEST in points else None
        best = min((fid for _, fid in points.values()), default=None)
        rows: list[dict[str, Value]] = []
        for row in sorted(found.tables[0].rows, key=lambda row: points.get(str(row["routing"]), (0.0, 0.0))[1]):
            name = str(row["routing"])
            cost, fid = points.get(name, (None, None))
            line: dict[str, Value] = {"routing": name, "expert evaluations": cost}
            line["cost / top1"] = cost / cheapest if cost is not None and cheapest else None
            line |= {"FID": fid, "FID / best": fid / best if fid is not None and best else None}
            line |= {key: row[key] for key in ("KID x 1000", "precision", "coverage")}
            line |= {key: value for key, value in judged.get(name, {}).items() if key in _JUDGED}
            rows.append(line | {"on the front": "yes" if name in front else "no"})
        notes = (
            f"The aim is a FID within 5% of the best at no more than {_CHEAP} times Top-1's evaluations. "
            f"Reached by: {', '.join(_reached(rows)) or 'none'}.",
            "Evaluations of experts whose velocity is used. Not counted: the router, and the Jacobian norms of +clip, "
            "over a hundred evaluations for each state.",
            *found.tables[0].notes,
        )
        count = found.tables[0].rows[0]["n"]
        steps = f"{settings.steps or STEPS} {settings.solver} steps"
        title = f"Cost and quality by routing, best FID first, n = {count}, {steps}"
        table = Table(self.id, title, tuple(rows[0]), tuple(rows), notes)
        return Answer((table,), (_plot(points, front),), found.artefacts)


def _front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names that no other point dominates, by rising cost."""
    kept = [
        name
        for name, mine in points.items()
        if not any(other != mine and other[0] <= mine[0] and other[1] <= mine[1] for other in points.values())
    ]
    return sorted(kept, key=lambda name: points[name])


def _reached(rows: Sequence[Mapping[str, Value]]) -> list[str]:
    return [
        str(row["routing"])
        for row in rows
        if isinstance(near := row["FID / best"], float)
        and isinstance(cost := row["cost / top1"], float)
        and near <= _NEAR
        and cost <= _CHEAP
    ]


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
