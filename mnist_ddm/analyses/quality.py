"""How good are the samples of each routing? The FID column of the paper's Table 3."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, final
from weakref import ReferenceType, ref

import torch
from torch import Tensor

from mnist_ddm.analyses.analysis import (
    Analysis,
    Answer,
    Need,
    Plot,
    Series,
    Settings,
    Table,
    Value,
    chosen_features,
    fitting,
    paper_values,
)
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.measures import Classifier, Features
from mnist_ddm.core.noise import Purpose, generator
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.metrics.fidelity import HELD_OUT, classify
from mnist_ddm.metrics.frechet import KernelDistance, extract, frechet_distance
from mnist_ddm.metrics.manifold import NEIGHBOURS, precision_and_coverage
from mnist_ddm.stats.intervals import Estimate, mean_estimate

MAIN = ("label", "top1", "top2", "full", MONOLITH)
"""The rows of the paper's Table 3, and the best that the experts can do."""
ROUTINGS: Mapping[str, int] = dict.fromkeys(MAIN, 5000) | dict.fromkeys(
    ("top4", "uniform", "misaligned2", "once", "each"), 1000
)
"""Samples of each routing unless the user says otherwise."""

LONG = 1000
"""Samples for the FIDs of interventions."""

STEPS = 25
"""Solver steps of the runs for Frechet distances."""


@final
class Quality(Analysis):
    """Distances to held-out real states, and what a classifier makes of the samples.

    All routings start from the same noise. Fidelity (is each image a clear digit?) and coverage (are all digits there
    in the right shares?) are separate columns, because a Frechet distance mixes them.
    """

    def __init__(self, routings: Mapping[str, int] = ROUTINGS) -> None:
        """Choose the routings and how many samples of each; those that a system cannot have are left out."""
        self._routings = routings

    @property
    def id(self) -> str:
        return "quality"

    @property
    def group(self) -> str:
        return "quality"

    @property
    def question(self) -> str:
        return "How good are the samples of each routing? (Table 3's FID)"

    def settings(self, chosen: Settings) -> Settings:
        return chosen

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        pool.measures.real_states(1)
        chosen_features(pool, settings)
        return tuple(Need(run) for run in self.runs(pool, settings).values())

    def runs(self, pool: ExpertPool, settings: Settings) -> dict[str, Sampling]:
        """The run of each routing."""
        steps = STEPS if settings.steps is None else settings.steps
        return {
            name: Sampling(name, settings.n or self._routings[name], settings.seed, settings.solver, steps)
            for name in fitting(pool, list(self._routings))
        }

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        features = chosen_features(pool, settings)
        real = pool.decode(pool.measures.real_states(HELD_OUT)[0])
        known = _reference(pool, features)
        reference = known.vectors
        # A data set's own order may not be random (MNIST's second half is harder), and small sets take the first ones.
        shuffled = reference[torch.from_numpy(generator(settings.seed, Purpose.SHUFFLE).permutation(len(reference)))]
        runs = self.runs(pool, settings)
        common = min(run.n for run in runs.values())
        paper = paper_values(self.id, pool.name)
        shares = _real_shares(pool, real)
        rows, classes, adherence = [], [], []
        for name, run in runs.items():
            recording = recordings[run]
            images = pool.decode(recording.final.to(pool.device))
            found = extract(features, images)
            row: dict[str, Value] = {"routing": name, "n": run.n, "FID": _fid(reference, found)}
            if common < max(r.n for r in runs.values()):
                row[f"FID of the first {common}"] = _fid(reference, found[:common])
            kid = known.kernel(found)
            row["KID x 1000"] = Estimate(*(1000 * end for end in (kid.value, kid.low, kid.high)))
            first = (shuffled[:common], found[:common])
            row["precision"], row["coverage"] = precision_and_coverage(*first) if common > 1 else (None, None)
            row["expert evaluations"] = float(recording.evaluations.double().mean())
            rows.append({**row, "paper FID": paper.get(name)})
            if pool.measures.classifier is not None:
                classes.append(
                    {"routing": name, "n": run.n, **_classified(pool.measures.classifier, recording, images, shares)}
                )
            if pool.measures.adherence:
                adherence.append({"routing": name, "n": run.n, **_adherence(pool, recording, images)})
        statistics = {"mean": reference.mean(dim=0), "covariance": torch.cov(reference.T)}
        tables = [_quality_table(rows, runs, len(real), features, common, _hash(statistics), paper)]
        if classes:
            tables.append(_class_table(classes))
        if adherence:
            tables.append(_adherence_table(adherence))
        plots = (_plot(rows, features.name, common), _fidelity_plot(rows))
        return Answer(tuple(tables), plots, {f"reference-{features.name}": statistics})


