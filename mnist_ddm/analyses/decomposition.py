"""Where does a routed field's sensitivity come from, experts or router? Table 6 and Figure 4 of the paper."""

from collections.abc import Mapping
from typing import final

import numpy as np

from mnist_ddm.analyses.along import (
    TERM_NORMS,
    banded,
    effort_note,
    fixed_times,
    sd,
    strategies,
    term_norms,
)
from mnist_ddm.analyses.analysis import (
    Analysis,
    Answer,
    Need,
    Plot,
    Settings,
    Table,
    Value,
    fill,
    paper_values,
    sampling_of,
)
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.sensitivity import TERMS, TOLERANCE
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Array, mean_estimate

ROUTINGS = ("top2", "top4", "full")
_MIDDLE = 0.5


@final
class JacobianDecomposition(Analysis):
    r"""Norms of :math:`\sum_k w_k \nabla v_k`, :math:`\sum_k (v_k - v) \nabla w_k` and their sum (Section G.3)."""

    @property
    def id(self) -> str:
        return "jacobian-decomposition"

    @property
    def group(self) -> str:
        return "sensitivity"

    @property
    def question(self) -> str:
        return "Does the sensitivity come from the experts or from the router? (Table 6, Figure 4)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=100, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        if not strategies(pool, ROUTINGS):
            raise InputError(f"{self.id} needs at least 2 experts")
        return tuple(Need(sampling_of(settings, r), (TERM_NORMS,)) for r in strategies(pool, ROUTINGS))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        found = {r: recordings[sampling_of(settings, r)] for r in strategies(pool, ROUTINGS)}
        norms = {r: term_norms(recording) for r, recording in found.items()}
        times = fixed_times(next(iter(found.values())))
        middle = int(np.abs(times - _MIDDLE).argmin())
        paper = paper_values(self.id, pool.name)
        rows = [_middle_row(r, norms[r], middle, paper.get(r, {})) for r in norms]
        profile: list[dict[str, Value]] = [
            {"routing": r, "t": float(t), **{term: mean_estimate(norms[r][term][:, i]) for term in TERMS}}
            for r in norms
            for i, t in enumerate(times)
        ]
        place = paper["place"]
        notes = (
            "router: in the centred form sum_k (v_k - v) dw_k/dx, which equals the paper's. denoiser: the Jacobian of "
            "the predicted clean image x - t v.",
            f"The triangle inequality holds in {_triangle(norms):.2%} of the states, within the residuals.",
            effort_note(list(found.values())),
        )
        title = f"Jacobian norms at t = {times[middle]:.2g}, n = {settings.n}; paper: {place}"
        tables = (
            Table(self.id, title, tuple(rows[0]), tuple(rows), notes),
            Table(f"{self.id}-by-time", "The same by time", tuple(profile[0]), tuple(profile)),
        )
        return Answer(tables, tuple(_plot(term, profile, list(norms)) for term in ("expert", "router")))


def _middle_row(routing: str, norms: dict[str, Array], i: int, paper: Mapping[str, Value]) -> dict[str, Value]:
    row: dict[str, Value] = {"routing": routing}
    for term in ("expert", "router", "whole"):
        row[term] = mean_estimate(norms[term][:, i])
        row[f"{term} sd"] = sd(norms[term][:, i])
    row["dominant"] = "router" if norms["router"][:, i].mean() > norms["expert"][:, i].mean() else "expert"
    row["router larger (% of samples)"] = float(100 * (norms["router"][:, i] > norms["expert"][:, i]).mean())
    return row | {f"paper {name}": paper.get(name) for name in ("expert", "expert sd", "router", "router sd")}


def _triangle(norms: Mapping[str, dict[str, Array]]) -> float:
    """The share of states at which the whole is at most the sum of its terms."""
    slack = 1 + TOLERANCE
    held = [(n["whole"] <= slack * (n["expert"] + n["router"])).ravel() for n in norms.values()]
    return float(np.concatenate(held).mean())


def _plot(term: str, profile: list[dict[str, Value]], routings: list[str]) -> Plot:
    series = []
    for routing in routings:
        rows = [row for row in profile if row["routing"] == routing]
        times = [float(t) for row in rows if isinstance(t := row["t"], float)]
        series.append(banded(routing, times, [row[term] for row in rows]))
    name = {"expert": "Expert term", "router": "Router term"}[term]
    return Plot(
        f"jacobian-{term}-term",
        "lines",
        f"{name} of the Jacobian (mean and 95% interval)",
        "t (1 = noise, 0 = data)",
        "spectral norm",
        tuple(series),
        falling_x=True,
    )
