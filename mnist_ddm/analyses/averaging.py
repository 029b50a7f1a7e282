"""Does averaging over experts lower the variance of the velocities? The first link of Section 4.1's chain."""

from collections.abc import Mapping
from typing import final

import numpy as np

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import ROUTING, TIME
from mnist_ddm.analyses.settings import SamplingSettings
from mnist_ddm.analyses.systems import fitting
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError
from mnist_ddm.figures.plot import Plot, banded
from mnist_ddm.stats.intervals import Array, mean_estimate, ratio_estimate
from mnist_ddm.tables.table import RATIO, Column, Row, Schema, Table

ROUTINGS = ("top1", "top2", "full")
_VELOCITY = "velocity@tenths"
_TABLE = Schema(
    "averaging-variance",
    (
        TIME,
        *(Column(routing, routing) for routing in ROUTINGS),
        *(Column(f"full_over_{routing}", f"full / {routing}", kind=RATIO) for routing in ("top1", "top2")),
    ),
)
_OWN = Schema(
    "averaging-variance-routings",
    (ROUTING, TIME, Column("variance", "variance"), Column("over_full", "variance / Full's", kind=RATIO)),
)


@final
class AveragingVariance(Analysis[SamplingSettings]):
    r"""The variance over samples of the routed velocity, per dimension, :math:`\frac{1}{d} tr Cov(v(x_t, t))`.

    Section 4.1 argues that averaging over all experts reduces it, that this lowers the Jacobian, and that smoother
    trajectories have a lower step-refinement error.
    """

    id = "averaging-variance"
    group = "alignment"
    question = "Does averaging over experts lower the variance of the velocities? (Section 4.1, first link)"
    tables = (_TABLE,)
    compares = True
    own_tables = (_OWN,)
    sizes = Sizes(
        small=SamplingSettings(n=16, steps=4),
        medium=SamplingSettings(n=200),
        full=SamplingSettings(n=500),
    )

    def needs(self, pool: ExpertPool, settings: SamplingSettings) -> tuple[Need, ...]:
        if len(fitting(pool, ROUTINGS)) < len(ROUTINGS):
            raise InputError(f"{self.id} compares {', '.join(ROUTINGS)} and needs at least 2 experts")
        compared = dict.fromkeys((*ROUTINGS, *settings.routings))
        return tuple(Need(settings.sampling(routing), (_VELOCITY,)) for routing in compared)

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: SamplingSettings) -> Answer:
        recorded = {routing: recordings[settings.sampling(routing)] for routing in ROUTINGS}
        times = recorded[ROUTINGS[0]].times_of(_VELOCITY).tolist()
        rows = tuple(_row(t, i, recorded) for i, t in enumerate(times))
        notes = (
            "The paper says that averaging over all experts reduces this variance: then full / top1 is below 1.",
            "Samples of different routings start from the same noise; ratios pair them.",
        )
        title = f"Variance over samples of the routed velocity, per dimension, by time, n = {settings.n}"
        tables = [Table(_TABLE, title, rows, notes)]
        if settings.routings:
            chosen = {routing: recordings[settings.sampling(routing)] for routing in settings.routings}
            own = tuple(_own_row(r, t, i, chosen[r], recorded["full"]) for r in chosen for i, t in enumerate(times))
            tables.append(Table(_OWN, f"The same of the chosen routings, n = {settings.n}", own, notes[1:]))
        return Answer(tuple(tables), (_plot(rows, times),))


def _own_row(routing: str, t: float, visit: int, recording: Recording, full: Recording) -> Row:
    own, whole = _spread(recording, visit), _spread(full, visit)
    return {"routing": routing, "t": t, "variance": mean_estimate(own), "over_full": ratio_estimate(own, whole)}


def _spread(recording: Recording, visit: int) -> Array:
    return _squared_deviation(recording.observed[_VELOCITY][:, visit].flatten(1).double().numpy())


def _row(t: float, visit: int, recorded: Mapping[str, Recording]) -> Row:
    spread = {routing: _spread(recording, visit) for routing, recording in recorded.items()}
    means = {routing: mean_estimate(values) for routing, values in spread.items()}
    ratios = {f"full_over_{r}": ratio_estimate(spread["full"], spread[r]) for r in ("top1", "top2")}
    return {"t": t, **means, **ratios}


def _squared_deviation(velocities: Array) -> Array:
    """For each sample the mean over dimensions of its squared deviation from the mean velocity, shape ``(n,)``."""
    return np.asarray(((velocities - velocities.mean(axis=0)) ** 2).mean(axis=1), dtype=np.float64)


def _plot(rows: tuple[Row, ...], times: list[float]) -> Plot:
    return Plot(
        "averaging-variance",
        "lines",
        "Variance over samples of the routed velocity (95% intervals)",
        "t (1 = noise, 0 = data)",
        "variance per dimension",
        tuple(banded(routing, times, [row[routing] for row in rows]) for routing in ROUTINGS),
        falling_x=True,
    )
