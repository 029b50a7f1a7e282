"""Can the full ensemble be rescued without retraining? Tables 7, 9 and 10 of the paper."""

from collections.abc import Mapping
from typing import final

import numpy as np

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import (
    FID,
    L_EFF,
    L_EFF_RATIO,
    L_EFF_RATIO_MEDIAN,
    REFINEMENT,
    ROUTING,
    VISIBLE_CHANGE,
    against_full,
    mean_and_sd,
    norm_cells,
    number_key,
    of_norm,
    paper_cells,
    paper_columns,
    refinement_cells,
    refinement_note,
    with_sd,
)
from mnist_ddm.analyses.paper import paper_values
from mnist_ddm.analyses.quality import LONG, frechet_note, long_samplings, stored_floor, stored_frechet_distances
from mnist_ddm.analyses.settings import JoinedSettings
from mnist_ddm.analyses.stability import (
    EXPERT_NORM,
    both_resolutions,
    largest_expert_norm,
    step_refinement,
    visible_error,
)
from mnist_ddm.analyses.systems import distance_named, features_named, with_experts
from mnist_ddm.core.measures import Distance
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.figures.plot import Plot, banded
from mnist_ddm.stats.intervals import Array
from mnist_ddm.stats.summaries import entropy
from mnist_ddm.stats.tails import heavy_ratio_estimate
from mnist_ddm.tables.table import RATIO, Column, Row, Schema, Table

TEMPERATURES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
SHARES = (0.8, 0.9, 1.0)
_FULL = "full"
_TRUNCATED = 0.9
"""The share of the paper's Table 7."""


def tempered(temperature: float) -> str:
    """The full ensemble at a temperature of the router."""
    return _FULL if temperature == 1 else f"{_FULL}@T={temperature:g}"


def truncated(share: float) -> str:
    """The full ensemble truncated to a share of the router's probability."""
    return _FULL if share == 1 else f"top-p={share:g}"


ROUTINGS = tuple(dict.fromkeys([*map(tempered, TEMPERATURES), *map(truncated, SHARES)]))

_ENTROPY = Column("entropy", "entropy")
_RATIO = Column("ratio_to_full", "Delta_refine, ratio to T = 1", kind=RATIO)
_MEASURES = (
    *with_sd(_ENTROPY),
    *of_norm(L_EFF),
    *REFINEMENT,
    _RATIO,
    L_EFF_RATIO,
    L_EFF_RATIO_MEDIAN,
    VISIBLE_CHANGE,
    FID,
)
_PAPER = {"l_eff": "L_eff", "delta_refine": "Delta_refine"}
_PAPER_TEMPERATURE = {"entropy": "entropy", **_PAPER}
_VARIANTS = {
    "full": "full",
    "best_temperature": "lowest Delta_refine of the temperatures",
    f"top_p_{_TRUNCATED}": f"top-p = {_TRUNCATED}",
}
_SUMMARY = Schema(
    "rescue",
    (
        Column("variant", "variant", "key", values=_VARIANTS),
        Column("t_router", "T", "note"),
        *_MEASURES,
        *paper_columns(_PAPER),
    ),
)
_BY_TEMPERATURE = Schema(
    "rescue-temperature",
    (number_key("t_router", "T", TEMPERATURES), *_MEASURES, *paper_columns(_PAPER_TEMPERATURE)),
)
_BY_SHARE = Schema("rescue-top-p", (number_key("p", "p", SHARES), *_MEASURES, *paper_columns(_PAPER)))
_OWN = Schema("rescue-routings", (ROUTING, *_MEASURES))


