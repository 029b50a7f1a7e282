"""Does the sampler converge as the steps get smaller? Proposition E.1, Definition C.3 and Appendix D of the paper."""

from collections.abc import Mapping
from typing import final

import numpy as np

from mnist_ddm.analyses.along import TERM_NORMS, lipschitz, sd, strategies, term_norms
from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Plot, Series, Settings, Table, Value, fill, sampling_of
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.sensitivity import jumps
from mnist_ddm.core.solvers import solver_named
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.stats.intervals import Array, bootstrap, mean_estimate

ROUTINGS = (MONOLITH, "top1", "top2", "full")
_REFINEMENTS = (1, 2, 4, 8)
"""Each coarse step is cut into this many; the reference into `_FINE` times as many."""
_FINE = 32
_EPSILON = 0.05
"""Of the state's root mean square: an error that can be seen."""
_DELTAS = (0.5, 0.25, 0.1, 0.05, 0.01)
_TRAJECTORIES = 20
"""A reference of 320 steps makes a trajectory here as dear as a dozen elsewhere; more samples only serve L(delta)."""
_GRID_ROUTING, _GRID_SAMPLES, _GRID_NORM = "top2", 10, "expert-term"


@final
class Convergence(Analysis):
    r"""The global error :math:`e_N` against a fine reference at h, h/2, h/4, h/8, and what it depends on.

    Measured at the last time of the coarsest grid: after it the coarse run has only its Euler step into t = 0.
    Trajectories that cross a switch of experts are reported apart, because Proposition E.1 assumes a Lipschitz field.
    """

    @property
    def id(self) -> str:
        return "convergence"

    @property
    def group(self) -> str:
        return "sensitivity"

    @property
    def question(self) -> str:
        return "Does the sampler converge as the steps get smaller? (Proposition E.1, Definition C.3, Appendix D)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=100, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        needs = []
        for r in strategies(pool, ROUTINGS):
            needs += [Need(_run(settings, r, refine), ("x",)) for refine in _REFINEMENTS]
            reference = ("x",) if r == MONOLITH else ("x", "weights")
            needs += [Need(_run(settings, r, _FINE), reference), Need(sampling_of(settings, r), (TERM_NORMS,))]
        if _GRID_ROUTING in strategies(pool, ROUTINGS):
            needs += [Need(run, (_GRID_NORM,)) for run in _grid_runs(settings)]
        return tuple(needs)

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        names = strategies(pool, ROUTINGS)
        rows: list[dict[str, Value]] = []
        series = []
        for r in names:
            error, scale = _errors(recordings, settings, r)
            crossed = _crossed(recordings[_run(settings, r, _FINE)])
            for kind, mask in (("no", ~crossed), ("yes", crossed)):
                if mask.any():
                    rows += _rows(r, kind, error[:, mask], scale[mask], settings)
            series.append(
                Series(r, [1 / _run(settings, r, m).grid.size for m in _REFINEMENTS], error.mean(axis=1).tolist())
            )
        quantiles = _quantiles(recordings, settings, names)
        notes = (
            f"Against {_run(settings, names[0], _FINE).grid.size} steps from the same noise, at "
            f"t = {_last_time(settings):.3g}. Error: Euclidean norm of the difference of states.",
            f"order: log2 of the error's factor from the row above; {settings.solver}'s is "
            f"{solver_named(settings.solver).order} on a smooth field.",
            f"epsilon = {_EPSILON} times the norm of the state.",
            "switch: whether an expert with weight appears or disappears along the reference trajectory.",
        )
        tables = [
            Table(
                self.id,
                f"Global error by step size, n = {_run(settings, names[0], 1).n}",
                tuple(rows[0]),
                tuple(rows),
                notes,
            ),
            Table(
                "sensitivity-quantiles",
                "L(delta): the bound that L_eff keeps with probability 1 - delta "
                f"(expert term, t = 0.9, ..., 0.1, n = {settings.n})",
                tuple(quantiles[0]),
                tuple(quantiles),
                ("Definition C.3; quantiles of few samples end at their maximum.",),
            ),
        ]
        if _GRID_ROUTING in names:
            tables.append(_grid_table(recordings, settings))
        return Answer(tuple(tables), (_plot(series), _quantile_plot(quantiles, names)))


