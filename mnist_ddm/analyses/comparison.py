"""Does stability predict quality? Table 3, Figure 3 and footnote 1 of the paper."""

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np

from mnist_ddm.analyses.along import (
    TERM_NORMS,
    both_resolutions,
    effort_note,
    fixed_times,
    lipschitz,
    sd,
    step_refinement,
    strategies,
    term_norms,
)
from mnist_ddm.analyses.analysis import (
    Analysis,
    Answer,
    Need,
    Plot,
    Series,
    Settings,
    Table,
    Value,
    chosen_distance,
    chosen_features,
    fill,
    p_value,
    paper_values,
    sampling_of,
)
from mnist_ddm.analyses.quality import LONG, Quality, frechet_note, stored_frechet_distances
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.stats.intervals import Array, Estimate, bootstrap, mean_estimate, spearman_estimate
from mnist_ddm.stats.tests import spearman_p

_EVERY_STEP = "expert-term"
_FEW = 20
"""Samples whose maximum over all steps is measured: that costs a Jacobian norm at every step."""
_FOOTNOTE = ("top2", 50)
_AVERAGED = (("full", "top1"), ("full", "top2"), ("top2", "top1"))
"""Routings that average over more experts, and what they are compared with."""


@final
class RoutingComparison(Analysis):
    r"""The sensitivity :math:`L_{eff}`, the refinement error :math:`\Delta_{refine}` and the FID of each routing.

    :math:`L_{eff}` is the maximum of a Jacobian's spectral norm over t = 0.9, ..., 0.1, the same times for every
    routing and number of steps: a pixel that never varies has a velocity of slope 1 / t, so a maximum over all steps
    measures the step size. The paper's own maximum is given beside it.
    """

    @property
    def id(self) -> str:
        return "routing-comparison"

    @property
    def group(self) -> str:
        return "sensitivity"

    @property
    def question(self) -> str:
        return "Does stability predict quality? (Table 3, Figure 3)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=1000, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        chosen_distance(pool, settings)
        chosen_features(pool, settings)
        names = strategies(pool)
        runs = [need for r in names for need in both_resolutions(settings, r, (TERM_NORMS,))]
        few = [Need(_few(settings, r), (_EVERY_STEP,)) for r in names]
        stored = [Need(run, optional=True) for choices in _quality_runs(pool, settings).values() for run in choices]
        return (*runs, *few, *stored)

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        names = strategies(pool)
        found = {r: recordings[sampling_of(settings, r)] for r in names}
        norms = {r: term_norms(recording) for r, recording in found.items()}
        error = {r: step_refinement(pool, settings, recordings, r) for r in names}
        quality, quality_n = stored_frechet_distances(pool, recordings, _quality_runs(pool, settings), settings)
        times = fixed_times(found[names[0]])
        paper = paper_values(self.id, pool.name)
        rows = [_row(r, norms[r], error[r], quality, times, paper) for r in names]
        every = [_every_step(r, recordings[_few(settings, r)], norms[r]) for r in names]
        notes = (
            "L_eff: maximum over t = 0.9, ..., 0.1 of the expert term (the only reading that fits the paper's Table 3) "
            "and of the whole Jacobian (the paper's definition). A pixel that never varies alone makes it 1/t: "
            f"{1 / times.min():.3g} at the last of these times.",
            f"Delta_refine: {chosen_distance(pool, settings).name} distance of the images after {settings.steps} and "
            f"{2 * (settings.steps or 0)} steps from the same noise.",
            frechet_note(quality_n, settings),
            *_orders({r: float(values.mean()) for r, values in error.items()}, quality),
            effort_note(list(found.values())),
        )
        place = paper["place"]
        tables = [
            Table(
                self.id,
                f"Sensitivity and quality by routing, n = {settings.n}; paper: {place}",
                tuple(rows[0]),
                tuple(rows),
                notes,
            ),
            Table(
                f"{self.id}-every-step",
                "The maximum over every step of the expert term: the paper's wording",
                tuple(every[0]),
                tuple(every),
                (
                    "Where a pixel never varies an exact field has a norm of at least 1/t, so the maximum measures "
                    "the number of steps; a trained field can stay below that.",
                ),
            ),
        ]
        if len(pairs := [pair for pair in _AVERAGED if set(pair) <= set(names)]) > 0:
            tables.append(_chain(pairs, norms, error))
        if _FOOTNOTE[0] in names:
            tables.append(_footnote(norms[_FOOTNOTE[0]]["router"], error[_FOOTNOTE[0]], paper["footnote"]))
        return Answer(tuple(tables), _plots(norms, error, quality))


def _few(settings: Settings, routing: str) -> Sampling:
    run = sampling_of(settings, routing)
    return Sampling(routing, min(_FEW, run.n), run.seed, run.solver, run.steps)


def _quality_runs(pool: ExpertPool, settings: Settings) -> dict[str, list[Sampling]]:
    """For each routing its runs for quality: with the number asked for or the group's own, the interventions', ours."""
    sizes = dict.fromkeys((settings.quality_n, LONG, settings.n))
    choices = [Quality().runs(pool, Settings(n=n, steps=settings.quality_steps, seed=settings.seed)) for n in sizes]
    return {r: [runs[r] for runs in choices] for r in strategies(pool) if r in choices[0]}


