"""Does the sampler converge as the steps get smaller? Proposition E.1, Definition C.3 and Appendix D of the paper."""

import math
from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import ROUTING, YES_NO, N, mean_and_sd, number_key, with_sd
from mnist_ddm.analyses.settings import SamplingSettings
from mnist_ddm.analyses.stability import TERM_NORMS, lipschitz, term_norms
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.sensitivity import jumps
from mnist_ddm.core.solvers import solver_named
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.stats.intervals import Array, Estimate, mean_estimate, ratio_estimate, share_estimate
from mnist_ddm.stats.shares import in_percent
from mnist_ddm.stats.tails import median_ratio_estimate
from mnist_ddm.tables.table import PERCENT, RATIO, Column, Row, Schema, Table

ROUTINGS = (MONOLITH, "top1", "top2", "full")
_REFINEMENTS = (1, 2, 4, 8)
"""Each coarse step is cut into this many; the reference into `_FINE` times as many."""
_FINE = 32
_EPSILON = 0.05
"""An error that can be seen, as a share of the norm of the state."""
_MIN_TRAJECTORIES = 5
"""Of one kind, for an order: one or two trajectories say nothing of how errors fall, whatever n is."""
_DELTAS = (0.5, 0.25, 0.1, 0.05, 0.01)
_TRAJECTORIES = 20
"""A reference of 320 steps makes a trajectory here as dear as a dozen elsewhere; more samples only serve L(delta)."""
_GRID_ROUTING, _GRID_SAMPLES, _GRID_NORM = "top2", 10, "expert-term"
_GRID_REFINEMENTS = (1, 2, 4)
"""What the maximum over every step is measured for: N, 2N and 4N steps."""
_STEPS = Column("steps", "steps", "note")
_MAX_EVERY_STEP = Column("max_every_step", "maximum over every step")
_TABLE = Schema(
    "convergence",
    (
        ROUTING,
        Column("switch", "switch", "key", values=YES_NO),
        number_key("refinement", "refinement", _REFINEMENTS),
        _STEPS,
        N,
        Column("mean_error", "mean error"),
        Column("largest_error", "largest error"),
        Column("above_epsilon", "above epsilon", unit="%", kind=PERCENT),
        Column("order", "order"),
    ),
)
_QUANTILES = Schema(
    "sensitivity-quantiles", (number_key("delta", "delta", _DELTAS), ROUTING, Column("bound", "L(delta)"))
)
_GRID = Schema(
    "grid-maximum",
    (
        ROUTING,
        number_key("refinement", "refinement", _GRID_REFINEMENTS),
        _STEPS,
        N,
        *with_sd(_MAX_EVERY_STEP),
        Column("max_ratio", "ratio to half as many steps", kind=RATIO, optional=True),
        Column("max_ratio_median", "median of the samples' ratios to half as many steps", kind=RATIO, optional=True),
        Column("last_inverse_t", "1/t at the last step", "note"),
        Column("max_t_norm", "max t * norm"),
    ),
)


