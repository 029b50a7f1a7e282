"""Do selected experts agree better with the routed velocity? Tables 2 and 4 of the paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.blends import PRODUCTS, Mask, blend_ties, mean_over_experts
from mnist_ddm.analyses.columns import ROUTING as BY_ROUTING
from mnist_ddm.analyses.columns import TIME, is_number, of_paper, p_value
from mnist_ddm.analyses.paper import paper_values
from mnist_ddm.analyses.settings import SamplingSettings
from mnist_ddm.analyses.systems import with_experts
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Noising, Visits
from mnist_ddm.errors import InputError
from mnist_ddm.figures.plot import Plot, Series, banded
from mnist_ddm.stats.intervals import Array, Estimate, mean_estimate, ratio_estimate
from mnist_ddm.stats.permutation import Ties, ties
from mnist_ddm.stats.summaries import sd
from mnist_ddm.stats.tests import independent_p, paired_p
from mnist_ddm.tables.table import P_VALUE, Column, Row, Schema, Table

ROUTING = "top2"
_LEFT_OUT, _REFERENCE = "left-out-angles", "reference-angles@tenths"

ROUTED, LEFT_OUT, CLOSED_FORM, TARGET = "routed", "left_out", "closed_form", "target"
REFERENCES = {
    ROUTED: "routed velocity (the paper's)",
    LEFT_OUT: "blend of the other experts",
    CLOSED_FORM: "velocity in closed form",
    TARGET: "flow-matching target, held-out states",
}
"""What experts are compared with."""
_P_VALUES = {
    "p_paired_sample": "p, paired by sample",
    "p_paired_state": "p, paired by sample and time",
    "p_independent": "p, independent",
}
_QUANTITIES = {
    "selected": "selected (deg)",
    "non_selected": "non-selected (deg)",
    "reduction": "reduction (deg)",
    "reduction_percent": "reduction (%)",
    **_P_VALUES,
}
_AGAINST = (Column("reference", "against", "key", values=REFERENCES), Column("unit", "unit", "note"))
_BOTH = (Column("selected", "selected"), Column("non_selected", "non-selected"), Column("reduction", "reduction"))
_BY_WEIGHT = Column("rank", "rank of router weight", "key", accepts=is_number)
_SUMMARY = Schema(
    "expert-deviation",
    (
        Column("quantity", "quantity", "key", values=_QUANTITIES, kinds=dict.fromkeys(_P_VALUES, P_VALUE)),
        Column("measured", "measured"),
        Column("sd_over_samples", "sd over samples", "note", optional=True),
        Column("sd_over_all", "sd over all", "note", optional=True),
        Column("paper", "paper", "paper"),
        Column("paper_sd", "paper sd", "paper", optional=True),
    ),
)
_REFERENCES = Schema(
    "expert-deviation-references",
    (
        *_AGAINST,
        *_BOTH,
        Column("reduction_percent", "reduction", unit="%"),
        Column("beyond_swapped", "reduction beyond swapped selections"),
        Column("beyond_dealt", "reduction beyond dealt experts"),
        Column("p_paired_sample", "p, paired by sample", "note", kind=P_VALUE),
        Column("p_paired_state", "p, paired by state", "note", kind=P_VALUE),
        Column("p_independent", "p, independent", "note", kind=P_VALUE),
        of_paper("reduction_percent", "reduction", "%"),
    ),
)
_BY_TIME = Schema("expert-deviation-by-time", (*_AGAINST, TIME, *_BOTH))
_BY_RANK = Schema("expert-deviation-by-rank", (_BY_WEIGHT, Column("angle", "angle", unit="deg")))
_REFERENCES_BY_RANK = Schema(
    "expert-deviation-references-by-rank", (*_AGAINST, _BY_WEIGHT, Column("distance", "distance"))
)
_OWN = Schema("expert-deviation-routings", (BY_ROUTING, *_AGAINST, *_BOTH))
_ALONG = ("angles", _LEFT_OUT, "logits", "weights")
"""What is kept of trajectories."""


@final
class ExpertDeviation(Analysis[SamplingSettings]):
    r"""The angle :math:`\theta_k = \arccos(v_k \cdot v / \lVert v_k \rVert \lVert v \rVert)` along Top-2 trajectories.

    ``v`` is the routed velocity, which contains the selected experts: their angle is small by construction. So the
    comparison is repeated against references that do not contain them: the blend of the other experts, the
    flow-matching target on noised held-out states, and the closed-form velocity of the data where there is one.
    """

    id = "expert-deviation"
    group = "alignment"
    question = "Do selected experts agree better with the routed velocity than the others? (Tables 2 and 4)"
    tables = (_SUMMARY, _REFERENCES, _BY_TIME, _BY_RANK, _REFERENCES_BY_RANK)
    compares = True
    own_tables = (_OWN,)
    sizes = Sizes(
        small=SamplingSettings(n=16, steps=4),
        medium=SamplingSettings(n=200),
        full=SamplingSettings(n=500),
    )

    def needs(self, pool: ExpertPool, settings: SamplingSettings) -> tuple[Need, ...]:
        if pool.n_experts < 3:
            raise InputError(f"{self.id} compares selected with other experts under Top-2 and needs at least 3 experts")
        closed_form = (_REFERENCE, "logits@tenths") if pool.measures.reference is not None else ()
        noised = Need(_noised(settings), ("target-errors", "weights", "logits"))
        chosen = [r for r in with_experts(self.id, settings.routings) if r != ROUTING]
        return (
            Need(settings.sampling(ROUTING), (*_ALONG, *PRODUCTS, *closed_form)),
            *(Need(settings.sampling(r), _ALONG) for r in chosen),
            *([noised] if pool.measures.has_real_states else []),
        )

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: SamplingSettings) -> Answer:
        along = recordings[settings.sampling(ROUTING)]
        comparisons = _comparisons(pool, along, recordings.get(_noised(settings)))
        routed = comparisons[0]
        tables = [
            _summary(pool, routed),
            _references(pool, comparisons, settings.n, blend_ties(along)),
            _by_time(comparisons),
            _by_rank(routed),
            _by_rank_and_reference(comparisons),
        ]
        if settings.routings:
            tables.append(_own({r: recordings[settings.sampling(r)] for r in settings.routings}, settings.n))
        targets = [_target_plot(c) for c in comparisons if c.reference == TARGET]
        return Answer(tuple(tables), (_plot(routed), *targets))


@dataclass(frozen=True)
class _Comparison:
    """How far each expert is from one reference at each state.

    Attributes:
        reference: one of `REFERENCES`.
        unit: of the values.
        times: falling, shape ``(T,)``.
        values: shape ``(n, T, K)``.
        selected: whether the router selects the expert there, same shape.
        logits: of the router, same shape.
    """

    reference: str
    unit: str
    times: Array
    values: Array
    selected: Mask
    logits: Array

    @property
    def what(self) -> Row:
        """The first columns of its rows."""
        return {"reference": self.reference, "unit": self.unit}

    @property
    def inside(self) -> Array:
        """The mean over the selected experts at each state, shape ``(n, T)``."""
        return mean_over_experts(self.values, self.selected)

    @property
    def outside(self) -> Array:
        """The mean over the other experts at each state, shape ``(n, T)``."""
        return mean_over_experts(self.values, ~self.selected)

    @property
    def p_values(self) -> Row:
        """The three tests of whether selected and other experts differ."""
        inside, outside = self.inside, self.outside
        states = ~np.isnan(inside + outside)
        apart = (_present(self.values[mask]) for mask in (self.selected, ~self.selected))
        return {
            "p_paired_sample": p_value(paired_p(np.nanmean(inside, axis=1), np.nanmean(outside, axis=1))),
            "p_paired_state": p_value(paired_p(inside[states], outside[states])),
            "p_independent": p_value(independent_p(*apart)),
        }

    @property
    def ranked(self) -> Array:
        """The values by the router's weight, the most probable expert first, shape ``(n, T, K)``."""
        order = np.argsort(-self.logits, axis=2, kind="stable")
        return np.take_along_axis(self.values, order, axis=2)


