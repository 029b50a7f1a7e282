"""Does averaging over experts lower the variance of the velocities? The first link of Section 4.1's chain."""

from collections.abc import Mapping
from typing import final

import numpy as np

from mnist_ddm.analyses.base import (
    Analysis,
    Findings,
    Need,
    Plot,
    Series,
    Settings,
    Table,
    Value,
    fill,
    fitting,
    sampling_of,
)
from mnist_ddm.core.errors import InputError
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.runs import Run
from mnist_ddm.core.stats import Array, bootstrap, mean_estimate

ROUTINGS = ("top1", "top2", "full")
_VELOCITY = "velocity@tenths"


@final
class AveragingVariance(Analysis):
    r"""The variance over samples of the routed velocity, per dimension, :math:`\frac{1}{d} tr Cov(v(x_t, t))`.

    Section 4.1 argues that averaging over all experts reduces it, that this lowers the Jacobian, and that smoother
    trajectories have a lower step-refinement error.
    """

    @property
    def id(self) -> str:
        return "averaging-variance"

    @property
    def group(self) -> str:
        return "alignment"

    @property
    def question(self) -> str:
        return "Does averaging over experts lower the variance of the velocities? (Section 4.1, first link)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=500, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        if len(fitting(pool, ROUTINGS)) < len(ROUTINGS):
            raise InputError(f"{self.id} compares {', '.join(ROUTINGS)} and needs at least 2 experts")
        return tuple(Need(sampling_of(settings, routing), (_VELOCITY,)) for routing in ROUTINGS)

    def analyse(self, pool: ExpertPool, recordings: Mapping[Run, Recording], settings: Settings) -> Findings:
        found = {r: recordings[sampling_of(settings, r)] for r in ROUTINGS}
        times = found[ROUTINGS[0]].times_of(_VELOCITY).tolist()
        rows: list[dict[str, Value]] = []
        for i, t in enumerate(times):
            spread = {
                r: _squared_deviation(found[r].observed[_VELOCITY][:, i].flatten(1).double().numpy()) for r in ROUTINGS
            }
            row: dict[str, Value] = {"t": t, **{r: mean_estimate(values) for r, values in spread.items()}}
            row |= {f"full / {r}": bootstrap(_ratio, spread["full"], spread[r]) for r in ("top1", "top2")}
            rows.append(row)
        notes = (
            "The paper says that averaging over all experts reduces this variance: then full / top1 is below 1.",
            "Samples of different routings start from the same noise; ratios resample them together.",
        )
        title = f"Variance over samples of the routed velocity, per dimension, by time, n = {settings.n}"
        return Findings((Table(self.id, title, tuple(rows[0]), tuple(rows), notes),), (_plot(rows, times),))


def _squared_deviation(velocities: Array) -> Array:
    """For each sample the mean over dimensions of its squared deviation from the mean velocity, shape ``(n,)``."""
    return np.asarray(((velocities - velocities.mean(axis=0)) ** 2).mean(axis=1), dtype=np.float64)


def _ratio(a: Array, b: Array) -> float:
    return float(a.mean() / b.mean()) if b.mean() > 0 else float("nan")


def _plot(rows: list[dict[str, Value]], times: list[float]) -> Plot:
    series = []
    for routing in ROUTINGS:
        estimates = [e for row in rows if not isinstance(e := row[routing], str | int | float | None)]
        ends = zip(*((e.value, e.low, e.high) for e in estimates), strict=True)
        series.append(Series(routing, times, *ends))
    return Plot(
        "averaging-variance",
        "lines",
        "Variance over samples of the routed velocity (95% intervals)",
        "t (1 = noise, 0 = data)",
        "variance per dimension",
        tuple(series),
        falling_x=True,
    )
