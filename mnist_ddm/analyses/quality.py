"""How good are the samples of each routing? The FID column of the paper's Table 3."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import FID, ROUTING, N, of_paper
from mnist_ddm.analyses.paper import paper_values
from mnist_ddm.analyses.quality_differences import DIFFERENCES, balanced_differences, difference_table
from mnist_ddm.analyses.settings import JoinedSettings, TrajectorySettings
from mnist_ddm.analyses.systems import features_named, fitting
from mnist_ddm.analyses.within import WITHIN, ClassesApart, Classified, parts_plot
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.measures import Classifier
from mnist_ddm.core.noise import Purpose, generator
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.metrics.fidelity import classify
from mnist_ddm.metrics.frechet import extract, frechet_distance
from mnist_ddm.metrics.frechet_limit import FrechetLimit
from mnist_ddm.metrics.manifold import NEIGHBOURS, manifold
from mnist_ddm.metrics.real import frechet_floor, real_features
from mnist_ddm.metrics.strata import class_shares, imbalance
from mnist_ddm.stats.intervals import Estimate, mean_estimate, share_estimate
from mnist_ddm.tables.table import FRACTION, Column, Row, Schema, Table, Value

MAIN = ("label", "top1", "top2", "full", MONOLITH)
"""The rows of the paper's Table 3, and the best that the experts can do."""
ROUTINGS = (*MAIN, "top4", "uniform", "misaligned2", "once", "each", "gumbel")

LONG = 1000
"""Samples for the FIDs of interventions."""

STEPS = 25
"""Solver steps of the samples for Frechet distances."""

_ENOUGH = 500
"""With fewer samples a FID is noise: of 200 real digits it was 0.27 +- 0.08 where the truth was 0.01."""
_JUDGED_AT_ONCE = 500

KID = Column("kid", "KID x 1000")
FID_INFINITE = Column("fid_infinite", "FID of infinitely many", optional=True)
PRECISION, COVERAGE = Column("precision", "precision", kind=FRACTION), Column("coverage", "coverage", kind=FRACTION)
EVALUATIONS = Column("expert_evaluations", "expert evaluations")
CLEAR = Column("clear", "clear (> 0.9)", kind=FRACTION)
IMBALANCE = Column("class_imbalance", "class imbalance", kind=FRACTION)
SHARE = Column("share", "share", kind=FRACTION)
"""Columns that the table of cost and quality takes over."""
_TABLE = Schema(
    "quality",
    (
        ROUTING,
        N,
        FID,
        Column("fid_floor", "FID of as many real states", "note"),
        Column("fid_common", "FID of the first samples", optional=True),
        Column("n_common", "n of the first samples", "note", optional=True),
        FID_INFINITE,
        KID,
        PRECISION,
        COVERAGE,
        EVALUATIONS,
        of_paper("fid", "FID"),
    ),
)
_CLASSES = Schema(
    "quality-classes",
    (
        ROUTING,
        N,
        Column("recognised", "recognised", kind=FRACTION),
        Column("confidence", "confidence", kind=FRACTION),
        CLEAR,
        IMBALANCE,
        Column("rarest_class", "rarest class", "note"),
        Column("commonest_class", "commonest class", "note"),
    ),
)
_ADHERENCE = Schema("quality-adherence", (ROUTING, Column("judge", "judge", "key"), N, SHARE))


@final
@dataclass(frozen=True, kw_only=True)
class QualitySettings(TrajectorySettings):
    """For an analysis of how good samples are.

    Attributes:
        steps: N, the number of solver steps.
        n_others: most samples of a routing that is not among `MAIN`; 0 for as many as those have.
        features: name of features of the system; empty for its default.
        routings: whose samples; those that a system cannot have are left out.
    """

    steps: int = STEPS
    n_others: int = 0
    features: str = ""
    routings: tuple[str, ...] = ROUTINGS

    def choosing(self, **choices: Any) -> "QualitySettings":
        """The same with some choices; a chosen number of samples is that of every routing."""
        every = {"n_others": 0} if "n" in choices else {}
        return super().choosing(**{**every, **choices})

    def samplings(self, pool: ExpertPool) -> dict[str, Sampling]:
        """The samples of each routing that the system can have."""
        others = min(self.n_others or self.n, self.n)
        sizes = {routing: self.n if routing in MAIN else others for routing in fitting(pool, self.routings)}
        return {routing: Sampling(routing, n, self.seed, self.solver, self.steps) for routing, n in sizes.items()}