@final
class Rescue(Analysis[JoinedSettings]):
    r"""The full ensemble with a sharper or flatter router, :math:`\mathrm{softmax}(z / T)`, and truncated by top-p."""

    id = "rescue"
    group = "interventions"
    question = "Can the full ensemble be rescued by temperature or truncation? (Tables 7, 9, 10)"
    tables = (_SUMMARY, _BY_TEMPERATURE, _BY_SHARE)
    compares = True
    own_tables = (_OWN,)
    sizes = Sizes(
        small=JoinedSettings(n=4, steps=4, quality_n=16, quality_steps=10),
        medium=JoinedSettings(n=30, quality_n=200),
        full=JoinedSettings(n=50),
    )

    def needs(self, pool: ExpertPool, settings: JoinedSettings) -> tuple[Need, ...]:
        distance_named(pool, settings.distance)
        features_named(pool, settings.features)
        names = tuple(dict.fromkeys((*ROUTINGS, *with_experts(self.id, settings.routings))))
        samplings = [settings.sampling(r) for r in names]
        measured = [need for s in samplings for need in both_resolutions(s, EXPERT_NORM, "weights")]
        stored = long_samplings(pool, settings, names).values()
        return (*measured, *(Need(sampling, optional=True) for sampling in stored))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: JoinedSettings) -> Answer:
        distance = distance_named(pool, settings.distance)
        names = tuple(dict.fromkeys((*ROUTINGS, *settings.routings)))
        measured = {r: _measured(pool, recordings, settings.sampling(r), distance) for r in names}
        event = visible_error(pool, recordings[settings.sampling(_FULL)], distance)
        stored = {r: [sampling] for r, sampling in long_samplings(pool, settings, names).items()}
        quality, quality_n = stored_frechet_distances(pool, recordings, stored, settings.features)
        least = settings.quality_n or LONG
        cells = {r: {**_cells(values, measured[_FULL], event), "fid": quality.get(r)} for r, values in measured.items()}
        paper = paper_values(self.id, pool.in_paper)
        by_temperature: list[Row] = [
            {"t_router": t, **cells[tempered(t)], **paper_cells(paper.get(f"T={t:g}", {}), _PAPER_TEMPERATURE)}
            for t in TEMPERATURES
        ]
        by_share: list[Row] = [
            {"p": p, **cells[truncated(p)], **paper_cells(paper.get(f"p={p:g}", {}), _PAPER)} for p in SHARES
        ]
        best = min(TEMPERATURES, key=lambda t: float(measured[tempered(t)]["delta_refine"].mean()))
        chosen = (
            (1.0, _FULL, "full"),
            (best, tempered(best), "best T"),
            (1.0, truncated(_TRUNCATED), f"p={_TRUNCATED}"),
        )
        summary: list[Row] = [
            {"variant": variant, "t_router": t, **cells[r], **paper_cells(paper.get(stated, {}), _PAPER)}
            for variant, (t, r, stated) in zip(_VARIANTS, chosen, strict=True)
        ]
        notes = (
            "entropy: of the weights, in nats, mean over samples and steps. L_eff: maximum over t = 0.9, ..., 0.1 of "
            f"the expert term. Delta_refine: {distance.name} distance.",
            refinement_note(event),
            frechet_note(quality_n, settings.quality_steps, least, stored_floor(pool, settings.features, quality_n)),
        )
        tables = [
            Table(
                _SUMMARY,
                f"The full ensemble without retraining, n = {settings.n}; paper: {paper['place']}",
                tuple(summary),
                notes,
            ),
            Table(
                _BY_TEMPERATURE,
                f"By the router's temperature, n = {settings.n}; paper: Table 9, on Paris (n = 100)",
                tuple(by_temperature),
                ("T = 1 is the full ensemble.",),
            ),
            Table(
                _BY_SHARE,
                f"By top-p, n = {settings.n}; paper: Table 10, on Paris (n = 50)",
                tuple(by_share),
                ("p = 1 is the full ensemble.",),
            ),
        ]
        if settings.routings:
            own: list[Row] = [{"routing": r, **cells[r]} for r in settings.routings]
            tables.append(Table(_OWN, f"The same of the chosen routings, n = {settings.n}", tuple(own), notes))
        plot = Plot(
            "rescue-temperature",
            "lines",
            "Refinement error of the full ensemble by temperature (mean, 95% interval)",
            "log2 of the router's temperature",
            "Delta_refine",
            (banded("full", np.log2(TEMPERATURES).tolist(), [row["delta_refine"] for row in by_temperature]),),
        )
        return Answer(tuple(tables), (plot,))


def _measured(
    pool: ExpertPool, recordings: Mapping[Visits, Recording], sampling: Sampling, distance: Distance
) -> dict[str, Array]:
    recording = recordings[sampling]
    weights = recording.observed["weights"].double().numpy()
    return {
        "entropy": np.asarray(entropy(weights).mean(axis=1), dtype=np.float64),
        "l_eff": largest_expert_norm(recording),
        "delta_refine": step_refinement(pool, recordings, sampling, distance),
    }


def _cells(measured: Mapping[str, Array], full: Mapping[str, Array], event: float) -> Row:
    return {
        **mean_and_sd(_ENTROPY, measured["entropy"]),
        **norm_cells(L_EFF, measured["l_eff"]),
        **refinement_cells(measured["delta_refine"], event),
        _RATIO.key: heavy_ratio_estimate(measured["delta_refine"], full["delta_refine"], event),
        **against_full(measured["l_eff"], full["l_eff"], measured["delta_refine"], full["delta_refine"], event),
    }
