"""Where does a routed field's sensitivity come from, experts or router? Table 6 and Figure 4 of the paper."""

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import ROUTING, TIME, mean_and_sd, paper_cells, paper_columns, with_sd
from mnist_ddm.analyses.paper import paper_values
from mnist_ddm.analyses.settings import SamplingSettings
from mnist_ddm.analyses.stability import TERM_NORMS, effort_note, fixed_times, term_norms
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.sensitivity import TERMS, TOLERANCE
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError
from mnist_ddm.figures.plot import Plot, banded
from mnist_ddm.stats.intervals import Array, mean_estimate, ratio_estimate
from mnist_ddm.tables.table import PERCENT, RATIO, Column, Row, Schema, Table, Value

ROUTINGS = ("top2", "top4", "full")
_MIDDLE = 0.5
_TERM_COLUMNS = {term: Column(term, term) for term in TERMS}
_SUMMED = ("expert", "router", "whole")
"""The two terms and their sum; the denoiser is another map."""
_PAIRED = ("expert", "router")
_PAPER = {"expert": "expert", "expert_sd": "expert sd", "router": "router", "router_sd": "router sd"}
_MIDDLE_TABLE = Schema(
    "jacobian-decomposition",
    (
        ROUTING,
        *(column for term in _SUMMED for column in with_sd(_TERM_COLUMNS[term])),
        Column("dominant", "dominant", "note"),
        *(Column(f"{term}_ratio", f"{term}, ratio to Full", kind=RATIO, optional=True) for term in _PAIRED),
        Column("router_larger", "samples with a larger router term", unit="%", kind=PERCENT),
        *paper_columns(_PAPER),
    ),
)
_BY_TIME = Schema("jacobian-decomposition-by-time", (ROUTING, TIME, *_TERM_COLUMNS.values()))


@final
class JacobianDecomposition(Analysis[SamplingSettings]):
    r"""Norms of :math:`\sum_k w_k \nabla v_k`, :math:`\sum_k (v_k - v) \nabla w_k` and their sum (Section G.3)."""

    id = "jacobian-decomposition"
    group = "sensitivity"
    question = "Does the sensitivity come from the experts or from the router? (Table 6, Figure 4)"
    tables = (_MIDDLE_TABLE, _BY_TIME)
    compares = True
    sizes = Sizes(
        small=SamplingSettings(n=4, steps=4),
        medium=SamplingSettings(n=50),
        full=SamplingSettings(n=100),
    )

    def needs(self, pool: ExpertPool, settings: SamplingSettings) -> tuple[Need, ...]:
        if not settings.compared(pool, ROUTINGS):
            raise InputError(f"{self.id} needs at least 2 experts")
        return tuple(Need(settings.sampling(r), (TERM_NORMS,)) for r in settings.compared(pool, ROUTINGS))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: SamplingSettings) -> Answer:
        recorded = {r: recordings[settings.sampling(r)] for r in settings.compared(pool, ROUTINGS)}
        norms = {r: term_norms(recording) for r, recording in recorded.items()}
        times = fixed_times(next(iter(recorded.values())))
        middle = int(np.abs(times - _MIDDLE).argmin())
        paper = paper_values(self.id, pool.in_paper)
        rows = tuple(_middle_row(r, norms, middle, paper.get(r, {})) for r in norms)
        profile = tuple(_row(r, float(t), norms[r], i) for r in norms for i, t in enumerate(times))
        notes = (
            "router: in the centred form sum_k (v_k - v) dw_k/dx, which equals the paper's. denoiser: the Jacobian of "
            "the predicted clean image x - t v.",
            f"The triangle inequality holds in {_triangle(norms):.2%} of the states, within the residuals.",
            effort_note(list(recorded.values())),
        )
        title = f"Jacobian norms at t = {times[middle]:.2g}, n = {settings.n}; paper: {paper['place']}"
        tables = Table(_MIDDLE_TABLE, title, rows, notes), Table(_BY_TIME, "The same by time", profile)
        return Answer(tables, tuple(_plot(term, profile, list(norms)) for term in ("expert", "router")))


def _row(routing: str, t: float, norms: Mapping[str, Array], i: int) -> Row:
    return {"routing": routing, "t": t, **{term: mean_estimate(norms[term][:, i]) for term in TERMS}}


def _middle_row(routing: str, every: Mapping[str, Mapping[str, Array]], i: int, paper: Mapping[str, Value]) -> Row:
    row: dict[str, Value] = {"routing": routing}
    norms = every[routing]
    if "full" in every:
        row |= {f"{term}_ratio": ratio_estimate(norms[term][:, i], every["full"][term][:, i]) for term in _PAIRED}
    for term in _SUMMED:
        row |= mean_and_sd(_TERM_COLUMNS[term], norms[term][:, i])
    expert, router = norms["expert"][:, i], norms["router"][:, i]
    row["dominant"] = "router" if router.mean() > expert.mean() else "expert"
    row["router_larger"] = float(100 * (router > expert).mean())
    return row | paper_cells(paper, _PAPER)


def _triangle(norms: Mapping[str, Mapping[str, Array]]) -> float:
    """The share of states at which the whole is at most the sum of its terms."""
    slack = 1 + TOLERANCE
    held = [(n["whole"] <= slack * (n["expert"] + n["router"])).ravel() for n in norms.values()]
    return float(np.concatenate(held).mean())


def _plot(term: str, profile: Sequence[Row], routings: Sequence[str]) -> Plot:
    series = []
    for routing in routings:
        rows = [row for row in profile if row["routing"] == routing]
        times = [t for row in rows if isinstance(t := row["t"], float)]
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
