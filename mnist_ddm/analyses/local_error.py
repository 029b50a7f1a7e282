"""Is the error of a single solver step the same for every routing? Table 5 of the paper."""

from collections.abc import Mapping
from typing import final

import numpy as np

from mnist_ddm.analyses.along import sd, strategies
from mnist_ddm.analyses.analysis import (
    Analysis,
    Answer,
    Need,
    Settings,
    Table,
    Value,
    fill,
    paper_values,
    sampling_of,
)
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.sensitivity import POINTS, STEP, SUB_STEPS
from mnist_ddm.core.solvers import Heun
from mnist_ddm.core.visits import Visits
from mnist_ddm.stats.intervals import Array, bootstrap, mean_estimate

ROUTINGS = (MONOLITH, "top1", "top2", "full")
_ERRORS = "local-errors"


@final
class LocalError(Analysis):
    r"""One Heun step of size h against ten of h / 10, at random states of each trajectory.

    A step of a method of order p has a local error :math:`C h^{p+1}`: halving h divides it by :math:`2^{p+1}`, 8 for
    Heun. A step in which a Top-k set changes meets a jump, and its error is of order h.
    """

    @property
    def id(self) -> str:
        return "local-error"

    @property
    def group(self) -> str:
        return "sensitivity"

    @property
    def question(self) -> str:
        return "Is the error of a single solver step the same for every routing? (Table 5)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=1000, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        return tuple(Need(sampling_of(settings, r), (_ERRORS,)) for r in strategies(pool, ROUTINGS))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        paper = paper_values(self.id, pool.name)
        rows: list[dict[str, Value]] = []
        apart: list[dict[str, Value]] = []
        for r in strategies(pool, ROUTINGS):
            values = recordings[sampling_of(settings, r)].observed[_ERRORS].double().numpy()
            rows.append(_row(r, values, paper.get(r, {})))
            apart += [row for switched in (False, True) if (row := _apart(r, values, switched))]
        notes = (
            f"Each trajectory's maximum over {POINTS} random states with t > h; intervals resample trajectories.",
            f"Fitted order p of a local error C h^(p+1); Heun's is {Heun.order}, a factor of {2 ** (Heun.order + 1)}. "
            "The paper's factor of 1.77 is that of p = -0.2, not Heun's.",
            f"The reference has {SUB_STEPS} sub-steps of the same method.",
        )
        place = paper["place"]
        title = f"Local error of one Heun step, h = {STEP}, n = {settings.n}; paper: {place}"
        split_notes = (
            "A step counts as switching if an expert appears or disappears at any of its evaluations.",
            "Means over all states of a trajectory that are of the kind.",
        )
        tables = [Table(self.id, title, tuple(rows[0]), tuple(rows), notes)]
        if apart:
            split_title = "States whose step crosses a switch of experts, and the others"
            tables.append(Table(f"{self.id}-switching", split_title, tuple(apart[0]), tuple(apart), split_notes))
        return Answer(tuple(tables))


def _row(routing: str, values: Array, paper: Mapping[str, Value]) -> dict[str, Value]:
    large, small = (np.nanmax(values[:, :, i], axis=1) for i in (0, 1))
    row: dict[str, Value] = {"routing": routing}
    for name, column in ((f"error at h = {STEP}", large), (f"error at h = {STEP / 2}", small)):
        row |= {name: mean_estimate(column), f"{name} sd": sd(column)}
    row |= {"factor": bootstrap(_factor, large, small), "fitted order": bootstrap(_order, large, small)}
    return row | {f"paper {name}": paper.get(name) for name in ("h", "h/2", "factor")}


def _apart(routing: str, values: Array, switched: bool) -> dict[str, Value] | None:
    """The states of one kind; ``None`` if there is none."""
    measured = ~np.isnan(values[:, :, 0])
    kind = measured & ((values[:, :, 2] > 0) == switched)
    if not kind.any():
        return None
    has = kind.any(axis=1)
    sums = [np.where(kind, values[:, :, i], 0).sum(axis=1)[has] for i in (0, 1)]
    counts = kind.sum(axis=1)[has].astype(np.float64)
    return {
        "routing": routing,
        "switches inside the step": "yes" if switched else "no",
        "states": int(kind.sum()),
        "share of states (%)": float(100 * kind.sum() / measured.sum()),
        f"error at h = {STEP}": bootstrap(_ratio, sums[0], counts),
        f"error at h = {STEP / 2}": bootstrap(_ratio, sums[1], counts),
        "factor": bootstrap(_factor, sums[0], sums[1]),
        "fitted order": bootstrap(_order, sums[0], sums[1]),
    }


def _ratio(a: Array, b: Array) -> float:
    return float(a.sum() / b.sum())


def _factor(large: Array, small: Array) -> float:
    return float(large.sum() / small.sum()) if small.sum() > 0 else float("nan")


def _order(large: Array, small: Array) -> float:
    factor = _factor(large, small)
    return float(np.log2(factor) - 1) if factor > 0 else float("nan")
