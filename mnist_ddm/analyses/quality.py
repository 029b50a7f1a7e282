"""How good are the samples of each routing? The FID column of the paper's Table 3."""

from collections.abc import Mapping
from typing import final

import numpy as np
import torch
from torch import Tensor

from mnist_ddm.analyses.base import (
    Analysis,
    Findings,
    Need,
    Plot,
    Series,
    Settings,
    Table,
    Value,
    fill,
    paper_values,
    sampling_of,
)
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.pool import Classifier, ExpertPool
from mnist_ddm.core.recording import Recording, Sampling
from mnist_ddm.core.stats import mean_estimate
from mnist_ddm.metrics.fidelity import HELD_OUT
from mnist_ddm.metrics.frechet import extract, frechet_distance

ROUTINGS = ("label", "top1", "top2", "full", MONOLITH)
_BATCH = 500


@final
class Quality(Analysis):
    """Frechet distance to held-out real states, and what a classifier makes of the samples.

    All routings start from the same noise. Fidelity (is each image a clear digit?) and coverage (are all digits there
    in the right shares?) are separate columns, because a Frechet distance mixes them.
    """

    @property
    def id(self) -> str:
        return "quality"

    @property
    def question(self) -> str:
        return "How good are the samples of each routing? (Table 3)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=1000, steps=25)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        return tuple(Need(sampling_of(settings, routing)) for routing in self._routings(pool))

    def _routings(self, pool: ExpertPool) -> list[str]:
        fitting = [r for r in ROUTINGS if not r.startswith("top") or int(r.removeprefix("top")) <= pool.n_experts]
        return [r for r in fitting if r != MONOLITH or pool.has_monolith]

    def analyse(self, pool: ExpertPool, recordings: Mapping[Sampling, Recording], settings: Settings) -> Findings:
        features = next(iter(pool.frechet_features.values()))
        real = pool.decode(pool.real_states(HELD_OUT)[0])
        reference = extract(features, real)
        paper = paper_values(self.id, pool.name)
        rows = []
        for routing in self._routings(pool):
            recording = recordings[sampling_of(settings, routing)]
            images = pool.decode(recording.final.to(pool.device))
            fid = frechet_distance(reference, extract(features, images)) if len(images) > 1 else None
            row: dict[str, Value] = {"routing": routing, "FID": fid}
            if pool.classifier is not None:
                row |= _classified(pool, pool.classifier, routing, images, recording.cluster)
            row["expert evaluations"] = recording.count.experts / len(images)
            rows.append({**row, "paper FID": paper.get(routing)})
        title = (
            f"Samples of each routing: n = {settings.n}, {settings.solver} with {settings.steps} steps, against "
            f"{len(real)} held-out real states in {features.name} features ({features.dim} dimensions)"
        )
        notes = (
            "FIDs of another n, number of steps or extractor cannot be compared with these.",
            "recognised: share of samples that the classifier gives the class they were asked to be (label routing).",
            "class imbalance: total variation between the classes of the samples and the experts' prior, 0 to 1.",
        )
        table = Table("quality", title, tuple(rows[0]), tuple(rows), notes)
        return Findings((table,), (_plot(rows, features.name),))


def _classified(
    pool: ExpertPool, classifier: Classifier, routing: str, images: Tensor, asked: Tensor
) -> dict[str, Value]:
    probabilities = torch.cat([classifier(batch) for batch in images.split(_BATCH)]).double().cpu()
    confidence, label = probabilities.max(dim=1)
    row: dict[str, Value] = {"recognised": None}
    if classifier.expert_of_label is not None:
        expert = torch.tensor(classifier.expert_of_label)[label]
        if routing == "label":
            row["recognised"] = mean_estimate((expert == asked).double().numpy())
        share = expert.bincount(minlength=pool.n_experts).double() / len(expert)
        row["class imbalance"] = float((share - pool.prior.cpu()).abs().sum() / 2)
    row["confidence"] = mean_estimate(confidence.numpy())
    row["clear (> 0.9)"] = mean_estimate((confidence > 0.9).double().numpy())
    return row


def _plot(rows: list[dict[str, Value]], features: str) -> Plot:
    known = [(str(r["routing"]), float(r["FID"])) for r in rows if isinstance(r["FID"], float)]
    labels, values = [name for name, _ in known], np.array([value for _, value in known])
    title = "Frechet distance to held-out real states by routing (lower is better)"
    return Plot(
        "quality", "bars", title, "routing", f"FID in {features} features", (Series("", labels, values.tolist()),)
    )
