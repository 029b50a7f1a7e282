"""How often does each routing fail, and how? Table 13 of the paper."""

from collections.abc import Mapping
from typing import final

import numpy as np
import torch
from torch import Tensor

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import (
    L_EFF,
    REFINEMENT,
    ROUTING,
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
    TERM_NORMS,
    both_resolutions,
    lipschitz,
    step_refinement,
    term_norms,
    visible_error,
)
from mnist_ddm.analyses.systems import distance_named
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import TENTHS, Visits
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Array, Estimate, share_estimate
from mnist_ddm.stats.shares import in_percent
from mnist_ddm.tables.table import PERCENT, Column, Row, Schema, Table

ROUTINGS = ("top1", "top2", "top4", "full")
_REFERENCE = "top2"
_PERCENTILE = 90
_LIMITS: Mapping[str, float] = {"entropy": 1.5, "delta_refine": 0.1, "l_eff": 50.0}
"""The paper's absolute thresholds: nats, distance, norm."""
_TITLES: Mapping[str, str] = {"entropy": "entropy", "delta_refine": "Delta_refine", "l_eff": "L_eff"}
_PAPER = {
    "l_eff": "L_eff",
    "delta_refine": "Delta_refine",
    "entropy_above": "entropy (%)",
    "delta_refine_above": "Delta_refine (%)",
    "l_eff_above": "L_eff (%)",
}
_TABLE = Schema(
    "failure-modes",
    (
        ROUTING,
        *of_norm(L_EFF),
        *REFINEMENT,
        Column("entropy_above", f"entropy > {_LIMITS['entropy']:g} nats", unit="%", kind=PERCENT),
        Column("entropy_above_all_t", "the same over all t", unit="%", kind=PERCENT),
        Column("delta_refine_above", f"Delta_refine > {_LIMITS['delta_refine']:g}", unit="%", kind=PERCENT),
        Column("l_eff_above", f"L_eff > {_LIMITS['l_eff']:g}", unit="%", kind=PERCENT),
        *paper_columns(_PAPER),
    ),
)
_RELATIVE = Schema(
    "failure-modes-relative",
    (ROUTING, *(Column(f"{name}_above", f"{title} above", unit="%", kind=PERCENT) for name, title in _TITLES.items())),
)


@final
class FailureModes(Analysis[RefinementSettings]):
    """Shares of samples with an uncertain router, a large refinement error, or a large Jacobian."""

    id = "failure-modes"
    group = "sensitivity"
    question = "How often does each routing fail, and how? (Table 13)"
    tables = (_TABLE, _RELATIVE)
    compares = True
    sizes = Sizes(
        small=RefinementSettings(n=4, steps=4),
        medium=RefinementSettings(n=50),
        full=RefinementSettings(n=100),
    )

    def needs(self, pool: ExpertPool, settings: RefinementSettings) -> tuple[Need, ...]:
        if pool.n_experts < 2:
            raise InputError(f"{self.id} compares Top-k routings and needs at least 2 experts")
        distance_named(pool, settings.distance)
        names = settings.compared(pool, ROUTINGS, _REFERENCE)
        return tuple(need for r in names for need in both_resolutions(settings.sampling(r), TERM_NORMS, "logits"))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: RefinementSettings) -> Answer:
        names, paper = settings.compared(pool, ROUTINGS, _REFERENCE), paper_values(self.id, pool.in_paper)
        indicators = {r: _indicators(pool, settings, recordings, r) for r in names}
        distance = distance_named(pool, settings.distance)
        event = visible_error(pool, recordings[settings.sampling(_REFERENCE)], distance)
        limits = {name: float(np.percentile(indicators[_REFERENCE][name], _PERCENTILE)) for name in _LIMITS}
        rows: list[Row] = [
            {
                "routing": r,
                **norm_cells(L_EFF, indicators[r]["l_eff"]),
                **refinement_cells(indicators[r]["delta_refine"], event),
                **_shares_above(indicators[r], _LIMITS),
                "entropy_above_all_t": _share_above(indicators[r]["entropy_all_t"], _LIMITS["entropy"]),
                **paper_cells(paper.get(r, {}), _PAPER),
            }
            for r in names
        ]
        relative: list[Row] = [{"routing": r, **_shares_above(indicators[r], limits)} for r in names]
        notes = (
            "entropy: the largest of the router's softmax over t in [0.1, 0.9]. Over all t it says little: a "
            f"calibrated router of {pool.n_experts} equal clusters has {np.log(pool.n_experts):.2f} nats at t = 1.",
            refinement_note(event),
            f"Thresholds in {distance.name} distance and in Jacobian norms mean "
            "something else on another system; so the second table sets them by percentile.",
        )
        title = f"Failure modes by the paper's absolute thresholds, n = {settings.n}; paper: {paper['place']}"
        chosen = ", ".join(f"{_TITLES[name]} > {limit:.3g}" for name, limit in limits.items())
        relative_title = f"The same with thresholds at Top-2's {_PERCENTILE}th percentiles: {chosen}"
        relative_notes = (f"Top-2 has {100 - _PERCENTILE}% by construction, or less where values are equal.",)
        return Answer(
            (
                Table(_TABLE, title, tuple(rows), notes),
                Table(_RELATIVE, relative_title, tuple(relative), relative_notes),
            )
        )


def _indicators(
    pool: ExpertPool, settings: RefinementSettings, recordings: Mapping[Visits, Recording], routing: str
) -> dict[str, Array]:
    sampling = settings.sampling(routing)
    recording = recordings[sampling]
    entropy = _entropy(recording.observed["logits"])
    times = recording.times.numpy()
    # The times themselves are decimal fractions that binary ones only approximate.
    inside = (times > min(TENTHS) - 1e-9) & (times < max(TENTHS) + 1e-9)
    return {
        "l_eff": lipschitz(term_norms(recording)["expert"]),
        "delta_refine": step_refinement(pool, recordings, sampling, distance_named(pool, settings.distance)),
        "entropy": (entropy[:, inside] if inside.any() else entropy).max(axis=1),
        "entropy_all_t": entropy.max(axis=1),
    }


def _entropy(logits: Tensor) -> Array:
    """The entropy of the router's softmax in nats, shape ``(n, T)``."""
    entropy = torch.distributions.Categorical(logits=logits.double()).entropy()
    return np.asarray(entropy.numpy(), dtype=np.float64)


def _shares_above(indicators: Mapping[str, Array], limits: Mapping[str, float]) -> dict[str, Estimate]:
    return {f"{name}_above": _share_above(indicators[name], limit) for name, limit in limits.items()}


def _share_above(values: Array, limit: float) -> Estimate:
    """The share of samples above a threshold, in percent."""
    return in_percent(share_estimate(values > limit))
