"""What predicts a large refinement error? Tables 12 and 15 of the paper."""

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import (
    ROUTING,
    N,
    mean_and_sd,
    of_paper,
    paper_cells,
    paper_columns,
    with_sd,
)
from mnist_ddm.analyses.paper import paper_values
from mnist_ddm.analyses.settings import RefinementSettings
from mnist_ddm.analyses.stability import (
    TERM_NORMS,
    both_resolutions,
    fixed_times,
    lipschitz,
    step_refinement,
    term_norms,
)
from mnist_ddm.analyses.systems import distance_named
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.routing import parse_routing
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError
from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.stats.intervals import Array, Estimate, auc_estimate, bounded_mean_estimate, spearman_estimate
from mnist_ddm.tables.table import CORRELATION, FRACTION, PERCENT, Column, Row, Schema, Table, Value

ROUTINGS = ("top1", "top2")
_SWITCHING = "switching@tenths"
_THRESHOLD_OF = "top2"
_EPSILON = 1e-3
_NEAR = 0.05
_UNSTABLE, _EXTREME = 0.75, 0.99
_PREDICTORS = {
    "m_p": "m_p",
    "m_z": "m_z",
    "g": "g",
    "s_eff": "S_eff",
    "s_int": "S_int",
    "l_eff": "L_eff",
    "l_eff_plus_s_eff": "L_eff + S_eff",
}
"""For each predictor the name that the paper and people have for it."""
_PAPER = {"auc": "AUC", "spearman": "Spearman"}
_TABLE = Schema(
    "failure-predictors",
    (
        ROUTING,
        Column("predictor", "predictor", "key", values=_PREDICTORS),
        Column("auc_quarter", "AUC (75th percentile)", kind=FRACTION),
        Column("positives", "positives", "note"),
        Column("auc_tau", "AUC (tau_refine)", kind=FRACTION),
        Column("positives_tau", "positives (tau)", "note"),
        Column("spearman", "Spearman with Delta", kind=CORRELATION),
        *paper_columns(_PAPER),
    ),
)
_MEDIAN = Column("median_m_p", "median m_p", kind=FRACTION)
_MARGINS = Schema(
    "margins",
    (
        ROUTING,
        Column("samples", "samples", "key", values={"stable": "stable", "unstable": "unstable"}),
        N,
        *with_sd(_MEDIAN),
        Column("near", f"steps with m_p < {_NEAR}", unit="%", kind=PERCENT),
        of_paper("median_m_p", "median m_p"),
        of_paper("near", "steps", "%"),
    ),
)


@final
class FailurePredictors(Analysis[RefinementSettings]):
    r"""Margins, gaps and Jacobian norms as predictors of a large :math:`\Delta_{refine}` (Section I.6).

    With the margins :math:`m_p, m_z` and the gap g of the two most probable experts at the fixed times:
    :math:`S = g / (m_z + 10^{-3})`, :math:`S_{eff}` its maximum, :math:`S_{int}` its integral. The combined predictor
    is the sum of the standardised :math:`L_{eff}` and :math:`S_{eff}`.
    """

    id = "failure-predictors"
    group = "sensitivity"
    question = "What predicts a large refinement error: margins, gaps, Jacobians? (Tables 12 and 15)"
    tables = (_TABLE, _MARGINS)
    compares = True
    sizes = Sizes(
        small=RefinementSettings(n=4, steps=4),
        medium=RefinementSettings(n=50),
        full=RefinementSettings(n=100),
    )

    def needs(self, pool: ExpertPool, settings: RefinementSettings) -> tuple[Need, ...]:
        if pool.n_experts < 2:
            raise InputError(f"{self.id} looks at switches between experts and needs at least 2")
        distance_named(pool, settings.distance)
        samplings = [settings.sampling(r) for r in _routed(pool, settings)]
        return tuple(need for s in samplings for need in both_resolutions(s, TERM_NORMS, _SWITCHING))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: RefinementSettings) -> Answer:
        distance = distance_named(pool, settings.distance)
        names = _routed(pool, settings)
        error = {r: step_refinement(pool, recordings, settings.sampling(r), distance) for r in names}
        extreme = float(np.quantile(error[_THRESHOLD_OF], _EXTREME))
        paper = paper_values(self.id, pool.in_paper)
        rows: list[Row] = []
        margins: list[Row] = []
        for r in names:
            recording = recordings[settings.sampling(r)]
            unstable = error[r] > np.quantile(error[r], _UNSTABLE)
            for predictor, score in _predictors(recording).items():
                stated = paper.get(r, {}).get(_PREDICTORS[predictor], {})
                rows.append(
                    {
                        "routing": r,
                        "predictor": predictor,
                        "auc_quarter": auc_estimate(score, unstable),
                        "positives": int(unstable.sum()),
                        "auc_tau": auc_estimate(score, error[r] > extreme),
                        "positives_tau": int((error[r] > extreme).sum()),
                        "spearman": spearman_estimate(score, error[r]),
                        **paper_cells(stated, _PAPER),
                    }
                )
            for kind, mask in (("stable", ~unstable), ("unstable", unstable)):
                if mask.any():
                    margins.append(_margins(r, recording, kind, mask, paper.get(f"{r} {kind}", {})))
        notes = (
            "Low margins are risky, so m_p and m_z enter with a minus sign; m_p and m_z are minima and g is a maximum "
            "over t = 0.9, ..., 0.1.",
            f"tau_refine: the 99th percentile of Delta_refine under Top-2, here {extreme:.4g}. An AUC with fewer than "
            "10 positives is not defined.",
            "The unstable quarter is chosen for each routing by itself.",
        )
        title = f"Predictors of a large refinement error, n = {settings.n}; paper: {paper['place']}"
        tables = (
            Table(_TABLE, title, tuple(rows), notes),
            Table(_MARGINS, "Margins of stable and unstable samples", tuple(margins)),
        )
        return Answer(tables, (_plot(rows, names),))


