"""Is the error of a single solver step the same for every routing? Table 5 of the paper."""

import math
from collections.abc import Mapping
from typing import final

import numpy as np

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import ROUTING, YES_NO, mean_and_sd, paper_cells, paper_columns, with_sd
from mnist_ddm.analyses.paper import paper_values
from mnist_ddm.analyses.settings import SamplingSettings
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.sensitivity import POINTS, STEP, SUB_STEPS
from mnist_ddm.core.solvers import Heun
from mnist_ddm.core.visits import Visits
from mnist_ddm.stats.intervals import Array, Estimate, ratio_estimate
from mnist_ddm.tables.table import PERCENT, RATIO, Column, Row, Schema, Table, Value

ROUTINGS = (MONOLITH, "top1", "top2", "full")
_ERRORS = "local-errors"
_AT_H = Column("error_h", f"error at h = {STEP}")
_AT_HALF_H = Column("error_half_h", f"error at h = {STEP / 2}")
_FACTOR = Column("factor", "factor", kind=RATIO)
_FITTED_ORDER = Column("fitted_order", "fitted order")
_PAPER = {"error_h": "h", "error_half_h": "h/2", "factor": "factor"}
_TABLE = Schema(
    "local-error",
    (ROUTING, *with_sd(_AT_H), *with_sd(_AT_HALF_H), _FACTOR, _FITTED_ORDER, *paper_columns(_PAPER)),
)
_SWITCHING = Schema(
    "local-error-switching",
    (
        ROUTING,
        Column("switches", "switches inside the step", "key", values=YES_NO),
        Column("states", "states", "note"),
        Column("share", "share of states", unit="%", kind=PERCENT),
        _AT_H,
        _AT_HALF_H,
        _FACTOR,
        _FITTED_ORDER,
    ),
)


@final
class LocalError(Analysis[SamplingSettings]):
    r"""One Heun step of size h against ten of h / 10, at random states of each trajectory.

    A step of a method of order p has a local error :math:`C h^{p+1}`: halving h divides it by :math:`2^{p+1}`, 8 for
    Heun. A step in which a Top-k set changes meets a jump, and its error is of order h.
    """

    id = "local-error"
    group = "sensitivity"
    question = "Is the error of a single solver step the same for every routing? (Table 5)"
    tables = (_TABLE, _SWITCHING)
    compares = True
    sizes = Sizes(
        small=SamplingSettings(n=8, steps=4),
        medium=SamplingSettings(n=50),
        full=SamplingSettings(n=1000),
    )

    def needs(self, pool: ExpertPool, settings: SamplingSettings) -> tuple[Need, ...]:
        return tuple(Need(settings.sampling(r), (_ERRORS,)) for r in settings.compared(pool, ROUTINGS))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: SamplingSettings) -> Answer:
        paper = paper_values(self.id, pool.in_paper)
        rows: list[Row] = []
        apart: list[Row] = []
        for r in settings.compared(pool, ROUTINGS):
            values = recordings[settings.sampling(r)].observed[_ERRORS].double().numpy()
            rows.append(_row(r, values, paper.get(r, {})))
            apart += [row for switches in ("no", "yes") if (row := _apart(r, values, switches))]
        notes = (
            f"Each trajectory's maximum over {POINTS} random states with t > h; intervals are over trajectories.",
            f"Fitted order p of a local error C h^(p+1); Heun's is {Heun.order}, a factor of {2 ** (Heun.order + 1)}. "
            "The paper's factor of 1.77 is that of p = -0.2, not Heun's.",
            f"The reference has {SUB_STEPS} sub-steps of the same method.",
        )
        title = f"Local error of one Heun step, h = {STEP}, n = {settings.n}; paper: {paper['place']}"
        split_notes = (
            "A step counts as switching if an expert appears or disappears at any of its evaluations.",
            "Means over all states of a trajectory that are of the kind.",
        )
        split_title = "States whose step crosses a switch of experts, and the others"
        split = (Table(_SWITCHING, split_title, tuple(apart), split_notes),) if apart else ()
        return Answer((Table(_TABLE, title, tuple(rows), notes), *split))


def _row(routing: str, values: Array, paper: Mapping[str, Value]) -> Row:
    large, small = (np.nanmax(values[:, :, i], axis=1) for i in (0, 1))
    return {
        "routing": routing,
        **mean_and_sd(_AT_H, large),
        **mean_and_sd(_AT_HALF_H, small),
        "factor": ratio_estimate(large, small),
        "fitted_order": _order(large, small),
        **paper_cells(paper, _PAPER),
    }


def _apart(routing: str, values: Array, switches: str) -> Row | None:
    """The states of one kind; ``None`` if there is none."""
    measured = ~np.isnan(values[:, :, 0])
    kind = measured & ((values[:, :, 2] > 0) == (switches == "yes"))
    if not kind.any():
        return None
    has = kind.any(axis=1)
    sums = [np.where(kind, values[:, :, i], 0).sum(axis=1)[has] for i in (0, 1)]
    counts = kind.sum(axis=1)[has].astype(np.float64)
    return {
        "routing": routing,
        "switches": switches,
        "states": int(kind.sum()),
        "share": float(100 * kind.sum() / measured.sum()),
        "error_h": ratio_estimate(sums[0], counts),
        "error_half_h": ratio_estimate(sums[1], counts),
        "factor": ratio_estimate(sums[0], sums[1]),
        "fitted_order": _order(sums[0], sums[1]),
    }


def _order(large: Array, small: Array) -> Estimate:
    factor = ratio_estimate(large, small)
    return Estimate(*(math.log2(end) - 1 for end in (factor.value, factor.low, factor.high)))
