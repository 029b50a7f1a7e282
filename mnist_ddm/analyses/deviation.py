"""Do selected experts agree better with the routed velocity? Tables 2 and 4 of the paper."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from mnist_ddm.analyses.analysis import (
    Analysis,
    Answer,
    Need,
    Plot,
    Series,
    Settings,
    Table,
    Value,
    fill,
    has_real_states,
    p_value,
    paper_values,
    sampling_of,
)
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Noising, Visits
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Array, Estimate, bootstrap, mean_estimate
from mnist_ddm.stats.tests import independent_p, paired_p

ROUTING = "top2"
_LEFT_OUT, _REFERENCE = "left-out-angles", "reference-angles@tenths"
Mask = NDArray[np.bool_]


@final
class ExpertDeviation(Analysis):
    r"""The angle :math:`\theta_k = \arccos(v_k \cdot v / \lVert v_k \rVert \lVert v \rVert)` along Top-2 trajectories.

    ``v`` is the routed velocity, which contains the selected experts: their angle is small by construction. So the
    comparison is repeated against references that do not contain them: the blend of the other experts, the
    flow-matching target on noised held-out states, and the closed-form velocity of the data where there is one.
    """

    @property
    def id(self) -> str:
        return "expert-deviation"

    @property
    def group(self) -> str:
        return "alignment"

    @property
    def question(self) -> str:
        return "Do selected experts agree better with the routed velocity than the others? (Tables 2 and 4)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=500, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        if pool.n_experts < 3:
            raise InputError(f"{self.id} compares selected with other experts under Top-2 and needs at least 3 experts")
        closed_form = (_REFERENCE, "weights@tenths", "logits@tenths") if pool.measures.reference is not None else ()
        return (
            Need(sampling_of(settings, ROUTING), ("angles", _LEFT_OUT, "logits", "weights", *closed_form)),
            *([Need(_noised(settings), ("target-errors", "weights", "logits"))] if has_real_states(pool) else []),
        )

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        recording = recordings[sampling_of(settings, ROUTING)]
        angles = recording.observed["angles"].double().numpy()
        selected = recording.observed["weights"].numpy() > 0
        logits = recording.observed["logits"].double().numpy()
        times = recording.times.numpy()
        inside = _mean_over_experts(angles, selected)
        outside = _mean_over_experts(angles, ~selected)
        comparisons = _comparisons(pool, recording, recordings.get(_noised(settings)))
        tables = (
            _summary(pool, angles, selected, inside, outside),
            _references(comparisons, settings),
            _by_time(comparisons),
            _by_rank(angles, logits),
            _by_rank_and_reference(comparisons),
        )
        targets = [_target_plot(c) for c in comparisons if c.reference == _TARGET]
        return Answer(tables, (_plot(times, inside, outside), *targets))


@dataclass(frozen=True)
class _Comparison:
    """How far each expert is from one reference at each state; ``values``, ``selected``, ``logits``: (n, T, K)."""

    reference: str
    unit: str
    times: Array
    values: Array
    selected: Mask
    logits: Array


_TARGET = "flow-matching target, held-out states"


def _noised(settings: Settings) -> Noising:
    assert settings.n is not None
    return Noising(ROUTING, settings.n, settings.seed)


def _comparisons(pool: ExpertPool, recording: Recording, noised: Recording | None) -> list[_Comparison]:
    def of(reference: str, unit: str, source: Recording, name: str, suffix: str = "") -> _Comparison:
        return _Comparison(
            reference,
            unit,
            source.times_of(name).numpy(),
            source.observed[name].double().numpy(),
            source.observed[f"weights{suffix}"].numpy() > 0,
            source.observed[f"logits{suffix}"].double().numpy(),
        )

    found = [
        of("routed velocity (the paper's)", "deg", recording, "angles"),
        of("blend of the other experts", "deg", recording, _LEFT_OUT),
    ]
    if pool.measures.reference is not None:
        found.append(of(f"velocity of the {pool.measures.reference.name}", "deg", recording, _REFERENCE, "@tenths"))
    if noised is not None:
        found.append(of(_TARGET, "squared error per dimension", noised, "target-errors"))
    return found


def _mean_over_experts(angles: Array, mask: Mask) -> Array:
    """The mean over the masked experts that have a value at each state, shape ``(n, T)``; NaN where there are none."""
    mask = mask & ~np.isnan(angles)
    count = mask.sum(axis=2)
    total = np.where(mask, angles, 0).sum(axis=2)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _reduction_percent(a: Array, b: Array) -> float:
    return float(100 * (1 - a.mean() / b.mean())) if b.mean() > 0 else float("nan")


def _summary(pool: ExpertPool, angles: Array, selected: Mask, inside: Array, outside: Array) -> Table:
    paper = paper_values("expert-deviation", pool.name)
    a, b = np.nanmean(inside, axis=1), np.nanmean(outside, axis=1)
    percent = bootstrap(_reduction_percent, a, b)
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
    p_paired = p_value(paired_p(inside[states], outside[states]))
    p_apart = p_value(independent_p(angles[selected], angles[~selected]))
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
        row("p, paired by sample", p_value(paired_p(a, b)), None, None, None, None),
        row("p, paired by sample and time", p_paired, None, None, paper.get("p"), None),
        row("p, independent", p_apart, None, None, None, None),
    )
    place = paper["place"]
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


def _references(comparisons: list[_Comparison], settings: Settings) -> Table:
    rows: list[dict[str, Value]] = []
    for c in comparisons:
        inside, outside = _mean_over_experts(c.values, c.selected), _mean_over_experts(c.values, ~c.selected)
        a, b = np.nanmean(inside, axis=1), np.nanmean(outside, axis=1)
        states = ~np.isnan(inside + outside)
        is_angle = c.unit == "deg"
        percent = bootstrap(_reduction_percent, a, b) if is_angle else None
        rows.append(
            {
                "against": c.reference,
                "unit": c.unit,
                "selected": mean_estimate(a),
                "non-selected": mean_estimate(b),
                "reduction": mean_estimate(b - a),
                "reduction (%)": percent,
                "p, paired by sample": p_value(paired_p(a, b)),
                "p, paired by state": p_value(paired_p(inside[states], outside[states])),
                "p, independent": p_value(
                    independent_p(_present(c.values[c.selected]), _present(c.values[~c.selected]))
                ),
            }
        )
    notes = (
        "The blend of the other experts: an expert without weight is compared with the routed velocity itself, a "
        "selected one with the other selected one.",
        "Against the target only the reduction has a meaning: the target is noisy given the state, which adds the same "
        "unknown amount to both columns and none to their difference. States there are noised held-out data at t = 0.9 "
        "to 0.1, not states of a trajectory.",
        "An empirical distribution memorises its points as t goes to 0, so its velocity is a reference, not the truth.",
    )
    title = f"Selected and other experts under Top-2 against references beyond the routed velocity, n = {settings.n}"
    return Table("expert-deviation-references", title, tuple(rows[0]), tuple(rows), notes)


def _present(values: Array) -> Array:
    return values[~np.isnan(values)]


def _by_time(comparisons: list[_Comparison]) -> Table:
    rows: list[dict[str, Value]] = []
    for c in comparisons:
        inside, outside = _mean_over_experts(c.values, c.selected), _mean_over_experts(c.values, ~c.selected)
        for i, t in enumerate(c.times):
            row: dict[str, Value] = {"against": c.reference, "unit": c.unit, "t": float(t)}
            row |= {"selected": _column_estimate(inside[:, i]), "non-selected": _column_estimate(outside[:, i])}
            rows.append({**row, "reduction": _column_estimate(outside[:, i] - inside[:, i])})
    title = "Distance of the experts to each reference by time"
    return Table("expert-deviation-by-time", title, tuple(rows[0]), tuple(rows))


def _by_rank_and_reference(comparisons: list[_Comparison]) -> Table:
    rows: list[dict[str, Value]] = []
    for c in comparisons:
        order = np.argsort(-c.logits, axis=2, kind="stable")
        ranked = np.take_along_axis(c.values, order, axis=2)
        for k in range(ranked.shape[2]):
            sample = _column_estimate(np.nanmean(ranked[:, :, k], axis=1))
            rows.append({"against": c.reference, "unit": c.unit, "rank of router weight": k + 1, "distance": sample})
    title = "Distance of the experts to each reference by rank of the router's weight (1 = most probable)"
    return Table("expert-deviation-references-by-rank", title, tuple(rows[0]), tuple(rows))


def _target_plot(c: _Comparison) -> Plot:
    excess = _mean_over_experts(c.values, ~c.selected) - _mean_over_experts(c.values, c.selected)
    estimates = [_column_estimate(excess[:, i]) or Estimate(*[float("nan")] * 3) for i in range(len(c.times))]
    ends = zip(*((e.value, e.low, e.high) for e in estimates), strict=True)
    return Plot(
        "expert-deviation-target",
        "lines",
        "What the non-selected experts err more than the selected ones (95% interval)",
        "t (1 = noise, 0 = data)",
        "difference of squared errors per dimension",
        (Series("non-selected minus selected", c.times.tolist(), *ends),),
        falling_x=True,
    )


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