@final
class Convergence(Analysis[SamplingSettings]):
    r"""The global error :math:`e_N` against a fine reference at h, h/2, h/4, h/8, and what it depends on.

    Measured at the last time of the coarsest grid: after it the coarse trajectory has only its Euler step into t = 0.
    Trajectories that cross a switch of experts are reported apart, because Proposition E.1 assumes a Lipschitz field.
    """

    id = "convergence"
    group = "sensitivity"
    question = "Does the sampler converge as the steps get smaller? (Proposition E.1, Definition C.3, Appendix D)"
    tables = (_TABLE, _QUANTILES, _GRID)
    compares = True
    sizes = Sizes(
        small=SamplingSettings(n=4, steps=4),
        medium=SamplingSettings(n=50),
        full=SamplingSettings(n=100),
    )

    def needs(self, pool: ExpertPool, settings: SamplingSettings) -> tuple[Need, ...]:
        needs = []
        for r in settings.compared(pool, ROUTINGS):
            needs += [Need(_cut(settings, r, refinement), ("x",)) for refinement in _REFINEMENTS]
            reference = ("x",) if r == MONOLITH else ("x", "weights")
            needs += [Need(_cut(settings, r, _FINE), reference), Need(settings.sampling(r), (TERM_NORMS,))]
        if _GRID_ROUTING in settings.compared(pool, ROUTINGS):
            needs += [Need(_grid(settings, refinement), (_GRID_NORM,)) for refinement in _GRID_REFINEMENTS]
        return tuple(needs)

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: SamplingSettings) -> Answer:
        names = settings.compared(pool, ROUTINGS)
        rows: list[Row] = []
        series = []
        for r in names:
            error, scale = _errors(recordings, settings, r)
            crossed = _crossed(recordings[_cut(settings, r, _FINE)])
            for switch, mask in (("no", ~crossed), ("yes", crossed)):
                if mask.any():
                    rows += _rows(r, switch, error[:, mask], scale[mask], settings)
            step_sizes = [1 / _cut(settings, r, refinement).grid.size for refinement in _REFINEMENTS]
            series.append(Series(r, step_sizes, error.mean(axis=1).tolist()))
        notes = (
            f"Against {_cut(settings, names[0], _FINE).grid.size} steps from the same noise, at "
            f"t = {_last_time(settings):.3g}. Error: Euclidean norm of the difference of states.",
            f"order: log2 of the error's factor from the row above; {settings.solver}'s is "
            f"{solver_named(settings.solver).order} on a smooth field. Of fewer than {_MIN_TRAJECTORIES} trajectories "
            "of a kind none is given.",
            f"epsilon = {_EPSILON} times the norm of the state.",
            "switch: whether an expert with weight appears or disappears along the reference trajectory.",
        )
        title = f"Global error by step size, n = {_cut(settings, names[0], 1).n}"
        quantiles = _quantiles(recordings, settings, names)
        tables = [Table(_TABLE, title, tuple(rows), notes), quantiles]
        if _GRID_ROUTING in names:
            tables.append(_grid_table(recordings, settings))
        return Answer(tuple(tables), (_plot(series), _quantile_plot(quantiles, names)))