def stored_frechet_distances(
    pool: ExpertPool, recordings: Mapping[Visits, Recording], runs: Mapping[str, Sequence[Sampling]], settings: Settings
) -> tuple[dict[str, float], int]:
    """The FID of each routing of which one of some runs is at hand; the first of them counts.

    All are of the same number of samples, the smallest at hand, which is the second result: FIDs of unequal n do not
    compare.
    """
    at_hand = {name: next((r for r in choices if r in recordings and r.n > 1), None) for name, choices in runs.items()}
    found = {name: recordings[run].final for name, run in at_hand.items() if run is not None}
    if not found:
        return {}, 0
    features = chosen_features(pool, settings)
    reference = _reference(pool, features).vectors
    n = min(len(final) for final in found.values())
    images = {name: pool.decode(final[:n].to(pool.device)) for name, final in found.items()}
    return {name: frechet_distance(reference, extract(features, i)) for name, i in images.items()}, n


def long_runs(pool: ExpertPool, settings: Settings, routings: Sequence[str]) -> dict[str, Sampling]:
    """The runs whose FIDs the analyses of interventions join, if they are stored; usually of 1000 samples."""
    joined = Settings(n=settings.quality_n, steps=settings.quality_steps, seed=settings.seed)
    return Quality(dict.fromkeys(routings, LONG)).runs(pool, joined)


def frechet_note(n: int, settings: Settings) -> str:
    """What the joined FIDs of a table are, for ``n`` samples each; 0 if there is none."""
    if n == 0:
        return (
            "FID: none is stored for this system; run `mnist-ddm analyze --group quality` first, or for interventions "
            "`--experiment cost-and-quality`."
        )
    return f"FID: of {n} samples each from stored recordings with {settings.quality_steps or STEPS} Heun steps."


@final
class _Reference:
    """Features of held-out real images and the kernel distance to them."""

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors

    @cached_property
    def kernel(self) -> KernelDistance:
        return KernelDistance(self.vectors)


_references: list[tuple[ReferenceType[ExpertPool], dict[str, _Reference]]] = []
"""Of the pools that are still there; by identity, since a pool need not be hashable."""


def _reference(pool: ExpertPool, features: Features) -> _Reference:
    """What several analyses compare with; extracted once for a pool."""
    _references[:] = [entry for entry in _references if entry[0]() is not None]
    known = next((found for of, found in _references if of() is pool), None)
    if known is None:
        known = {}
        _references.append((ref(pool), known))
    if features.name not in known:
        known[features.name] = _Reference(extract(features, pool.decode(pool.measures.real_states(HELD_OUT)[0])))
    return known[features.name]


def _fid(reference: Tensor, found: Tensor) -> float | None:
    return frechet_distance(reference, found) if min(len(reference), len(found)) > 1 else None


def _hash(statistics: Mapping[str, Tensor]) -> str:
    return hashlib.sha256(b"".join(statistics[name].numpy().tobytes() for name in sorted(statistics))).hexdigest()


def _real_shares(pool: ExpertPool, real: Tensor) -> Tensor | None:
    """The share of each class in the data: the experts' prior, or what the classifier sees in held-out states."""
    classifier = pool.measures.classifier
    if classifier is None:
        return None
    if classifier.expert_of_label is not None:
        return pool.prior.cpu()[list(classifier.expert_of_label)]
    seen = classify(classifier, real).argmax(dim=1).bincount(minlength=len(classifier.labels)).double()
    return seen / seen.sum()