_USUAL = QualitySettings(n=5000, n_others=LONG)


@final
class Quality(Analysis[QualitySettings]):
    """Distances to held-out real states, and what a classifier makes of the samples.

    All routings start from the same noise. Fidelity (is each image a clear digit?) and coverage (are all digits there
    in the right shares?) are separate columns, because a Frechet distance mixes them.
    """

    id = "quality"
    group = "quality"
    question = "How good are the samples of each routing? (Table 3's FID)"
    tables = (_TABLE, DIFFERENCES, WITHIN, _CLASSES, _ADHERENCE)
    compares = True
    sizes = Sizes(
        small=QualitySettings(n=16, steps=10),
        medium=QualitySettings(n=500),
        full=_USUAL,
    )

    def needs(self, pool: ExpertPool, settings: QualitySettings) -> tuple[Need, ...]:
        pool.measures.real_states(1)
        features_named(pool, settings.features)
        return tuple(Need(sampling) for sampling in settings.samplings(pool).values())

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: QualitySettings) -> Answer:
        samplings = settings.samplings(pool)
        features = features_named(pool, settings.features)
        reference, apart = real_features(pool, features), ClassesApart.known(pool, features)
        # A data set's own order may not be random (MNIST's second half is harder), and small sets take the first ones.
        order = generator(settings.seed, Purpose.SHUFFLE).permutation(len(reference.vectors))
        shuffled = reference.vectors[torch.from_numpy(order)]
        common = min(sampling.n for sampling in samplings.values())
        paper = paper_values(self.id, pool.in_paper)
        rows: list[Row] = []
        within: list[Row] = []
        classes: list[Row] = []
        adherence: list[Row] = []
        limits: dict[str, dict[int, FrechetLimit]] = {}
        on: dict[str, NDArray[np.bool_]] = {}
        seen: dict[str, Classified] = {}
        floors = {n: frechet_floor(pool, features, n) for n in {sampling.n for sampling in samplings.values()}}
        for routing, sampling in samplings.items():
            recording = recordings[sampling]
            images = pool.decode(recording.final.to(pool.device))
            vectors = extract(features, images)
            what: Row = {"routing": routing, "n": sampling.n}
            row: dict[str, Value] = {**what, "fid": _fid(reference.vectors, vectors)}
            row["fid_floor"] = floors[sampling.n]
            if common < max(s.n for s in samplings.values()):
                row |= {"fid_common": _fid(reference.vectors, vectors[:common]), "n_common": common}
            asked = pool.condition(recording.seeds).captions
            told = {n: reference.limit(vectors[:n], asked[:n]) for n in {sampling.n, common}}
            limits[routing] = {n: limit for n, limit in told.items() if limit is not None}
            whole = limits[routing].get(sampling.n)
            row["fid_infinite"] = None if whole is None else whole.estimate
            kid = reference.kernel(vectors, asked)
            row["kid"] = Estimate(*(1000 * end for end in (kid.value, kid.low, kid.high)))
            row["precision"] = row["coverage"] = None
            if common > 1:
                near = manifold(shuffled[:common], vectors[:common])
                on[routing] = near.on.numpy()
                row["precision"], row["coverage"] = share_estimate(on[routing]), float(near.covered.double().mean())
            row["expert_evaluations"] = float(recording.evaluations.double().mean())
            rows.append({**row, "paper_fid": paper.get(routing)})
            if apart is not None and len(vectors) > 1:
                within.append({**what, "fid": row["fid"], **apart.measured(images, vectors, asked)})
                seen[routing] = Classified(vectors, apart.classes.of(images), asked)
            if pool.measures.classifier is not None and apart is not None:
                shares = apart.classes.shares
                classes.append({**what, **_classified(pool.measures.classifier, recording, images, shares)})
            adherence += [{**what, **judged} for judged in _adherence(pool, recording, images)]
        statistics = {"mean": reference.vectors.mean(dim=0), "covariance": torch.cov(reference.vectors.T)}
        n_real, dim = reference.vectors.shape
        title = (
            f"Samples of each routing, {settings.solver} with {settings.steps} steps, against {n_real} held-out real "
            f"states in {features.name} features ({dim} dimensions); paper: {paper['place']}"
        )
        tables = [
            Table(_TABLE, title, tuple(rows), _notes(common, _hash(statistics))),
            difference_table(samplings, limits, on, apart.differences(seen) if apart is not None else None),
        ]
        tables += [apart.table(within, balanced_differences(tables[-1]))] if apart is not None and within else []
        tables += [_class_table(classes)] if classes else []
        tables += [_adherence_table(adherence)] if adherence else []
        plots = (_plot(rows, features.name, common), _fidelity_plot(rows), *([parts_plot(within)] if within else []))
        return Answer(tuple(tables), plots, {f"reference-{features.name}": statistics})