def _row(
    routing: str,
    norms: Mapping[str, Array],
    error: Array,
    quality: Mapping[str, float],
    times: Array,
    paper: Mapping[str, Mapping[str, Value]],
) -> dict[str, Value]:
    expert, whole = lipschitz(norms["expert"]), lipschitz(norms["whole"])
    row: dict[str, Value] = {
        "routing": routing,
        "FID": quality.get(routing),
        "L_eff expert term": mean_estimate(expert),
        "L_eff expert term sd": sd(expert),
        "L_eff whole": mean_estimate(whole),
        "L_eff whole sd": sd(whole),
        "max t * expert term": mean_estimate(lipschitz(times * norms["expert"])),
        "max denoiser": mean_estimate(lipschitz(norms["denoiser"])),
        "Delta_refine": mean_estimate(error),
        "Delta_refine sd": sd(error),
        "Spearman(L_eff expert, Delta)": spearman_estimate(expert, error),
        "Spearman(L_eff whole, Delta)": spearman_estimate(whole, error),
    }
    columns = ("FID", "L_eff", "L_eff sd", "Delta_refine", "Delta_refine sd", "Spearman")
    return row | {f"paper {name}": paper.get(routing, {}).get(name) for name in columns}


def _every_step(routing: str, recording: Recording, norms: Mapping[str, Array]) -> dict[str, Value]:
    values = recording.observed[_EVERY_STEP][..., 0].double().numpy()
    n = len(values)
    where = recording.times.numpy()[values.argmax(axis=1)]
    return {
        "routing": routing,
        "n": n,
        "maximum over every step": mean_estimate(lipschitz(values)),
        "sd": sd(lipschitz(values)),
        "median t of the maximum": float(np.median(where)),
        "1/t at the last step": float(1 / recording.times[-1]),
        "maximum over t = 0.9, ..., 0.1": mean_estimate(lipschitz(norms["expert"][:n])),
    }


def _orders(error: Mapping[str, float], quality: Mapping[str, float]) -> list[str]:
    """The question of the table in two lists, if both are known."""
    known = [r for r in error if r in quality]
    if len(known) < 2:
        return []
    steady, good = (", ".join(sorted(known, key=lambda r: by[r])) for by in (error, quality))
    return [f"Smallest mean Delta_refine first: {steady}. Smallest FID first: {good}."]


def _chain(
    pairs: Sequence[tuple[str, str]], norms: Mapping[str, Mapping[str, Array]], error: Mapping[str, Array]
) -> Table:
    rows: list[dict[str, Value]] = []
    for more, fewer in pairs:
        largest = {
            (r, term): lipschitz(norms[r][term]) for r in (more, fewer) for term in ("expert", "whole", "denoiser")
        }
        row: dict[str, Value] = {"averages more": more, "than": fewer}
        for term in ("expert", "whole", "denoiser"):
            row[f"L_eff {term}, ratio"] = bootstrap(_ratio, largest[more, term], largest[fewer, term])
        row["Delta_refine, ratio"] = bootstrap(_ratio, error[more], error[fewer])
        change = np.log(largest[more, "whole"] / largest[fewer, "whole"])
        row["Spearman(change of L_eff whole, change of Delta)"] = spearman_estimate(change, error[more] - error[fewer])
        rows.append(row)
    notes = (
        "Section 4.1: averaging lowers the variance of velocities (experiment averaging-variance), that lowers the "
        "Jacobian, that lowers Delta_refine. A ratio of means under 1 is what the second and the third link expect.",
        "The last column asks the third link of each sample: where averaging lowered the norm more, did it lower "
        "Delta_refine more? Expected: positive.",
    )
    title = "Section 4.1's chain of claims: averaging, the Jacobian and the refinement error"
    return Table("averaging-chain", title, tuple(rows[0]), tuple(rows), notes)


def _ratio(more: Array, fewer: Array) -> float:
    return float(more.mean() / fewer.mean()) if fewer.mean() > 0 else float("nan")


def _footnote(router: Array, error: Array, paper: Mapping[str, Value]) -> Table:
    n = min(_FOOTNOTE[1], len(error))
    largest = lipschitz(router)[:n]
    row: dict[str, Value] = {
        "routing": _FOOTNOTE[0],
        "n": n,
        "Spearman(router term, Delta)": spearman_estimate(largest, error[:n]),
        "p": p_value(spearman_p(largest, error[:n])),
        "paper (Paris)": paper["Spearman"],
        "paper p": paper["p"],
    }
    title = "The router term's maximum against Delta_refine; paper: footnote 1"
    return Table("router-term-correlation", title, tuple(row), (row,))


def _plots(
    norms: Mapping[str, Mapping[str, Array]], error: Mapping[str, Array], quality: Mapping[str, float]
) -> tuple[Plot, ...]:
    names = list(norms)
    points = tuple(Series(r, lipschitz(norms[r]["expert"]).tolist(), error[r].tolist()) for r in names)
    means = [mean_estimate(error[r]) for r in names]
    plots = [
        Plot(
            "sensitivity-and-refinement",
            "points",
            "Each sample: sensitivity and refinement error",
            "L_eff, expert term",
            "Delta_refine",
            points,
            logarithmic=True,
        ),
        Plot(
            "refinement-error",
            "bars",
            "Refinement error by routing (mean, 95% interval)",
            "routing",
            "Delta_refine",
            (Series("", names, [e.value for e in means], [e.low for e in means], [e.high for e in means]),),
        ),
    ]
    if quality:
        known = [r for r in names if r in quality]
        stable: list[Estimate] = [mean_estimate(error[r]) for r in known]
        series = tuple(Series(r, [e.value], [quality[r]]) for r, e in zip(known, stable, strict=True))
        plots.append(
            Plot(
                "stability-and-quality",
                "points",
                "Stability and quality by routing (both: lower is better)",
                "mean Delta_refine",
                "FID",
                series,
                logarithmic=True,
            )
        )
    return tuple(plots)