def _noised(settings: SamplingSettings) -> Noising:
    return Noising(ROUTING, settings.n, settings.seed)


def _comparisons(pool: ExpertPool, recording: Recording, noised: Recording | None) -> list[_Comparison]:
    """With each reference that there is, the routed velocity first."""
    comparisons = _in_angles(recording)
    if pool.measures.reference is not None:
        comparisons.append(_to(CLOSED_FORM, "deg", recording, _REFERENCE, "@tenths"))
    if noised is not None:
        comparisons.append(_to(TARGET, "squared error per dimension", noised, "target-errors"))
    return comparisons


def _in_angles(recording: Recording) -> list[_Comparison]:
    """With the two references that every routing has."""
    return [_to(ROUTED, "deg", recording, "angles"), _to(LEFT_OUT, "deg", recording, _LEFT_OUT)]


def _to(reference: str, unit: str, source: Recording, name: str, suffix: str = "") -> _Comparison:
    return _Comparison(
        reference,
        unit,
        source.times_of(name).numpy(),
        source.observed[name].double().numpy(),
        source.observed[f"weights{suffix}"].numpy() > 0,
        source.observed[f"logits{suffix}"].double().numpy(),
    )


def _own(recordings: Mapping[str, Recording], n: int) -> Table:
    """Selected and other experts of chosen routings; where a routing selects all of them there are no others."""
    rows: list[Row] = []
    for routing, recording in recordings.items():
        for c in _in_angles(recording):
            columns = {"selected": c.inside, "non_selected": c.outside, "reduction": c.outside - c.inside}
            means = {key: _mean_of_present(_by_sample(values)) for key, values in columns.items()}
            rows.append({"routing": routing, **c.what, **means})
    notes = ("Selected: experts with weight. The blend of the others is that of the other selected ones.",)
    return Table(_OWN, f"Angles of selected and other experts of the chosen routings, n = {n}", tuple(rows), notes)