def _routed(pool: ExpertPool, settings: RefinementSettings) -> list[str]:
    """The routings to look at: a margin is one of the router's, so what does not ask it has none."""
    names = settings.compared(pool, ROUTINGS, _THRESHOLD_OF)
    return [name for name in names if name != MONOLITH and parse_routing(name).needs_router]


def _predictors(recording: Recording) -> dict[str, Array]:
    from scipy.integrate import trapezoid

    p, z, gap = np.moveaxis(recording.observed[_SWITCHING].double().numpy(), 2, 0)
    score, times = gap / (z + _EPSILON), fixed_times(recording)
    sensitivity, switch = lipschitz(term_norms(recording)["expert"]), score.max(axis=1)
    return {
        "m_p": -p.min(axis=1),
        "m_z": -z.min(axis=1),
        "g": gap.max(axis=1),
        "s_eff": switch,
        "s_int": np.asarray(trapezoid(score, -times, axis=1), dtype=np.float64),
        "l_eff": sensitivity,
        "l_eff_plus_s_eff": _standardised(sensitivity) + _standardised(switch),
    }


def _standardised(values: Array) -> Array:
    spread = values.std()
    return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)


def _margins(routing: str, recording: Recording, kind: str, mask: NDArray[np.bool_], paper: Mapping[str, Value]) -> Row:
    margin = recording.observed[_SWITCHING][..., 0].double().numpy()[mask]
    medians = np.median(margin, axis=1)
    return {
        "routing": routing,
        "samples": kind,
        "n": int(mask.sum()),
        **mean_and_sd(_MEDIAN, medians),
        _MEDIAN.key: bounded_mean_estimate(medians, 0.0, 1.0),
        "near": bounded_mean_estimate(100 * (margin < _NEAR).mean(axis=1), 0.0, 100.0),
        "paper_median_m_p": paper.get("median"),
        "paper_near": paper.get("near"),
    }


def _plot(rows: Sequence[Row], names: Sequence[str]) -> Plot:
    series = []
    for routing in names:
        known = [
            (_PREDICTORS[str(row["predictor"])], estimate)
            for row in rows
            if row["routing"] == routing and isinstance(estimate := row["auc_quarter"], Estimate)
        ]
        names, areas = [name for name, _ in known], [estimate for _, estimate in known]
        ends = ([e.value for e in areas], [e.low for e in areas], [e.high for e in areas])
        series.append(Series(routing, names, *ends))
    return Plot(
        "failure-predictors",
        "bars",
        "Predicting the quarter of samples with the largest refinement error (0.5 = chance)",
        "predictor",
        "AUC, 95% interval",
        tuple(series),
    )