def stored_frechet_distances(
    pool: ExpertPool,
    recordings: Mapping[Visits, Recording],
    choices: Mapping[str, Sequence[Sampling]],
    features: str,
) -> tuple[dict[str, float], int]:
    """The FID of each routing of which some samples are at hand.

    All are of the same number of samples, the smallest at hand, which is the second result: FIDs of unequal n do not
    compare.

    Args:
        pool: the system.
        recordings: what is at hand.
        choices: for each routing the samples that would do; the first at hand count.
        features: name of features of the system; empty for its default.
    """
    at_hand = {r: next((s for s in choice if s in recordings and s.n > 1), None) for r, choice in choices.items()}
    final = {routing: recordings[sampling].final for routing, sampling in at_hand.items() if sampling is not None}
    if not final:
        return {}, 0
    extractor = features_named(pool, features)
    reference = real_features(pool, extractor).vectors
    n = min(map(len, final.values()))
    images = {routing: pool.decode(states[:n].to(pool.device)) for routing, states in final.items()}
    return {r: frechet_distance(reference, extract(extractor, shown)) for r, shown in images.items()}, n


def long_samplings(pool: ExpertPool, settings: JoinedSettings, routings: Sequence[str]) -> dict[str, Sampling]:
    """The samples whose FIDs the analyses of interventions join, if they are stored; `LONG` of each as a rule."""
    n = settings.quality_n or LONG
    return QualitySettings(n=n, seed=settings.seed, steps=settings.quality_steps, routings=tuple(routings)).samplings(
        pool
    )


def quality_choices(pool: ExpertPool, settings: JoinedSettings, routings: Sequence[str]) -> dict[str, list[Sampling]]:
    """For each routing the samples that may be stored: of `Quality`, of the interventions, or as many as measured here.

    Routings that `Quality` does not sample are left out.
    """
    own = QualitySettings(n=settings.quality_n) if settings.quality_n else _USUAL
    sizes = [own, QualitySettings(n=LONG), QualitySettings(n=settings.n)]
    stored = [replace(size, seed=settings.seed, steps=settings.quality_steps).samplings(pool) for size in sizes]
    return {r: list(dict.fromkeys(samplings[r] for samplings in stored)) for r in routings if r in stored[0]}


def frechet_note(n: int, steps: int, least: int, floor: float | None = None) -> str:
    """What the joined FIDs of a table are, for ``n`` samples each; 0 if there is none.

    Args:
        n: of the samples of each.
        steps: of the solver.
        least: how many of each would have done.
        floor: the FID of as many real states.
    """
    if n == 0:
        return (
            f"FID: none, as no samples of these routings with {steps} Heun steps and the same seed are stored, "
            f"{least} of each; `mnist-ddm analyze --group quality --n {least} --steps {steps}` makes them, for "
            "interventions `--analysis cost-and-quality`."
        )
    beside = "" if floor is None else f" As many real states have {floor:.3g}."
    return f"FID: of {n} samples each from stored recordings with {steps} Heun steps.{beside}{noise_note(n)}"


def noise_note(n: int) -> str:
    """A warning, where FIDs of ``n`` samples are noise above all; else nothing."""
    return f" FIDs of fewer than {_ENOUGH} samples are noise: do not rank by them." if n < _ENOUGH else ""


def stored_floor(pool: ExpertPool, features: str, n: int) -> float | None:
    """The FID of as many real states as `stored_frechet_distances` had of each routing; ``None`` if it had none."""
    return frechet_floor(pool, features_named(pool, features), n) if n > 1 else None


