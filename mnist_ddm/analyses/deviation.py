"""Do selected experts agree better with the routed velocity? Tables 2 and 4 of the paper."""

from collections.abc import Mapping
from typing import final

import numpy as np
from numpy.typing import NDArray

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
    paper_values,
    sampling_of,
)
from mnist_ddm.core.errors import InputError
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording, Sampling
from mnist_ddm.core.stats import Array, Estimate, bootstrap, independent_p, mean_estimate, paired_p

ROUTING = "top2"
Mask = NDArray[np.bool_]


@final
class ExpertDeviation(Analysis):
    r"""The angle :math:`\theta_k = \arccos(v_k \cdot v / \lVert v_k \rVert \lVert v \rVert)` along Top-2 trajectories.

    ``v`` is the routed velocity, which contains the selected experts: their angle is small by construction.
    """

    @property
    def id(self) -> str:
        return "expert-deviation"

    @property
    def question(self) -> str:
        return "Do selected experts agree better with the routed velocity than the others? (Tables 2 and 4)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=500, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        if pool.n_experts < 3:
            raise InputError(f"{self.id} compares selected with other experts under Top-2 and needs at least 3 experts")
        return (Need(sampling_of(settings, ROUTING), ("angles", "logits", "weights")),)

    def analyse(self, pool: ExpertPool, recordings: Mapping[Sampling, Recording], settings: Settings) -> Findings:
        recording = recordings[sampling_of(settings, ROUTING)]
        angles = recording.observed["angles"].double().numpy()
        selected = recording.observed["weights"].numpy() > 0
        logits = recording.observed["logits"].double().numpy()
        times = recording.times.numpy()
        inside = _mean_over_experts(angles, selected)
        outside = _mean_over_experts(angles, ~selected)
        by_time = _by_time(times, inside, outside)
        return Findings(
            (_summary(pool, angles, selected, inside, outside), by_time, _by_rank(angles, logits)),
            (_plot(times, inside, outside),),
        )


def _mean_over_experts(angles: Array, mask: Mask) -> Array:
    """The mean angle of the masked experts at each state, shape ``(n, T)``; NaN where there are none."""
    count = mask.sum(axis=2)
    total = np.where(mask, angles, 0).sum(axis=2)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _summary(pool: ExpertPool, angles: Array, selected: Mask, inside: Array, outside: Array) -> Table:
    paper = paper_values("expert-deviation", pool.name)
    a, b = np.nanmean(inside, axis=1), np.nanmean(outside, axis=1)
    percent = bootstrap(lambda x, y: float(100 * (1 - np.mean(x) / np.mean(y))), a, b)
    states = ~np.isnan(inside + outside)

    def row(
        what: str, value: Value, sd_samples: Value, sd_all: Value, paper_value: Value, paper_sd: Value
    ) -> dict[str, Value]:
        return {
            "quantity": what,
            "measured": value,
            "sd over samples": sd_samples,
            "sd over all": sd_all,
            "paper": paper_value,
            "paper sd": paper_sd,
        }

    sd = paper.get("sd")
    p_paired = paired_p(inside[states], outside[states])
    p_apart = independent_p(angles[selected], angles[~selected])
    rows: tuple[dict[str, Value], ...] = (
        row(
            "selected (deg)",
            mean_estimate(a),
            float(a.std(ddof=1)) if len(a) > 1 else None,
            float(angles[selected].std()),
            paper.get("selected"),
            sd,
        ),
        row(
            "non-selected (deg)",
            mean_estimate(b),
            float(b.std(ddof=1)) if len(b) > 1 else None,
            float(angles[~selected].std()),
            paper.get("non_selected"),
            sd,
        ),
        row("reduction (deg)", mean_estimate(b - a), None, None, paper.get("reduction"), None),
        row("reduction (%)", percent, None, None, paper.get("reduction_percent"), None),
        row("p, paired by sample", paired_p(a, b), None, None, None, None),
        row("p, paired by sample and time", p_paired, None, None, paper.get("p"), None),
        row("p, independent", p_apart, None, None, None, None),
    )
    place = paper.get("place", "nothing for this system")
    return Table(
        "expert-deviation",
        f"Angle between an expert's velocity and the routed velocity, Top-2, n = {len(angles)}; paper: {place}",
        tuple(rows[0]),
        rows,
        (
            "Intervals resample whole trajectories. The last two tests are the paper's own; they treat the states of a "
            "trajectory as independent, which they are not.",
            "A selected expert is part of the routed velocity, so its angle is small by construction.",
        ),
    )


def _by_time(times: Array, inside: Array, outside: Array) -> Table:
    columns = ("t", "selected (deg)", "non-selected (deg)")
    rows: list[dict[str, Value]] = []
    for i, t in enumerate(times):
        values = (float(t), _column_estimate(inside[:, i]), _column_estimate(outside[:, i]))
        rows.append(dict(zip(columns, values, strict=True)))
    return Table("expert-deviation-by-time", "Angle to the routed velocity by time", columns, tuple(rows))


def _column_estimate(values: Array) -> Estimate | None:
    present = values[~np.isnan(values)]
    return mean_estimate(present) if len(present) else None


def _by_rank(angles: Array, logits: Array) -> Table:
    order = np.argsort(-logits, axis=2, kind="stable")
    ranked = np.take_along_axis(angles, order, axis=2).mean(axis=1)
    rows: tuple[dict[str, Value], ...] = tuple(
        {"rank of router weight": k + 1, "angle (deg)": mean_estimate(ranked[:, k])} for k in range(ranked.shape[1])
    )
    title = "Angle to the routed velocity by rank of the router's weight (1 = most probable)"
    return Table("expert-deviation-by-rank", title, tuple(rows[0]), rows)


def _plot(times: Array, inside: Array, outside: Array) -> Plot:
    series = []
    for label, values in (("selected (Top-2)", inside), ("non-selected", outside)):
        low, middle, high = np.nanquantile(values, [0.25, 0.5, 0.75], axis=0)
        series.append(Series(label, times.tolist(), middle.tolist(), low.tolist(), high.tolist()))
    return Plot(
        "expert-deviation",
        "lines",
        "Selected experts and the routed velocity (median and quartiles over samples)",
        "t (1 = noise, 0 = data)",
        "angle to the routed velocity (degrees)",
        tuple(series),
        falling_x=True,
    )
