"""Can the full ensemble be rescued without retraining? Tables 7, 9 and 10 of the paper."""

from collections.abc import Mapping
from typing import final

import numpy as np

from mnist_ddm.analyses.along import (
    EXPERT_NORM,
    banded,
    both_resolutions,
    largest_expert_norm,
    sd,
    step_refinement,
)
from mnist_ddm.analyses.analysis import (
    Analysis,
    Answer,
    Need,
    Plot,
    Settings,
    Table,
    Value,
    chosen_distance,
    chosen_features,
    fill,
    paper_values,
    sampling_of,
)
from mnist_ddm.analyses.quality import frechet_note, long_runs, stored_frechet_distances
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.stats.intervals import Array, mean_estimate

TEMPERATURES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
SHARES = (0.8, 0.9, 1.0)
_FULL = "full"


def tempered(temperature: float) -> str:
    """The full ensemble at a temperature of the router."""
    return _FULL if temperature == 1 else f"{_FULL}@T={temperature:g}"


def truncated(share: float) -> str:
    """The full ensemble truncated to a share of the router's probability."""
    return _FULL if share == 1 else f"top-p={share:g}"


ROUTINGS = tuple(dict.fromkeys([*map(tempered, TEMPERATURES), *map(truncated, SHARES)]))


@final
class Rescue(Analysis):
    r"""The full ensemble with a sharper or flatter router, :math:`\mathrm{softmax}(z / T)`, and truncated by top-p."""

    @property
    def id(self) -> str:
        return "rescue"

    @property
    def group(self) -> str:
        return "interventions"

    @property
    def question(self) -> str:
        return "Can the full ensemble be rescued by temperature or truncation? (Tables 7, 9, 10)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=50, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        chosen_distance(pool, settings)
        chosen_features(pool, settings)
        runs = [need for r in ROUTINGS for need in both_resolutions(settings, r, (EXPERT_NORM, "weights"))]
        stored = [Need(run, optional=True) for run in long_runs(pool, settings, ROUTINGS).values()]
        return (*runs, *stored)

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        quality, quality_n = stored_frechet_distances(
            pool, recordings, {r: [run] for r, run in long_runs(pool, settings, ROUTINGS).items()}, settings
        )
        measured = {r: _measured(pool, settings, recordings, r) for r in ROUTINGS}
        rows = {r: {**_row(m), "FID": quality.get(r)} for r, m in measured.items()}
        paper = paper_values(self.id, pool.name)
        by_temperature = [
            {"T": t, **rows[tempered(t)], **_stated(paper, f"T={t:g}", ("entropy", "L_eff", "Delta_refine"))}
            for t in TEMPERATURES
        ]
        by_share = [
            {"p": p, **rows[truncated(p)], **_stated(paper, f"p={p:g}", ("L_eff", "Delta_refine"))} for p in SHARES
        ]
        best = min(TEMPERATURES, key=lambda t: float(measured[tempered(t)]["Delta_refine"].mean()))
        variants = (
            ("full", _FULL, "full"),
            (f"lowest Delta_refine of the temperatures (T = {best:g})", tempered(best), "best T"),
            ("top-p = 0.9", truncated(0.9), "p=0.9"),
        )
        summary = [
            {"variant": name, **rows[r], **_stated(paper, key, ("L_eff", "Delta_refine"))} for name, r, key in variants
        ]
        notes = (
            "entropy: of the weights, in nats, mean over samples and steps. L_eff: maximum over t = 0.9, ..., 0.1 of "
            f"the expert term. Delta_refine: {chosen_distance(pool, settings).name} distance.",
            frechet_note(quality_n, settings),
        )
        place = paper["place"]
        tables = (
            Table(
                self.id,
                f"The full ensemble without retraining, n = {settings.n}; paper: {place}",
                tuple(summary[0]),
                tuple(summary),
                notes,
            ),
            Table(
                "rescue-temperature",
                f"By the router's temperature, n = {settings.n}; paper: Table 9, on Paris (n = 100)",
                tuple(by_temperature[0]),
                tuple(by_temperature),
                ("T = 1 is the full ensemble.",),
            ),
            Table(
                "rescue-top-p",
                f"By top-p, n = {settings.n}; paper: Table 10, on Paris (n = 50)",
                tuple(by_share[0]),
                tuple(by_share),
                ("p = 1 is the full ensemble.",),
            ),
        )
        plots = (
            Plot(
                "rescue-temperature",
                "lines",
                "Refinement error of the full ensemble by temperature (mean, 95% interval)",
                "log2 of the router's temperature",
                "Delta_refine",
                (banded("full", np.log2(TEMPERATURES).tolist(), [row["Delta_refine"] for row in by_temperature]),),
            ),
        )
        return Answer(tables, plots)


def _measured(
    pool: ExpertPool, settings: Settings, recordings: Mapping[Visits, Recording], routing: str
) -> dict[str, Array]:
    recording = recordings[sampling_of(settings, routing)]
    weights = recording.observed["weights"].double().numpy()
    entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum(axis=2).mean(axis=1)
    return {
        "entropy": np.asarray(entropy, dtype=np.float64),
        "L_eff": largest_expert_norm(recording),
        "Delta_refine": step_refinement(pool, settings, recordings, routing),
    }


def _row(measured: Mapping[str, Array]) -> dict[str, Value]:
    row: dict[str, Value] = {}
    for name, values in measured.items():
        row |= {name: mean_estimate(values), f"{name} sd": sd(values)}
    return row


def _stated(paper: Mapping[str, Mapping[str, Value]], key: str, names: tuple[str, ...]) -> dict[str, Value]:
    return {f"paper {name}": paper.get(key, {}).get(name) for name in names}