def _fid(reference: Tensor, vectors: Tensor) -> float | None:
    return frechet_distance(reference, vectors) if min(len(reference), len(vectors)) > 1 else None


def _hash(statistics: Mapping[str, Tensor]) -> str:
    return hashlib.sha256(b"".join(statistics[name].numpy().tobytes() for name in sorted(statistics))).hexdigest()


def _classified(classifier: Classifier, recording: Recording, images: Tensor, shares: Tensor) -> Row:
    confidence, label = classify(classifier, images).max(dim=1)
    recognised = None
    if classifier.expert_of_label is not None and recording.visits.routing == "label":
        expert = torch.tensor(classifier.expert_of_label)[label]
        recognised = share_estimate((expert == recording.cluster).numpy())
    seen = class_shares(label, len(classifier.labels))
    ends = {"rarest_class": int(seen.argmin()), "commonest_class": int(seen.argmax())}
    return {
        "recognised": recognised,
        "confidence": mean_estimate(confidence.numpy()),
        "clear": share_estimate((confidence > 0.9).numpy()),
        "class_imbalance": imbalance(label, shares),
        **{key: f"{classifier.labels[i]} ({100 * float(seen[i]):.1f}%)" for key, i in ends.items()},
    }


def _adherence(pool: ExpertPool, recording: Recording, images: Tensor) -> list[Row]:
    """For each judge of the system the share of samples that show what they were asked to."""
    condition = pool.condition(recording.seeds)
    batches = torch.arange(len(images)).split(_JUDGED_AT_ONCE)
    rows: list[Row] = []
    for name, judge in pool.measures.adherence.items():
        right = torch.cat([judge(images[i], condition.select(i)) for i in batches]).cpu().double()
        asked = right[~right.isnan()]
        rows.append({"judge": name, "share": share_estimate((asked > 0).numpy()) if len(asked) else None})
    return rows


def _notes(common: int, statistics: str) -> tuple[str, ...]:
    return (
        "A FID depends on n, solver steps and extractor: compare only within a column, and in the first FID column "
        f"only rows of one n. No FID is below that of as many real states but by luck.{noise_note(common)}",
        "FID of infinitely many: extrapolated from all samples and from halves of them, with the interval of the delta "
        "method; below 0 where there is next to nothing to see. Empty below twice as many samples as dimensions.",
        "KID: kernel distance, unbiased in n, 0 between two samples of the real distribution; normal interval.",
        f"precision and coverage: with the {NEIGHBOURS}th neighbour, of the first {common} samples against {common} "
        "real ones; precision with the exact interval of a share over samples.",
        f"reference statistics: sha256 {statistics[:16]}.",
    )


def _class_table(rows: Sequence[Row]) -> Table:
    notes = (
        "recognised: share of samples that the classifier gives the class they were asked to be (label routing).",
        "class imbalance: total variation between the classes of the samples and of the data, 0 to 1; sampling alone "
        "makes it positive.",
    )
    return Table(_CLASSES, "What the classifier sees in the samples", tuple(rows), notes)


def _adherence_table(rows: Sequence[Row]) -> Table:
    notes = (
        "share: of the samples in which the classifier sees what the caption asks of this kind; all: everything it "
        "asks.",
    )
    return Table(_ADHERENCE, "Do the samples show what was asked?", tuple(rows), notes)


def _plot(rows: Sequence[Row], features: str, common: int) -> Plot:
    of_one_n = [(str(row["routing"]), row.get("fid_common", row["fid"])) for row in rows]
    known = [(routing, fid) for routing, fid in of_one_n if isinstance(fid, float)]
    title = f"Frechet distance to held-out real states by routing (n = {common}, lower is better)"
    series = Series("", [routing for routing, _ in known], [fid for _, fid in known])
    return Plot("quality", "bars", title, "routing", f"FID in {features} features", (series,))


def _fidelity_plot(rows: Sequence[Row]) -> Plot:
    def bars(column: Column) -> Series:
        known = [(str(row["routing"]), share) for row in rows if isinstance(share := row[column.key], float | Estimate)]
        shares = [share.value if isinstance(share, Estimate) else share for _, share in known]
        return Series(column.title, [routing for routing, _ in known], shares)

    title = "Fidelity and coverage are two things"
    return Plot("quality-coverage", "bars", title, "routing", "share", (bars(PRECISION), bars(COVERAGE)))