def _coarse_steps(settings: Settings) -> int:
    """A fifth of the usual number, so that the coarsest grid is coarse."""
    assert settings.steps is not None
    return max(2, settings.steps // 5)


def _run(settings: Settings, routing: str, refine: int) -> Sampling:
    assert settings.n is not None
    n = min(settings.n, _TRAJECTORIES)
    return Sampling(routing, n, settings.seed, settings.solver, _coarse_steps(settings), refine)


def _grid_runs(settings: Settings) -> list[Sampling]:
    assert settings.n is not None
    assert settings.steps is not None
    n, steps = min(_GRID_SAMPLES, settings.n), settings.steps
    return [Sampling(_GRID_ROUTING, n, settings.seed, settings.solver, steps, refine) for refine in (1, 2, 4)]


def _last_time(settings: Settings) -> float:
    return 1 / _coarse_steps(settings)


def _state(recording: Recording, t: float) -> Array:
    where = int((recording.times - t).abs().argmin())
    return np.asarray(recording.observed["x"][:, where].flatten(1).double().numpy(), dtype=np.float64)


def _errors(recordings: Mapping[Visits, Recording], settings: Settings, routing: str) -> tuple[Array, Array]:
    """The error of each refinement ``(R, n)`` and the norm of the reference state ``(n,)``."""
    t = _last_time(settings)
    reference = _state(recordings[_run(settings, routing, _FINE)], t)
    found = [_state(recordings[_run(settings, routing, m)], t) for m in _REFINEMENTS]
    return np.stack([np.linalg.norm(x - reference, axis=1) for x in found]), np.linalg.norm(reference, axis=1)


def _crossed(recording: Recording) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each trajectory crosses a switch of experts."""
    if "weights" not in recording.observed:
        return np.zeros(recording.visits.n, dtype=np.bool_)
    weights = recording.observed["weights"]
    steps = [jumps(weights[:, i], weights[:, i + 1]).numpy() for i in range(weights.shape[1] - 1)]
    return np.asarray(np.any(steps, axis=0), dtype=np.bool_)


def _rows(routing: str, switch: str, error: Array, scale: Array, settings: Settings) -> list[dict[str, Value]]:
    rows: list[dict[str, Value]] = []
    for i, refine in enumerate(_REFINEMENTS):
        row: dict[str, Value] = {"routing": routing, "switch": switch, "n": error.shape[1]}
        row["steps"] = _run(settings, routing, refine).grid.size
        row["mean error"] = mean_estimate(error[i])
        row["largest error"] = float(error[i].max())
        row["above epsilon (%)"] = mean_estimate(100.0 * (error[i] > _EPSILON * scale))
        row["order"] = bootstrap(_order, error[i - 1], error[i]) if i else None
        rows.append(row)
    return rows


def _order(coarse: Array, fine: Array) -> float:
    return float(np.log2(coarse.sum() / fine.sum())) if fine.sum() > 0 and coarse.sum() > 0 else float("nan")


def _quantiles(recordings: Mapping[Visits, Recording], settings: Settings, names: list[str]) -> list[dict[str, Value]]:
    largest = {r: lipschitz(term_norms(recordings[sampling_of(settings, r)])["expert"]) for r in names}
    return [{"delta": d, **{r: float(np.quantile(v, 1 - d)) for r, v in largest.items()}} for d in _DELTAS]


def _grid_table(recordings: Mapping[Visits, Recording], settings: Settings) -> Table:
    rows: list[dict[str, Value]] = []
    for run in _grid_runs(settings):
        recording = recordings[run]
        norms = recording.observed[_GRID_NORM][..., 0].double().numpy()
        weighted = norms * recording.times.numpy()
        row: dict[str, Value] = {"routing": run.routing, "n": run.n, "steps": run.grid.size}
        row |= {"maximum over every step": mean_estimate(lipschitz(norms)), "sd": sd(lipschitz(norms))}
        row |= {
            "1/t at the last step": float(1 / recording.times[-1]),
            "max t * norm": mean_estimate(lipschitz(weighted)),
        }
        rows.append(row)
    notes = (
        "Appendix D lets the grid maximum converge as the steps get smaller, for a field whose norm is Lipschitz in t. "
        "Where a pixel never varies an exact field has a norm of at least 1/t, and the maximum doubles with the number "
        "of steps; a trained one can stay below that.",
    )
    return Table(
        "grid-maximum", "The maximum of the expert term's norm under refinement", tuple(rows[0]), tuple(rows), notes
    )


def _plot(series: list[Series]) -> Plot:
    return Plot(
        "convergence",
        "lines",
        "Global error against step size (mean over samples)",
        "step size h",
        "error at the last common time",
        tuple(series),
        logarithmic=True,
    )


def _quantile_plot(rows: list[dict[str, Value]], names: list[str]) -> Plot:
    deltas = [float(d) for row in rows if isinstance(d := row["delta"], float)]
    series = tuple(Series(r, deltas, [float(v) for row in rows if isinstance(v := row[r], float)]) for r in names)
    return Plot(
        "sensitivity-quantiles",
        "lines",
        "L(delta): with probability 1 - delta, L_eff is below the line",
        "delta",
        "L(delta), expert term",
        series,
    )
