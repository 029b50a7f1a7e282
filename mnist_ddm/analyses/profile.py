"""How much does sensitivity vary between trajectories, and between experts? Figure 2 of the paper."""

from collections.abc import Mapping
from typing import final

import numpy as np
from scipy.integrate import cumulative_trapezoid

from mnist_ddm.analyses.along import (
    TERM_NORMS,
    banded,
    effort_note,
    fixed_times,
    strategies,
    term_norms,
)
from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Plot, Series, Settings, Table, Value, fill, sampling_of
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Array, bootstrap_batched, mean_estimate

ROUTINGS = (MONOLITH, "top1", "top2", "full")
_SPLIT = "top2"
_EXPERTS, _WEIGHTS = "expert-jacobians@tenths", "weights@tenths"


@final
class SensitivityProfile(Analysis):
    r"""The interquartile range over samples of the expert term, cumulated from t = 0.9 downward.

    And, along Top-2 trajectories, the norms of the Jacobians of selected and of suppressed experts (Section G.3).
    """

    @property
    def id(self) -> str:
        return "sensitivity-profile"

    @property
    def group(self) -> str:
        return "sensitivity"

    @property
    def question(self) -> str:
        return "How much does sensitivity vary between trajectories, and between experts? (Figure 2)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=20, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        if pool.n_experts < 3:
            raise InputError(f"{self.id} compares selected with other experts under Top-2 and needs at least 3 experts")
        runs = tuple(Need(sampling_of(settings, r), (TERM_NORMS,)) for r in strategies(pool, ROUTINGS))
        return (*runs, Need(sampling_of(settings, _SPLIT), (_EXPERTS, _WEIGHTS)))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        found = {r: recordings[sampling_of(settings, r)] for r in strategies(pool, ROUTINGS)}
        times = fixed_times(found[_SPLIT])
        norms = {r: term_norms(recording)["expert"] for r, recording in found.items()}
        cumulative = {r: _cumulated(n, times) for r, n in norms.items()}
        rows: list[dict[str, Value]] = []
        for i, t in enumerate(times):
            row: dict[str, Value] = {"t": float(t)}
            row |= {f"IQR {r}": bootstrap_batched(_range, n[:, i]) for r, n in norms.items()}
            rows.append(row | {f"cumulative {r}": float(c[i]) for r, c in cumulative.items()})
        split = _split(found[_SPLIT], times)
        notes = (
            "The paper: the cumulative range of Top-2 lies apart from the others', and more so as denoising "
            "progresses; its values are not stated.",
            effort_note(list(found.values())),
        )
        title = f"Interquartile range over samples of the expert term's norm, n = {settings.n}; paper: Figure 2"
        tables = (
            Table(self.id, title, tuple(rows[0]), tuple(rows), notes),
            Table(
                "expert-jacobians",
                "Jacobian norms of single experts along Top-2 trajectories",
                tuple(split[0]),
                tuple(split),
            ),
            _gaps(norms, times),
        )
        lines = tuple(Series(r, times.tolist(), c.tolist()) for r, c in cumulative.items())
        return Answer(tables, (_plot(lines), _split_plot(split, times)))


def _range(values: Array) -> Array:
    """The interquartile range over samples, ``(..., n)`` to ``(...)``."""
    return np.asarray(np.subtract(*np.quantile(values, [0.75, 0.25], axis=-1)), dtype=np.float64)


def _cumulated(norms: Array, times: Array) -> Array:
    """The integral of the range over samples from the first time down to each, ``(..., n, T)`` to ``(..., T)``."""
    return np.asarray(
        cumulative_trapezoid(_range(norms.swapaxes(-1, -2)), -times, initial=0, axis=-1), dtype=np.float64
    )


def _gaps(norms: dict[str, Array], times: Array) -> Table:
    """How far Top-2's cumulative range is from that of each other routing, half-way and at the end."""
    half = len(times) // 2

    def gap(a: Array, b: Array, i: int) -> Array:
        return np.abs(_cumulated(a, times)[..., i] - _cumulated(b, times)[..., i])

    rows: list[dict[str, Value]] = [
        {
            "Top-2 against": r,
            f"gap at t = {times[half]:.2g}": float(gap(norms[_SPLIT], n, half)),
            f"gap at t = {times[-1]:.2g}": float(gap(norms[_SPLIT], n, -1)),
            "widening": bootstrap_batched(lambda a, b: gap(a, b, -1) - gap(a, b, half), norms[_SPLIT], n),
        }
        for r, n in norms.items()
        if r != _SPLIT
    ]
    title = "Size of the gap between the cumulative range of Top-2 and of the other routings"
    notes = ("Intervals resample trajectories from the same noise together; the size of a gap is never negative.",)
    return Table("sensitivity-profile-gap", title, tuple(rows[0]), tuple(rows), notes)


def _split(recording: Recording, times: Array) -> list[dict[str, Value]]:
    norms = recording.observed[_EXPERTS].double().numpy()
    selected = recording.observed[_WEIGHTS].numpy() > 0
    rows: list[dict[str, Value]] = []
    for i, t in enumerate(times):
        inside, outside = (
            np.where(mask[:, i], norms[:, i], 0).sum(axis=1) / mask[:, i].sum(axis=1) for mask in (selected, ~selected)
        )
        rows.append(
            {
                "t": float(t),
                "selected": mean_estimate(inside),
                "suppressed": mean_estimate(outside),
                "selected - suppressed": mean_estimate(inside - outside),
                "1/t": float(1 / t),
            }
        )
    return rows


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


def _split_plot(rows: list[dict[str, Value]], times: Array) -> Plot:
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
