"""Do the rankings of sensitivity persist where the models were not trained? Tables 11 and 14 of the paper."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from mnist_ddm.analyses.along import (
    EXPERT_NORM,
    both_resolutions,
    largest_expert_norm,
    of_variant,
    sd,
    step_refinement,
    strategies,
)
from mnist_ddm.analyses.analysis import (
    Analysis,
    Answer,
    Need,
    Plot,
    Series,
    Settings,
    Table,
    Value,
    chosen_distance,
    fill,
    paper_values,
    sampling_of,
)
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.stats.intervals import Estimate, auc_estimate, mean_estimate, spearman_estimate

ROUTINGS = ("top1", "top2", "full")
_UNSTABLE = 0.75


@dataclass(frozen=True)
class Regime:
    """Where the frozen experts and router are looked at.

    Attributes:
        name: of the row.
        variant: of the system.
        settings: with the number of steps.
        stated: the key of the paper's values.
    """

    name: str
    variant: str
    settings: Settings
    stated: str


@final
class Generalization(Analysis):
    """Sensitivity, refinement error and their link: as trained, with shifted inputs, and with half the steps."""

    @property
    def id(self) -> str:
        return "generalization"

    @property
    def group(self) -> str:
        return "interventions"

    @property
    def question(self) -> str:
        return "Do the rankings persist under shifted inputs and a harder regime? (Tables 11 and 14)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=100, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        chosen_distance(pool, settings)
        return tuple(
            need
            for regime in _regimes(pool, settings)
            for r in strategies(pool, ROUTINGS)
            for need in of_variant(both_resolutions(regime.settings, r, (EXPERT_NORM,)), regime.variant)
        )

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        names, paper = strategies(pool, ROUTINGS), paper_values(self.id, pool.name)
        rows: list[dict[str, Value]] = []
        regimes = _regimes(pool, settings)
        for regime in regimes:
            for r in names:
                run = replace(sampling_of(regime.settings, r), variant=regime.variant)
                largest = largest_expert_norm(recordings[run])
                error = step_refinement(pool, regime.settings, recordings, r, regime.variant)
                row: dict[str, Value] = {"regime": regime.name, "routing": r}
                row |= {"L_eff": mean_estimate(largest), "L_eff sd": sd(largest)}
                row |= {"Delta_refine": mean_estimate(error), "Delta_refine sd": sd(error)}
                row["Spearman(L_eff, Delta)"] = spearman_estimate(largest, error)
                row["AUC"] = auc_estimate(largest, error > np.quantile(error, _UNSTABLE))
                stated = paper.get(f"{regime.stated} {r}", {})
                rows.append(row | {f"paper {k}": stated.get(k) for k in ("L_eff", "Delta_refine", "Spearman", "AUC")})
        notes = (
            f"{', '.join(pool.shifts)}: inputs that the models were not trained on (noise=s: start states with "
            "standard deviation s instead of 1; the paper's shift is another set of captions). fewer steps: half"
            + (f", and {pool.stress}." if pool.stress else "; a system with guidance also raises it."),
            f"L_eff: maximum over t = 0.9, ..., 0.1 of the expert term. Delta_refine: "
            f"{chosen_distance(pool, settings).name} distance. AUC: of L_eff for the quarter of samples with the "
            "largest Delta_refine.",
        )
        title = f"Frozen experts and router under other regimes, n = {settings.n}; paper: {paper['place']}"
        table = Table(self.id, title, tuple(rows[0]), tuple(rows), notes)
        return Answer((table,), (_plot(rows, names, [regime.name for regime in regimes]),))


def _regimes(pool: ExpertPool, settings: Settings) -> list[Regime]:
    assert settings.steps is not None
    fewer = replace(settings, steps=max(1, settings.steps // 2))
    return [
        Regime("as trained", "", settings, "baseline"),
        *(Regime(shift, shift, settings, "shifted") for shift in pool.shifts),
        Regime("fewer steps", pool.stress, fewer, "stressed"),
    ]


def _plot(rows: list[dict[str, Value]], names: list[str], regimes: list[str]) -> Plot:
    series = []
    for r in names:
        found = [e for row in rows if row["routing"] == r and isinstance(e := row["Delta_refine"], Estimate)]
        series.append(Series(r, regimes, [e.value for e in found], [e.low for e in found], [e.high for e in found]))
    title = "Refinement error by regime and routing (mean, 95% interval)"
    return Plot("generalization", "bars", title, "regime", "Delta_refine", tuple(series))