def _by_sample(values: Array) -> Array:
    """The mean over the times that have a value, of the samples that have any."""
    present = ~np.isnan(values)
    some = present.any(axis=1)
    total = np.where(present, values, 0).sum(axis=1)
    return np.asarray(total[some] / present.sum(axis=1)[some], dtype=np.float64)


def reduction_percent(a: Array, b: Array) -> Estimate:
    """By how much the mean of ``a`` is below that of ``b`` over the same samples, in percent of it."""
    ratio = ratio_estimate(a, b)
    return Estimate(100 * (1 - ratio.value), 100 * (1 - ratio.high), 100 * (1 - ratio.low))


def _ties(c: _Comparison) -> Ties:
    """The reduction and both nulls, against a reference that does not depend on what was selected."""
    selected, others = (mask / np.maximum(mask.sum(axis=2, keepdims=True), 1) for mask in (c.selected, ~c.selected))
    return ties(others - selected, c.values)


def _summary(pool: ExpertPool, c: _Comparison) -> Table:
    paper = paper_values("expert-deviation", pool.in_paper)
    a, b = np.nanmean(c.inside, axis=1), np.nanmean(c.outside, axis=1)
    measured = {
        "selected": mean_estimate(a),
        "non_selected": mean_estimate(b),
        "reduction": mean_estimate(b - a),
        "reduction_percent": reduction_percent(a, b),
        **c.p_values,
    }
    spreads: dict[str, Row] = {
        quantity: {
            "sd_over_samples": sd(means),
            "sd_over_all": float(c.values[mask].std()),
            "paper_sd": paper.get("sd"),
        }
        for quantity, means, mask in (("selected", a, c.selected), ("non_selected", b, ~c.selected))
    }
    stated = {**{quantity: paper.get(quantity) for quantity in measured}, "p_paired_state": paper.get("p")}
    rows: tuple[Row, ...] = tuple(
        {"quantity": quantity, "measured": value, "paper": stated[quantity], **spreads.get(quantity, {})}
        for quantity, value in measured.items()
    )
    title = f"Angle between an expert's velocity and the routed velocity, Top-2, n = {len(a)}; paper: {paper['place']}"
    notes = (
        "Intervals are over whole trajectories. The last two tests are the paper's own; they treat the states of a "
        "trajectory as independent, which they are not.",
        "A selected expert is part of the routed velocity, so its angle is small by construction: of two that agree no "
        "better than any others it is half of their mutual angle, 42 to 50% less than the others'.",
    )
    return Table(_SUMMARY, title, rows, notes)