def _classified(
    classifier: Classifier, recording: Recording, images: Tensor, shares: Tensor | None
) -> dict[str, Value]:
    assert shares is not None
    confidence, label = classify(classifier, images).max(dim=1)
    recognised: Value = None
    if classifier.expert_of_label is not None and recording.visits.routing == "label":
        expert = torch.tensor(classifier.expert_of_label)[label]
        recognised = mean_estimate((expert == recording.cluster).double().numpy())
    counts = label.bincount(minlength=len(classifier.labels)).double()
    found = counts / counts.sum()
    return {
        "recognised": recognised,
        "confidence": mean_estimate(confidence.numpy()),
        "clear (> 0.9)": mean_estimate((confidence > 0.9).double().numpy()),
        "class imbalance": float((found - shares).abs().sum() / 2),
        "rarest class": f"{classifier.labels[int(found.argmin())]} ({100 * float(found.min()):.1f}%)",
        "commonest class": f"{classifier.labels[int(found.argmax())]} ({100 * float(found.max()):.1f}%)",
    }


def _adherence(pool: ExpertPool, recording: Recording, images: Tensor) -> dict[str, Value]:
    """For each judge of the system the share of samples that show what they were asked to."""
    condition = pool.condition(recording.seeds)
    rows = torch.arange(len(images)).split(_JUDGED_AT_ONCE)
    found: dict[str, Value] = {}
    for name, judge in pool.measures.adherence.items():
        right = torch.cat([judge(images[i], condition.select(i)) for i in rows]).double().cpu()
        asked = right[~right.isnan()]
        found[name] = mean_estimate(asked.numpy()) if len(asked) else None
    return found


_JUDGED_AT_ONCE = 500


def _adherence_table(rows: list[dict[str, Value]]) -> Table:
    notes = ("The share of samples in which the classifier sees what the caption asks for; all: everything it asks.",)
    title = "Do the samples show what was asked?"
    return Table("quality-adherence", title, tuple(rows[0]), tuple(rows), notes)


def _quality_table(
    rows: list[dict[str, Value]],
    runs: Mapping[str, Sampling],
    n_real: int,
    features: Features,
    common: int,
    statistics: str,
    paper: Mapping[str, Any],
) -> Table:
    run = next(iter(runs.values()))
    title = (
        f"Samples of each routing, {run.solver} with {run.steps} steps, against {n_real} held-out real states in "
        f"{features.name} features ({features.dim} dimensions); paper: {paper['place']}"
    )
    notes = (
        "A FID depends on n, solver steps and extractor: compare only within a column, and in the first FID column "
        "only rows of one n.",
        "KID: kernel distance, unbiased in n, 0 between two samples of the real distribution; normal interval.",
        f"precision and coverage: with the {NEIGHBOURS}th neighbour, of the first {common} samples against {common} "
        "real ones.",
        f"reference statistics: sha256 {statistics[:16]}.",
    )
    return Table("quality", title, tuple(rows[0]), tuple(rows), notes)


def _class_table(rows: list[dict[str, Value]]) -> Table:
    notes = (
        "recognised: share of samples that the classifier gives the class they were asked to be (label routing).",
        "class imbalance: total variation between the classes of the samples and of the data, 0 to 1; sampling alone "
        "makes it positive.",
    )
    return Table("quality-classes", "What the classifier sees in the samples", tuple(rows[0]), tuple(rows), notes)


def _plot(rows: list[dict[str, Value]], features: str, common: int) -> Plot:
    column = next((name for name in rows[0] if name.startswith("FID of")), "FID")
    known = [(str(r["routing"]), value) for r in rows if isinstance(value := r[column], float)]
    labels, values = [name for name, _ in known], [value for _, value in known]
    title = f"Frechet distance to held-out real states by routing (n = {common}, lower is better)"
    return Plot("quality", "bars", title, "routing", f"FID in {features} features", (Series("", labels, values),))


def _fidelity_plot(rows: list[dict[str, Value]]) -> Plot:
    known = [r for r in rows if isinstance(r["precision"], float) and isinstance(r["coverage"], float)]
    labels = [str(r["routing"]) for r in known]
    series = tuple(
        Series(c, labels, [v for r in known if isinstance(v := r[c], float)]) for c in ("precision", "coverage")
    )
    return Plot("quality-coverage", "bars", "Fidelity and coverage are two things", "routing", "share", series)
