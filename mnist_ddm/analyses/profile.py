"""How much does sensitivity vary between trajectories, and between experts? Figure 2 of the paper."""

import math
from collections.abc import Mapping, Sequence
from typing import final

import numpy as np

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import ROUTING, TIME, is_field
from mnist_ddm.analyses.settings import SamplingSettings
from mnist_ddm.analyses.stability import TERM_NORMS, effort_note, fixed_times, term_norms
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError
from mnist_ddm.figures.plot import Plot, Series, banded
from mnist_ddm.stats.intervals import Array, Estimate, bootstrap_several, mean_estimate
from mnist_ddm.tables.table import Column, Row, Schema, Table

ROUTINGS = (MONOLITH, "top1", "top2", "full")
_SPLIT = "top2"
"""The routing whose experts are told apart, and whose range is compared with those of the others."""
_EXPERTS, _WEIGHTS = "expert-jacobians@tenths", "weights@tenths"
_PROFILE = Schema(
    "sensitivity-profile",
    (TIME, ROUTING, Column("iqr", "IQR"), Column("cumulative", "cumulative IQR")),
)
_SINGLE = Schema(
    "expert-jacobians",
    (
        TIME,
        Column("selected", "selected"),
        Column("suppressed", "suppressed"),
        Column("difference", "selected - suppressed"),
        Column("inverse_t", "1/t", "note"),
    ),
)
_GAP = Schema(
    "sensitivity-profile-gap",
    (
        Column("routing", "Top-2 against", "key", accepts=is_field),
        Column("t_half", "t half-way", "note"),
        Column("gap_half", "gap half-way"),
        Column("t_end", "t at the end", "note"),
        Column("gap_end", "gap at the end"),
        Column("gap_later", "gap from half-way to the end"),
        Column("widening", "widening"),
    ),
)


@final
class SensitivityProfile(Analysis[SamplingSettings]):
    r"""The interquartile range over samples of the expert term, cumulated from t = 0.9 downward.

    And, along Top-2 trajectories, the norms of the Jacobians of selected and of suppressed experts (Section G.3).
    """

    id = "sensitivity-profile"
    group = "sensitivity"
    question = "How much does sensitivity vary between trajectories, and between experts? (Figure 2)"
    tables = (_PROFILE, _SINGLE, _GAP)
    compares = True
    sizes = Sizes(
        small=SamplingSettings(n=4, steps=4),
        medium=SamplingSettings(n=20),
        full=SamplingSettings(n=20),
    )

    def needs(self, pool: ExpertPool, settings: SamplingSettings) -> tuple[Need, ...]:
        if pool.n_experts < 3:
            raise InputError(f"{self.id} compares selected with other experts under Top-2 and needs at least 3 experts")
        norms = tuple(Need(settings.sampling(r), (TERM_NORMS,)) for r in settings.compared(pool, ROUTINGS, _SPLIT))
        return (*norms, Need(settings.sampling(_SPLIT), (_EXPERTS, _WEIGHTS)))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: SamplingSettings) -> Answer:
        recorded = {r: recordings[settings.sampling(r)] for r in settings.compared(pool, ROUTINGS, _SPLIT)}
        times = fixed_times(recorded[_SPLIT])
        norms = {r: term_norms(recording)["expert"] for r, recording in recorded.items()}
        ranges = {r: bootstrap_several(lambda n: _range(n.swapaxes(-1, -2)).T, n) for r, n in norms.items()}
        cumulative = {r: _cumulated(n, times) for r, n in norms.items()}
        rows: list[Row] = [
            {"t": float(t), "routing": r, "iqr": ranges[r][i], "cumulative": float(cumulative[r][i])}
            for i, t in enumerate(times)
            for r in norms
        ]
        split = _split(recorded[_SPLIT], times)
        notes = (
            "The paper: the cumulative range of Top-2 lies apart from the others', and more so as denoising "
            "progresses; its values are not stated.",
            effort_note(list(recorded.values())),
        )
        title = f"Interquartile range over samples of the expert term's norm, n = {settings.n}; paper: Figure 2"
        tables = (
            Table(_PROFILE, title, tuple(rows), notes),
            Table(_SINGLE, "Jacobian norms of single experts along Top-2 trajectories", split),
            _gaps(norms, times),
        )
        lines = tuple(Series(r, times.tolist(), c.tolist()) for r, c in cumulative.items())
        return Answer(tables, (_plot(lines), _split_plot(split, times)))


