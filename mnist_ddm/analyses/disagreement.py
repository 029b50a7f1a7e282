"""Does the full ensemble drift from Top-2 where experts disagree? Figure 1 and Appendix B of the paper."""

from collections.abc import Mapping
from typing import final

import numpy as np
import torch
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
    chosen_distance,
    fill,
    paper_values,
    sampling_of,
)
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording, Sampling
from mnist_ddm.core.stats import (
    Array,
    integrate_over_time,
    mean_estimate,
    quartile,
    spearman_estimate,
    spearman_p,
)

ROUTING, REFERENCE = "full", "top2"


@final
class Disagreement(Analysis):
    r"""Expert disagreement along full-ensemble trajectories against the distance to the Top-2 result.

    :math:`D(x_t) = \binom{K}{2}^{-1} \sum_{i<j} \lVert v_i - v_j \rVert_2` and :math:`D_{int} = \int_0^1 D(x_t) dt`
    (Section 4.4), against mean squared error and perceptual distance between the two final images of the same noise.
    """

    @property
    def id(self) -> str:
        return "disagreement"

    @property
    def question(self) -> str:
        return "Does the full ensemble drift from Top-2 where experts disagree? (Figure 1, Appendix B)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=500, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        chosen_distance(pool, settings)
        return (
            Need(sampling_of(settings, ROUTING), ("disagreement",)),
            Need(sampling_of(settings, REFERENCE)),
        )

    def analyse(self, pool: ExpertPool, recordings: Mapping[Sampling, Recording], settings: Settings) -> Findings:
        full = recordings[sampling_of(settings, ROUTING)]
        reference = recordings[sampling_of(settings, REFERENCE)]
        distance = chosen_distance(pool, settings)
        a, b = (pool.decode(r.final.to(pool.device)) for r in (full, reference))
        with torch.inference_mode():
            perceptual = torch.cat([distance(x, y) for x, y in zip(a.split(256), b.split(256), strict=True)])
        outcomes = {
            "MSE": (a - b).flatten(1).square().mean(dim=1).double().cpu().numpy(),
            distance.name: perceptual.double().cpu().numpy(),
        }
        profile = full.observed["disagreement"].double().numpy()
        times = full.times.numpy()
        integral = integrate_over_time(profile, times)
        group = quartile(integral)
        quartiles = _quartiles(pool, integral, group, outcomes)
        plots = (_profile_plot(times, profile), _quartile_plot(quartiles, distance.name))
        return Findings((_correlations(pool, integral, outcomes), quartiles), (*plots, _points(integral, outcomes)))


def _correlations(pool: ExpertPool, integral: Array, outcomes: dict[str, Array]) -> Table:
    paper = paper_values("disagreement", pool.name)
    rows: list[dict[str, Value]] = []
    for name, values in outcomes.items():
        stated = paper.get("spearman_mse" if name == "MSE" else "spearman_distance", "not stated")
        rho = spearman_estimate(integral, values)
        rows.append({"D_int against": name, "Spearman": rho, "p": spearman_p(integral, values), "paper": stated})
    place = paper.get("place", "nothing for this system")
    return Table(
        "disagreement",
        f"Integrated disagreement and the distance of Full to Top-2 from the same noise, n = {len(integral)}; "
        f"paper: {place}",
        tuple(rows[0]),
        tuple(rows),
        ("A distance to another strategy's output is not a quality.", "Intervals resample whole trajectories."),
    )


def _quartiles(pool: ExpertPool, integral: Array, group: NDArray[np.int64], outcomes: dict[str, Array]) -> Table:
    stated = paper_values("disagreement", pool.name).get("quartiles", "not stated")
    rows: list[dict[str, Value]] = []
    for q in range(4):
        inside = group == q
        if not inside.any():
            continue
        row: dict[str, Value] = {"quartile of D_int": f"Q{q + 1}", "n": int(inside.sum())}
        row["D_int"] = mean_estimate(integral[inside])
        row |= {name: mean_estimate(values[inside]) for name, values in outcomes.items()}
        rows.append({**row, "paper": stated})
    return Table(
        "disagreement-quartiles", "By quartile of integrated disagreement (Q1 = lowest)", tuple(rows[0]), tuple(rows)
    )


def _profile_plot(times: Array, profile: Array) -> Plot:
    low, middle, high = np.quantile(profile, [0.25, 0.5, 0.75], axis=0)
    return Plot(
        "disagreement-profile",
        "lines",
        "Expert disagreement along full-ensemble trajectories (median and quartiles)",
        "t (1 = noise, 0 = data)",
        "D(x_t), mean pairwise distance of velocities",
        (Series("full ensemble", times.tolist(), middle.tolist(), low.tolist(), high.tolist()),),
        falling_x=True,
    )


def _quartile_plot(table: Table, distance: str) -> Plot:
    labels = [str(row["quartile of D_int"]) for row in table.rows]
    estimates = [row[distance] for row in table.rows]
    ends = [(e.value, e.low, e.high) for e in estimates if not isinstance(e, str | int | float | None)]
    values, low, high = zip(*ends, strict=True)
    return Plot(
        "disagreement-quartiles",
        "bars",
        "Distance of the full ensemble to Top-2 by quartile of disagreement (95% intervals)",
        "quartile of integrated disagreement",
        f"mean {distance} distance to the Top-2 output",
        (Series("full ensemble", labels, values, low, high),),
    )


def _points(integral: Array, outcomes: dict[str, Array]) -> Plot:
    name = list(outcomes)[-1]
    return Plot(
        "disagreement-scatter",
        "points",
        "Each sample: disagreement and distance to Top-2",
        "integrated disagreement D_int",
        f"{name} distance to the Top-2 output",
        (Series("sample", integral.tolist(), outcomes[name].tolist()),),
    )