def _coarse_steps(settings: SamplingSettings) -> int:
    """A fifth of the usual number, so that the coarsest grid is coarse."""
    return max(2, settings.steps // 5)


def _cut(settings: SamplingSettings, routing: str, refinement: int) -> Sampling:
    """The trajectories whose coarse steps are cut into so many."""
    n = min(settings.n, _TRAJECTORIES)
    return Sampling(routing, n, settings.seed, settings.solver, _coarse_steps(settings), refinement)


def _grid(settings: SamplingSettings, refinement: int) -> Sampling:
    """The trajectories whose N steps are cut into so many."""
    n = min(_GRID_SAMPLES, settings.n)
    return Sampling(_GRID_ROUTING, n, settings.seed, settings.solver, settings.steps, refinement)


def _last_time(settings: SamplingSettings) -> float:
    return 1 / _coarse_steps(settings)


def _state(recording: Recording, t: float) -> Array:
    where = int((recording.times - t).abs().argmin())
    return np.asarray(recording.observed["x"][:, where].flatten(1).double().numpy(), dtype=np.float64)


def _errors(recordings: Mapping[Visits, Recording], settings: SamplingSettings, routing: str) -> tuple[Array, Array]:
    """The error of each refinement ``(R, n)`` and the norm of the reference state ``(n,)``."""
    t = _last_time(settings)
    reference = _state(recordings[_cut(settings, routing, _FINE)], t)
    states = [_state(recordings[_cut(settings, routing, refinement)], t) for refinement in _REFINEMENTS]
    return np.stack([np.linalg.norm(x - reference, axis=1) for x in states]), np.linalg.norm(reference, axis=1)


def _crossed(recording: Recording) -> NDArray[np.bool_]:
    """Whether each trajectory crosses a switch of experts, shape ``(n,)``."""
    if "weights" not in recording.observed:
        return np.zeros(recording.visits.n, dtype=np.bool_)
    weights = recording.observed["weights"]
    steps = [jumps(weights[:, i], weights[:, i + 1]).numpy() for i in range(weights.shape[1] - 1)]
    return np.asarray(np.any(steps, axis=0), dtype=np.bool_)


def _rows(routing: str, switch: str, error: Array, scale: Array, settings: SamplingSettings) -> list[Row]:
    return [
        {
            "routing": routing,
            "switch": switch,
            "refinement": refinement,
            "steps": _cut(settings, routing, refinement).grid.size,
            "n": error.shape[1],
            "mean_error": mean_estimate(error[i]),
            "largest_error": float(error[i].max()),
            "above_epsilon": in_percent(share_estimate(error[i] > _EPSILON * scale)),
            "order": _order(error[i - 1], error[i]) if i and error.shape[1] >= _MIN_TRAJECTORIES else None,
        }
        for i, refinement in enumerate(_REFINEMENTS)
    ]


def _order(coarse: Array, fine: Array) -> Estimate | None:
    factor = ratio_estimate(coarse, fine)
    return None if math.isnan(factor.value) else Estimate(*map(math.log2, (factor.value, factor.low, factor.high)))


def _quantiles(recordings: Mapping[Visits, Recording], settings: SamplingSettings, names: Sequence[str]) -> Table:
    largest = {r: lipschitz(term_norms(recordings[settings.sampling(r)])["expert"]) for r in names}
    rows: list[Row] = [
        {"delta": delta, "routing": r, "bound": float(np.quantile(values, 1 - delta))}
        for delta in _DELTAS
        for r, values in largest.items()
    ]
    title = (
        "L(delta): the bound that L_eff keeps with probability 1 - delta "
        f"(expert term, t = 0.9, ..., 0.1, n = {settings.n})"
    )
    return Table(_QUANTILES, title, tuple(rows), ("Definition C.3; quantiles of few samples end at their maximum.",))


def _grid_table(recordings: Mapping[Visits, Recording], settings: SamplingSettings) -> Table:
    rows: list[Row] = []
    coarser: Array | None = None
    for refinement in _GRID_REFINEMENTS:
        sampling = _grid(settings, refinement)
        recording = recordings[sampling]
        norms = recording.observed[_GRID_NORM][..., 0].double().numpy()
        largest = lipschitz(norms)
        beside: Row = (
            {}
            if coarser is None
            else {
                "max_ratio": ratio_estimate(largest, coarser),
                "max_ratio_median": median_ratio_estimate(largest, coarser),
            }
        )
        coarser = largest
        rows.append(
            {
                "routing": sampling.routing,
                "refinement": refinement,
                "steps": sampling.grid.size,
                "n": sampling.n,
                **mean_and_sd(_MAX_EVERY_STEP, largest),
                **beside,
                "last_inverse_t": float(1 / recording.times[-1]),
                "max_t_norm": mean_estimate(lipschitz(norms * recording.times.numpy())),
            }
        )
    notes = (
        "Appendix D lets the grid maximum converge as the steps get smaller, for a field whose norm is Lipschitz in t. "
        "Where a pixel never varies an exact field has a norm of at least 1/t, and the maximum doubles with the number "
        "of steps; a trained one can stay below that.",
    )
    return Table(_GRID, "The maximum of the expert term's norm under refinement", tuple(rows), notes)


def _plot(series: Sequence[Series]) -> Plot:
    return Plot(
        "convergence",
        "lines",
        "Global error against step size (mean over samples)",
        "step size h",
        "error at the last common time",
        tuple(series),
        logarithmic=True,
    )


def _quantile_plot(quantiles: Table, names: Sequence[str]) -> Plot:
    bounds = {r: [v for row in quantiles.select(routing=r) if isinstance(v := row["bound"], float)] for r in names}
    return Plot(
        "sensitivity-quantiles",
        "lines",
        "L(delta): with probability 1 - delta, L_eff is below the line",
        "delta",
        "L(delta), expert term",
        tuple(Series(r, _DELTAS, values) for r, values in bounds.items()),
    )
