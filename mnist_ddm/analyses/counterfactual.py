"""What if the full ensemble had steadier experts, or Top-2 the wrong ones? Table 8 of the paper."""

from collections.abc import Mapping
from typing import final

from mnist_ddm.analyses.along import both_resolutions, sd, step_refinement, strategies
from mnist_ddm.analyses.analysis import (
    Analysis,
    Answer,
    Need,
    Settings,
    Table,
    Value,
    chosen_distance,
    chosen_features,
    fill,
    paper_values,
)
from mnist_ddm.analyses.quality import frechet_note, long_runs, stored_frechet_distances
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import bootstrap, mean_estimate

ROUTINGS = ("top2", "full", "full+clip", "misaligned2", "misaligned2+equal")
_BASE = "top2"


@final
class Counterfactual(Analysis):
    r""":math:`\Delta_{refine}` of Top-2, of Full, of Full without experts of large Jacobian norm, of random pairs.

    And their FIDs, which the paper did not measure, where they are stored.
    """

    @property
    def id(self) -> str:
        return "counterfactual"

    @property
    def group(self) -> str:
        return "interventions"

    @property
    def question(self) -> str:
        return "Do steadier experts or the wrong experts change stability and quality? (Table 8)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=50, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        if pool.n_experts < 2:
            raise InputError(f"{self.id} looks at pairs of experts and needs at least 2")
        chosen_distance(pool, settings)
        chosen_features(pool, settings)
        runs = [need for r in strategies(pool, ROUTINGS) for need in both_resolutions(settings, r, ())]
        return (*runs, *(Need(run, optional=True) for run in long_runs(pool, settings, ROUTINGS).values()))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        stored = {r: [run] for r, run in long_runs(pool, settings, ROUTINGS).items()}
        quality, quality_n = stored_frechet_distances(pool, recordings, stored, settings)
        names, paper = strategies(pool, ROUTINGS), paper_values(self.id, pool.name)
        error = {r: step_refinement(pool, settings, recordings, r) for r in names}
        rows: list[dict[str, Value]] = [
            {
                "routing": r,
                "Delta_refine": mean_estimate(error[r]),
                "Delta_refine sd": sd(error[r]),
                "less than Top-2 by": mean_estimate(error[_BASE] - error[r]),
                "ratio to Top-2": bootstrap(lambda a, b: float(a.mean() / b.mean()), error[r], error[_BASE]),
                "FID": quality.get(r),
                "paper Delta_refine": paper.get(r),
            }
            for r in names
        ]
        notes = (
            "full+clip: experts whose Jacobian norm is above the median of all experts at the current state lose their "
            "weight. misaligned2: a random pair in each step, with the router's weights renormalised, or equal ones.",
            f"Delta_refine: {chosen_distance(pool, settings).name} distance of the images after {settings.steps} and "
            f"{2 * (settings.steps or 0)} steps; differences and ratios pair samples from the same noise.",
            frechet_note(quality_n, settings),
        )
        title = f"Counterfactual routings, n = {settings.n}; paper: {paper['place']}"
        return Answer((Table(self.id, title, tuple(rows[0]), tuple(rows), notes),))
