"""When does averaging over all experts fail? A map over the router's sharpness and the experts' errors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

from mnist_ddm.analyses.analysis import (
    Analysis,
    Answer,
    Need,
    Plot,
    Series,
    Settings,
    Table,
    Value,
    chosen_features,
    fill,
)
from mnist_ddm.analyses.quality import STEPS, stored_frechet_distances
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.errors import InputError

TEMPERATURES = (0.25, 1.0, 2.0, 4.0, 16.0, math.inf)
"""Of the router: 1 is as trained, below it is sharper, infinity has equal weights."""

STRATEGIES = ("top1", "top2", "full")
PARIS_ORDER = "top2, top1, full"
"""Best first, in the paper's Table 3."""


@final
class RegimeMap(Analysis):
    """The Frechet distance of Top-1, Top-2 and the full ensemble over two knobs.

    One is the temperature of the router; Top-1 does not depend on it. The other is the error that experts make away
    from their own cluster: exact by construction on the Gaussian system, the kept training stages on digits.
    """

    def __init__(self, temperatures: Sequence[float] = TEMPERATURES) -> None:
        """Take the columns of the map."""
        self._temperatures = tuple(temperatures)

    @property
    def id(self) -> str:
        return "regime-map"

    @property
    def group(self) -> str:
        return "regimes"

    @property
    def question(self) -> str:
        return "When does averaging over all experts fail? (beyond the paper)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=500, steps=STEPS)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        if pool.n_experts < 3:
            raise InputError(f"{self.id} compares Top-1, Top-2 and all experts and needs at least 3 experts")
        pool.measures.real_states(1)
        chosen_features(pool, settings)
        return tuple(
            dict.fromkeys(
                Need(_run(settings, strategy, t, level))
                for level in pool.error_levels
                for t in self._temperatures
                for strategy in STRATEGIES
            )
        )

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        rows: list[dict[str, Value]] = []
        for level in pool.error_levels:
            runs = {(s, t): _run(settings, s, t, level) for t in self._temperatures for s in STRATEGIES}
            named = {run.routing: [run] for run in runs.values()}
            found, _ = stored_frechet_distances(pool, recordings, named, settings)
            for t in self._temperatures:
                fids = {s: found.get(runs[s, t].routing, math.nan) for s in STRATEGIES}
                order = ", ".join(sorted(STRATEGIES, key=lambda s: fids[s]))
                row: dict[str, Value] = {"experts": level or "as they are", "T": "infinite" if math.isinf(t) else t}
                row |= {f"FID {s}": fid for s, fid in fids.items()}
                row["full / best of top1, top2"] = fids["full"] / min(fids["top1"], fids["top2"])
                row["order, best first"] = order
                rows.append(row | {"order of Paris in the paper": "yes" if order == PARIS_ORDER else "no"})
        notes = (
            "T: temperature of the router's logits; 1 is the router as it is, infinite gives the chosen experts equal "
            "weights. Top-1 does not depend on it.",
            f"Order of Paris (Table 3): {PARIS_ORDER}. Of one training and one seed, without intervals.",
        )
        title = f"Which routing wins where: FID of n = {settings.n}, {settings.steps} {settings.solver} steps"
        return Answer((Table(self.id, title, tuple(rows[0]), tuple(rows), notes),), (_plot(rows),))


def _run(settings: Settings, strategy: str, temperature: float, level: str) -> Sampling:
    assert settings.n is not None
    assert settings.steps is not None
    run = Sampling(_spelled(strategy, temperature), settings.n, settings.seed, settings.solver, settings.steps)
    return replace(run, variant=level)


def _spelled(strategy: str, temperature: float) -> str:
    if strategy == "top1" or temperature == 1:
        return strategy
    return f"{strategy}+equal" if math.isinf(temperature) else f"{strategy}@T={temperature:g}"


def _plot(rows: list[dict[str, Value]]) -> Plot:
    by_level: dict[str, list[dict[str, Value]]] = {}
    for row in rows:
        by_level.setdefault(str(row["experts"]), []).append(row)
    series = tuple(
        Series(
            level,
            [str(row["T"]) for row in found],
            [v if isinstance(v := row["full / best of top1, top2"], float) else math.nan for row in found],
        )
        for level, found in by_level.items()
    )
    return Plot(
        "regime-map",
        "map",
        "FID of Full relative to the better of Top-1 and Top-2 (below 1 Full wins)",
        "temperature of the router",
        "error of the experts",
        series,
    )
