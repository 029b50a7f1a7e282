"""Do the rankings of sensitivity persist where the models were not trained? Tables 11 and 14 of the paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import (
    L_EFF,
    L_EFF_RATIO,
    L_EFF_RATIO_MEDIAN,
    REFINEMENT,
    ROUTING,
    VISIBLE_CHANGE,
    against_full,
    norm_cells,
    of_norm,
    paper_cells,
    paper_columns,
    refinement_cells,
    refinement_note,
)
from mnist_ddm.analyses.paper import paper_values
from mnist_ddm.analyses.settings import RefinementSettings
from mnist_ddm.analyses.stability import (
    EXPERT_NORM,
    both_resolutions,
    largest_expert_norm,
    step_refinement,
    visible_error,
)
from mnist_ddm.analyses.systems import distance_named
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.stats.intervals import Estimate, auc_estimate, spearman_estimate
from mnist_ddm.tables.table import CORRELATION, FRACTION, Column, Row, Schema, Table

ROUTINGS = ("top1", "top2", "full")
_UNSTABLE = 0.75
_SHIFTS = {f"shift_{i}": f"shift {i}" for i in range(1, 10)}
"""Keys and words of the shifts of a system, of which no system has as many."""
_REGIMES = {"as_trained": "as trained", **_SHIFTS, "fewer_steps": "fewer steps"}
_PAPER = {"l_eff": "L_eff", "delta_refine": "Delta_refine", "spearman": "Spearman", "auc": "AUC"}
_TABLE = Schema(
    "generalization",
    (
        Column("regime", "regime", "key", values=_REGIMES),
        Column("variant", "variant", "note"),
        ROUTING,
        *of_norm(L_EFF),
        *REFINEMENT,
        replace(L_EFF_RATIO, optional=True),
        L_EFF_RATIO_MEDIAN,
        replace(VISIBLE_CHANGE, optional=True),
        Column("spearman", "Spearman(L_eff, Delta)", kind=CORRELATION),
        Column("auc", "AUC", kind=FRACTION),
        *paper_columns(_PAPER),
    ),
)


@dataclass(frozen=True)
class _Regime:
    """Where the frozen experts and router are looked at.

    Attributes:
        key: one of `_REGIMES`.
        variant: of the system.
        steps: of the solver.
        stated: what the paper's values are called.
    """

    key: str
    variant: str
    steps: int
    stated: str

    @property
    def label(self) -> str:
        """Its name in the plot: what the system calls a shift says more than its number."""
        return self.variant if self.key in _SHIFTS else _REGIMES[self.key]

    def sampling(self, settings: RefinementSettings, routing: str) -> Sampling:
        """The trajectories of a routing in the regime."""
        return replace(settings.sampling(routing), steps=self.steps, variant=self.variant)


@final
class Generalization(Analysis[RefinementSettings]):
    """Sensitivity, refinement error and their link: as trained, with shifted inputs, and with half the steps."""

    id = "generalization"
    group = "interventions"
    question = "Do the rankings persist under shifted inputs and a harder regime? (Tables 11 and 14)"
    tables = (_TABLE,)
    compares = True
    sizes = Sizes(
        small=RefinementSettings(n=4, steps=4),
        medium=RefinementSettings(n=50),
        full=RefinementSettings(n=100),
    )

    def needs(self, pool: ExpertPool, settings: RefinementSettings) -> tuple[Need, ...]:
        distance_named(pool, settings.distance)
        names = settings.compared(pool, ROUTINGS)
        samplings = [regime.sampling(settings, r) for regime in _regimes(pool, settings) for r in names]
        return tuple(need for s in samplings for need in both_resolutions(s, EXPERT_NORM))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: RefinementSettings) -> Answer:
        names, paper = settings.compared(pool, ROUTINGS), paper_values(self.id, pool.in_paper)
        distance = distance_named(pool, settings.distance)
        rows: list[Row] = []
        regimes = _regimes(pool, settings)
        event = visible_error(pool, recordings[regimes[0].sampling(settings, names[0])], distance)
        for regime in regimes:
            samplings = {r: regime.sampling(settings, r) for r in names}
            norms = {r: largest_expert_norm(recordings[sampling]) for r, sampling in samplings.items()}
            errors = {r: step_refinement(pool, recordings, sampling, distance) for r, sampling in samplings.items()}
            for r in names:
                largest, error = norms[r], errors[r]
                beside = against_full(largest, norms["full"], error, errors["full"], event) if "full" in norms else {}
                rows.append(
                    {
                        "regime": regime.key,
                        "variant": regime.variant or None,
                        "routing": r,
                        **norm_cells(L_EFF, largest),
                        **refinement_cells(error, event),
                        **beside,
                        "spearman": spearman_estimate(largest, error),
                        "auc": auc_estimate(largest, error > np.quantile(error, _UNSTABLE)),
                        **paper_cells(paper.get(f"{regime.stated} {r}", {}), _PAPER),
                    }
                )
        notes = (
            f"{', '.join(pool.shifts)}: inputs that the models were not trained on (noise=s: start states with "
            "standard deviation s instead of 1; the paper's shift is another set of captions). fewer steps: half"
            + (f", and {pool.stress}." if pool.stress else "; a system with guidance also raises it."),
            refinement_note(event),
            f"L_eff: maximum over t = 0.9, ..., 0.1 of the expert term. Delta_refine: {distance.name} distance. AUC: "
            "of L_eff for the quarter of samples with the largest Delta_refine.",
        )
        title = f"Frozen experts and router under other regimes, n = {settings.n}; paper: {paper['place']}"
        return Answer((Table(_TABLE, title, tuple(rows), notes),), (_plot(rows, names, regimes),))


def _regimes(pool: ExpertPool, settings: RefinementSettings) -> list[_Regime]:
    shifts = [_Regime(key, shift, settings.steps, "shifted") for key, shift in zip(_SHIFTS, pool.shifts, strict=False)]
    return [
        _Regime("as_trained", "", settings.steps, "baseline"),
        *shifts,
        _Regime("fewer_steps", pool.stress, max(1, settings.steps // 2), "stressed"),
    ]


def _plot(rows: Sequence[Row], names: Sequence[str], regimes: Sequence[_Regime]) -> Plot:
    series = []
    for r in names:
        errors = [e for row in rows if row["routing"] == r and isinstance(e := row["delta_refine"], Estimate)]
        ends = ([e.value for e in errors], [e.low for e in errors], [e.high for e in errors])
        series.append(Series(r, [regime.label for regime in regimes], *ends))
    title = "Refinement error by regime and routing (mean, 95% interval)"
    return Plot("generalization", "bars", title, "regime", "Delta_refine", tuple(series))
