"""What predicts a large refinement error? Tables 12 and 15 of the paper."""

from collections.abc import Mapping
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from mnist_ddm.analyses.along import (
    SWITCHING,
    TERM_NORMS,
    both_resolutions,
    fixed_times,
    lipschitz,
    sd,
    step_refinement,
    term_norms,
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
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Array, Estimate, auc_estimate, mean_estimate, spearman_estimate

ROUTINGS = ("top1", "top2")
_THRESHOLD_OF = "top2"
_EPSILON = 1e-3
_NEAR = 0.05
_UNSTABLE, _EXTREME = 0.75, 0.99


@final
class FailurePredictors(Analysis):
    r"""Margins, gaps and Jacobian norms as predictors of a large :math:`\Delta_{refine}` (Section I.6).

    With the margins :math:`m_p, m_z` and the gap g of the two most probable experts at the fixed times:
    :math:`S = g / (m_z + 10^{-3})`, :math:`S_{eff}` its maximum, :math:`S_{int}` its integral. The combined predictor
    is the sum of the standardised :math:`L_{eff}` and :math:`S_{eff}`.
    """

    @property
    def id(self) -> str:
        return "failure-predictors"

    @property
    def group(self) -> str:
        return "sensitivity"

    @property
    def question(self) -> str:
        return "What predicts a large refinement error: margins, gaps, Jacobians? (Tables 12 and 15)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=100, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        if pool.n_experts < 2:
            raise InputError(f"{self.id} looks at switches between experts and needs at least 2")
        chosen_distance(pool, settings)
        return tuple(n for r in ROUTINGS for n in both_resolutions(settings, r, (TERM_NORMS, SWITCHING)))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        error = {r: step_refinement(pool, settings, recordings, r) for r in ROUTINGS}
        extreme = float(np.quantile(error[_THRESHOLD_OF], _EXTREME))
        found = {r: recordings[sampling_of(settings, r)] for r in ROUTINGS}
        paper = paper_values(self.id, pool.name)
        rows: list[dict[str, Value]] = []
        margins: list[dict[str, Value]] = []
        for r in ROUTINGS:
            unstable = error[r] > np.quantile(error[r], _UNSTABLE)
            for name, score in _predictors(found[r]).items():
                row: dict[str, Value] = {"routing": r, "predictor": name}
                row["AUC (75th percentile)"] = auc_estimate(score, unstable)
                row["positives"] = int(unstable.sum())
                row["AUC (tau_refine)"] = auc_estimate(score, error[r] > extreme)
                row["positives (tau)"] = int((error[r] > extreme).sum())
                row["Spearman with Delta"] = spearman_estimate(score, error[r])
                stated = paper.get(r, {}).get(name, {})
                rows.append(row | {f"paper {k}": stated.get(k) for k in ("AUC", "Spearman")})
            margins += [_margins(r, found[r], kind, mask, paper) for kind, mask in _kinds(unstable)]
        notes = (
            "Low margins are risky, so m_p and m_z enter with a minus sign; m_p and m_z are minima and g is a maximum "
            "over t = 0.9, ..., 0.1.",
            f"tau_refine: the 99th percentile of Delta_refine under Top-2, here {extreme:.4g}. An AUC with fewer than "
            "10 positives is not defined.",
            "The unstable quarter is chosen for each routing by itself.",
        )
        place = paper["place"]
        title = f"Predictors of a large refinement error, n = {settings.n}; paper: {place}"
        tables = (
            Table(self.id, title, tuple(rows[0]), tuple(rows), notes),
            Table("margins", "Margins of stable and unstable samples", tuple(margins[0]), tuple(margins)),
        )
        return Answer(tables, (_plot(rows),))


def _predictors(recording: Recording) -> dict[str, Array]:
    p, z, gap = np.moveaxis(recording.observed[SWITCHING].double().numpy(), 2, 0)
    score, times = gap / (z + _EPSILON), fixed_times(recording)
    sensitivity, switch = lipschitz(term_norms(recording)["expert"]), score.max(axis=1)
    return {
        "m_p": -p.min(axis=1),
        "m_z": -z.min(axis=1),
        "g": gap.max(axis=1),
        "S_eff": switch,
        "S_int": np.asarray(trapezoid(score, -times, axis=1), dtype=np.float64),
        "L_eff": sensitivity,
        "L_eff + S_eff": _standardised(sensitivity) + _standardised(switch),
    }


def _standardised(values: Array) -> Array:
    spread = values.std()
    return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)


def _kinds(unstable: NDArray[np.bool_]) -> list[tuple[str, NDArray[np.bool_]]]:
    return [(kind, mask) for kind, mask in (("stable", ~unstable), ("unstable", unstable)) if mask.any()]


def _margins(
    routing: str, recording: Recording, kind: str, mask: NDArray[np.bool_], paper: Mapping[str, Mapping[str, Value]]
) -> dict[str, Value]:
    margin = recording.observed[SWITCHING][..., 0].double().numpy()[mask]
    middle = np.median(margin, axis=1)
    row: dict[str, Value] = {
        "routing": routing,
        "samples": kind,
        "n": int(mask.sum()),
        "median m_p": mean_estimate(middle),
        "median m_p sd": sd(middle),
        f"steps with m_p < {_NEAR} (%)": mean_estimate(100 * (margin < _NEAR).mean(axis=1)),
    }
    stated = paper.get(f"{routing} {kind}", {})
    return row | {"paper median m_p": stated.get("median"), "paper steps (%)": stated.get("near")}


def _plot(rows: list[dict[str, Value]]) -> Plot:
    series = []
    for routing in ROUTINGS:
        known = [
            (str(row["predictor"]), e)
            for row in rows
            if row["routing"] == routing and isinstance(e := row["AUC (75th percentile)"], Estimate)
        ]
        names, found = [name for name, _ in known], [e for _, e in known]
        ends = ([e.value for e in found], [e.low for e in found], [e.high for e in found])
        series.append(Series(routing, names, *ends))
    return Plot(
        "failure-predictors",
        "bars",
        "Predicting the quarter of samples with the largest refinement error (0.5 = chance)",
        "predictor",
        "AUC, 95% interval",
        tuple(series),
    )