def _references(pool: ExpertPool, comparisons: Sequence[_Comparison], n: int, of_blends: Ties) -> Table:
    paper = paper_values("expert-deviation", pool.in_paper)
    rows: list[Row] = []
    for c in comparisons:
        a, b = np.nanmean(c.inside, axis=1), np.nanmean(c.outside, axis=1)
        percent = reduction_percent(a, b) if c.unit == "deg" else None
        means = {"selected": mean_estimate(a), "non_selected": mean_estimate(b), "reduction": mean_estimate(b - a)}
        stated = paper.get("left_out_percent") if c.reference == LEFT_OUT else None
        tied = None if c.reference == ROUTED else of_blends if c.reference == LEFT_OUT else _ties(c)
        beyond: Row = {
            "beyond_swapped": None if tied is None else tied.beyond,
            "beyond_dealt": None if tied is None else tied.beyond_deals,
        }
        what = {**c.what, **means, "reduction_percent": percent, **beyond, **c.p_values}
        rows.append({**what, "paper_reduction_percent": stated})
    closed_form = pool.measures.reference
    notes = (
        "The blend of the other experts: an expert without weight is compared with the routed velocity itself, a "
        "selected one with the other selected one.",
        "Against the target only the reduction has a meaning: the target is noisy given the state, which adds the same "
        "unknown amount to both columns and none to their difference. States there are noised held-out data at t = 0.9 "
        "to 0.1, not states of a trajectory.",
        *([f"Velocity in closed form: that of the {closed_form.name}."] if closed_form is not None else []),
        "Beyond swapped selections: less what the same selections bring other samples, so that an expert which is good "
        "everywhere and often chosen gains nothing. Beyond dealt experts: less what they bring with the experts' "
        "values dealt at random; its interval is that of the deals. Of the blend of the others both are at t = 0.9 to "
        "0.1, where every other selection makes other blends: experts that are like each other everywhere, and chosen "
        "together, gain nothing.",
        "The paper's reduction against the blend of the others follows from its own table: two experts have on average "
        "half of their mutual angle to their blend, so left out a selected one is twice as far as stated.",
        "An empirical distribution memorises its points as t goes to 0, so its velocity is a reference, not the truth.",
    )
    title = f"Selected and other experts under Top-2 against references beyond the routed velocity, n = {n}"
    return Table(_REFERENCES, title, tuple(rows), notes)


def _present(values: Array) -> Array:
    return values[~np.isnan(values)]


def _by_time(comparisons: Sequence[_Comparison]) -> Table:
    rows: list[Row] = []
    for c in comparisons:
        inside, outside = c.inside, c.outside
        columns = {"selected": inside, "non_selected": outside, "reduction": outside - inside}
        for i, t in enumerate(c.times):
            means = {key: _mean_of_present(values[:, i]) for key, values in columns.items()}
            rows.append({**c.what, "t": float(t), **means})
    return Table(_BY_TIME, "Distance of the experts to each reference by time", tuple(rows))


def _by_rank_and_reference(comparisons: Sequence[_Comparison]) -> Table:
    rows: list[Row] = []
    for c in comparisons:
        ranked = c.ranked
        for k in range(ranked.shape[2]):
            distance = _mean_of_present(np.nanmean(ranked[:, :, k], axis=1))
            rows.append({**c.what, "rank": k + 1, "distance": distance})
    title = "Distance of the experts to each reference by rank of the router's weight (1 = most probable)"
    return Table(_REFERENCES_BY_RANK, title, tuple(rows))


def _mean_of_present(values: Array) -> Estimate | None:
    present = _present(values)
    return mean_estimate(present) if len(present) else None


def _by_rank(c: _Comparison) -> Table:
    angles = c.ranked.mean(axis=1)
    rows: tuple[Row, ...] = tuple({"rank": k + 1, "angle": mean_estimate(angles[:, k])} for k in range(angles.shape[1]))
    title = "Angle to the routed velocity by rank of the router's weight (1 = most probable)"
    return Table(_BY_RANK, title, rows)


def _plot(c: _Comparison) -> Plot:
    series = []
    for label, values in (("selected (Top-2)", c.inside), ("non-selected", c.outside)):
        low, middle, high = np.nanquantile(values, [0.25, 0.5, 0.75], axis=0)
        series.append(Series(label, c.times.tolist(), middle.tolist(), low.tolist(), high.tolist()))
    return Plot(
        "expert-deviation",
        "lines",
        "Selected experts and the routed velocity (median and quartiles over samples)",
        "t (1 = noise, 0 = data)",
        "angle to the routed velocity (degrees)",
        tuple(series),
        falling_x=True,
    )


def _target_plot(c: _Comparison) -> Plot:
    excess = c.outside - c.inside
    means = [_mean_of_present(excess[:, i]) for i in range(len(c.times))]
    return Plot(
        "expert-deviation-target",
        "lines",
        "What the non-selected experts err more than the selected ones (95% interval)",
        "t (1 = noise, 0 = data)",
        "difference of squared errors per dimension",
        (banded("non-selected minus selected", c.times.tolist(), means),),
        falling_x=True,
    )
