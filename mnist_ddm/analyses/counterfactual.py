"""What if the full ensemble had steadier experts, or Top-2 the wrong ones? Table 8 of the paper."""

from collections.abc import Mapping
from typing import final

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import FID, REFINEMENT, ROUTING, of_paper, refinement_cells, refinement_note
from mnist_ddm.analyses.paper import paper_values
from mnist_ddm.analyses.quality import LONG, frechet_note, long_samplings, stored_floor, stored_frechet_distances
from mnist_ddm.analyses.settings import JoinedSettings
from mnist_ddm.analyses.stability import both_resolutions, step_refinement, visible_error
from mnist_ddm.analyses.systems import distance_named, features_named
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Array, Estimate
from mnist_ddm.stats.shares import discordant_share, in_percent, smaller_share
from mnist_ddm.stats.tails import heavy_ratio_estimate
from mnist_ddm.tables.table import PERCENT, RATIO, Column, Row, Schema, Table

ROUTINGS = ("top2", "full", "full+clip", "misaligned2", "misaligned2+equal")
_BASE, _FULL = "top2", "full"
_PAIRED = {
    _BASE: ("ratio_to_top2", "fails_less", "smaller"),
    _FULL: ("ratio_to_full", "fails_less_than_full", "smaller_than_full"),
}
"""By the routing that others are paired with, the columns of `_paired`."""
_TABLE = Schema(
    "counterfactual",
    (
        ROUTING,
        *REFINEMENT,
        Column("ratio_to_top2", "ratio to Top-2", kind=RATIO),
        Column(
            "fails_less", "only Top-2 has a visible Delta_refine, of those in which one has", unit="%", kind=PERCENT
        ),
        Column("smaller", "smaller than Top-2's", unit="%", kind=PERCENT),
        Column("ratio_to_full", "ratio to Full", kind=RATIO, optional=True),
        Column(
            "fails_less_than_full",
            "only Full has a visible Delta_refine, of those in which one has",
            unit="%",
            kind=PERCENT,
            optional=True,
        ),
        Column("smaller_than_full", "smaller than Full's", unit="%", kind=PERCENT, optional=True),
        FID,
        of_paper("delta_refine", "Delta_refine"),
    ),
)


@final
class Counterfactual(Analysis[JoinedSettings]):
    r""":math:`\Delta_{refine}` of Top-2, of Full, of Full without experts of large Jacobian norm, of random pairs.

    And their FIDs, which the paper did not measure, where they are stored.
    """

    id = "counterfactual"
    group = "interventions"
    question = "Do steadier experts or the wrong experts change stability and quality? (Table 8)"
    tables = (_TABLE,)
    compares = True
    sizes = Sizes(
        small=JoinedSettings(n=4, steps=4, quality_n=16, quality_steps=10),
        medium=JoinedSettings(n=20, quality_n=200),
        full=JoinedSettings(n=50),
    )

    def needs(self, pool: ExpertPool, settings: JoinedSettings) -> tuple[Need, ...]:
        if pool.n_experts < 2:
            raise InputError(f"{self.id} looks at pairs of experts and needs at least 2")
        distance_named(pool, settings.distance)
        features_named(pool, settings.features)
        names = settings.compared(pool, ROUTINGS, _BASE)
        measured = [need for r in names for need in both_resolutions(settings.sampling(r))]
        stored = long_samplings(pool, settings, names).values()
        return (*measured, *(Need(sampling, optional=True) for sampling in stored))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: JoinedSettings) -> Answer:
        names, paper = settings.compared(pool, ROUTINGS, _BASE), paper_values(self.id, pool.in_paper)
        distance = distance_named(pool, settings.distance)
        error = {r: step_refinement(pool, recordings, settings.sampling(r), distance) for r in names}
        event = visible_error(pool, recordings[settings.sampling(_BASE)], distance)
        stored = {r: [sampling] for r, sampling in long_samplings(pool, settings, names).items()}
        quality, quality_n = stored_frechet_distances(pool, recordings, stored, settings.features)
        least = settings.quality_n or LONG
        rows: list[Row] = [
            {
                "routing": r,
                **refinement_cells(error[r], event),
                **{
                    key: estimate
                    for base, keys in _PAIRED.items()
                    if base in error
                    for key, estimate in zip(keys, _paired(error[r], error[base], event), strict=True)
                },
                "fid": quality.get(r),
                "paper_delta_refine": paper.get(r),
            }
            for r in names
        ]
        notes = (
            "full+clip: experts whose Jacobian norm is above the median of all experts at the current state lose their "
            "weight. misaligned2: a random pair in each step, with the router's weights renormalised, or equal ones.",
            f"Delta_refine: {distance.name} distance of the images after {settings.steps} and {2 * settings.steps} "
            "steps; ratios and shares pair samples from the same noise.",
            refinement_note(event),
            frechet_note(quality_n, settings.quality_steps, least, stored_floor(pool, settings.features, quality_n)),
        )
        title = f"Counterfactual routings, n = {settings.n}; paper: {paper['place']}"
        return Answer((Table(_TABLE, title, tuple(rows), notes),))


def _paired(mine: Array, its: Array, event: float) -> tuple[Estimate, Estimate, Estimate]:
    """Of two routings' errors from the same noise: ratio of means, who fails less, and whose is smaller, in percent."""
    fails_less = discordant_share(its > event, mine > event)
    return heavy_ratio_estimate(mine, its, event), in_percent(fails_less), in_percent(smaller_share(mine, its))