def _range(values: Array) -> Array:
    """The interquartile range over samples, ``(..., n)`` to ``(...)``."""
    return np.asarray(np.subtract(*np.quantile(values, [0.75, 0.25], axis=-1)), dtype=np.float64)


def _cumulated(norms: Array, times: Array) -> Array:
    """The integral of the range over samples from the first time down to each, ``(..., n, T)`` to ``(..., T)``."""
    from scipy.integrate import cumulative_trapezoid

    return np.asarray(
        cumulative_trapezoid(_range(norms.swapaxes(-1, -2)), -times, initial=0, axis=-1), dtype=np.float64
    )


def _gaps(norms: Mapping[str, Array], times: Array) -> Table:
    """How far Top-2's cumulative range is from that of each other routing, half-way and at the end."""
    half = len(times) // 2

    def gaps(a: Array, b: Array) -> Array:
        gap = _cumulated(a, times) - _cumulated(b, times)
        return np.stack([gap[..., half], gap[..., -1], gap[..., -1] - gap[..., half]])

    rows: list[Row] = []
    for r, n in norms.items():
        if r != _SPLIT:
            first, whole, later = bootstrap_several(gaps, norms[_SPLIT], n)
            rows.append(
                {
                    "routing": r,
                    "t_half": float(times[half]),
                    "gap_half": first,
                    "t_end": float(times[-1]),
                    "gap_end": whole,
                    "gap_later": later,
                    "widening": widening(first, later),
                }
            )
    title = "The gap between the cumulative range of Top-2 and of the other routings"
    notes = (
        "Gaps are Top-2's minus the other's and have a sign. Intervals resample trajectories from the same noise "
        "together.",
        "widening: what the gap gains from half-way to the end in the direction that it has half-way. Where that "
        "direction is open, so is the sign of the widening: the size of a gap alone grows by chance, in most "
        "samples of no gap.",
    )
    return Table(_GAP, title, tuple(rows), notes)


def widening(first: Estimate, later: Estimate) -> Estimate:
    """The later gap, counted in the direction of the first one; both directions where the first holds 0."""
    ends = (later.value, later.low, later.high)
    turned = (-later.value, -later.high, -later.low)
    value, low, high = ends if first.value >= 0 else turned
    if math.isnan(first.low) or first.low <= 0 <= first.high:
        return Estimate(value, min(ends[1], turned[1]), max(ends[2], turned[2]))
    return Estimate(value, low, high)


def _split(recording: Recording, times: Array) -> tuple[Row, ...]:
    norms = recording.observed[_EXPERTS].double().numpy()
    selected = recording.observed[_WEIGHTS].numpy() > 0
    rows: list[Row] = []
    for i, t in enumerate(times):
        inside, outside = (
            np.where(mask[:, i], norms[:, i], 0).sum(axis=1) / mask[:, i].sum(axis=1) for mask in (selected, ~selected)
        )
        rows.append(
            {
                "t": float(t),
                "selected": mean_estimate(inside),
                "suppressed": mean_estimate(outside),
                "difference": mean_estimate(inside - outside),
                "inverse_t": float(1 / t),
            }
        )
    return tuple(rows)


def _plot(lines: tuple[Series, ...]) -> Plot:
    return Plot(
        "sensitivity-profile",
        "lines",
        "Cumulative interquartile range of the expert term's norm",
        "t (1 = noise, 0 = data)",
        "integral of the IQR from t = 0.9 down to t",
        lines,
        falling_x=True,
    )


def _split_plot(rows: Sequence[Row], times: Array) -> Plot:
    series = (banded(name, times.tolist(), [row[name] for row in rows]) for name in ("selected", "suppressed"))
    return Plot(
        "expert-jacobians",
        "lines",
        "Jacobian norms of selected and suppressed experts under Top-2 (mean, 95% interval)",
        "t (1 = noise, 0 = data)",
        "spectral norm",
        (*series, Series("1 / t (pixels that never vary)", times.tolist(), (1 / times).tolist())),
        falling_x=True,
    )
