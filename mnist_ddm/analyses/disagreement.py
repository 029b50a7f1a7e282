"""Does the full ensemble drift from Top-2 where experts disagree? Figure 1 and Appendix B of the paper."""

from collections.abc import Mapping
from typing import final

import numpy as np
import torch
from torch import Tensor

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import ROUTING as BY_ROUTING
from mnist_ddm.analyses.columns import N, p_value
from mnist_ddm.analyses.paper import paper_values
from mnist_ddm.analyses.settings import RefinementSettings
from mnist_ddm.analyses.systems import distance_named, with_experts
from mnist_ddm.core.measures import Distance
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.metrics.fidelity import classify, nearest_training_distance
from mnist_ddm.metrics.frechet import extract
from mnist_ddm.metrics.real import real_features
from mnist_ddm.stats.intervals import Array, Estimate, mean_estimate, spearman_estimate
from mnist_ddm.stats.summaries import integrate_over_time, quartile
from mnist_ddm.stats.tests import spearman_p
from mnist_ddm.tables.table import CORRELATION, FRACTION, NUMBER, P_VALUE, Column, Row, Schema, Table, Value

ROUTING, REFERENCE = "full", "top2"
MSE, PERCEPTUAL = "mse", "perceptual_distance"
CONFIDENCE, NEAREST = "classifier_confidence", "nearest_training"
OUTCOMES = {
    MSE: "MSE to Top-2",
    PERCEPTUAL: "perceptual distance to Top-2",
    CONFIDENCE: "classifier confidence",
    NEAREST: "nearest training example",
}
"""What disagreement is held against: two distances to another strategy, and two qualities of the image itself."""
_STATED = {MSE: "spearman_mse", PERCEPTUAL: "spearman_distance"}
"""Where `paper.toml` has the paper's value; the others are beyond the paper."""
_QUARTERS = ("Q1", "Q2", "Q3", "Q4")
_AT_ONCE = 256

_CORRELATIONS = Schema(
    "disagreement",
    (
        Column("outcome", "D_int against", "key", values=OUTCOMES),
        Column("spearman", "Spearman", kind=CORRELATION),
        Column("p", "p", "note", kind=P_VALUE),
        Column("paper", "paper", "paper"),
    ),
)
_QUARTILES = Schema(
    "disagreement-quartiles",
    (
        Column("quartile", "quartile of D_int", "key", values={q: q for q in _QUARTERS}),
        N,
        Column("d_int", "D_int"),
        *(
            Column(key, title, optional=key in (CONFIDENCE, NEAREST), kind=FRACTION if key == CONFIDENCE else NUMBER)
            for key, title in OUTCOMES.items()
        ),
        Column("kid", "KID", optional=True),
        Column("paper", "paper", "paper"),
    ),
)
_OWN = Schema(
    "disagreement-routings",
    (
        BY_ROUTING,
        Column("d_int", "D_int"),
        *(Column(key, title) for key, title in OUTCOMES.items() if key in _STATED),
        *(
            Column(f"spearman_{key}", f"Spearman, {title}", kind=CORRELATION)
            for key, title in OUTCOMES.items()
            if key in _STATED
        ),
    ),
)


@final
class Disagreement(Analysis[RefinementSettings]):
    r"""Expert disagreement along full-ensemble trajectories against the distance to the Top-2 result.

    :math:`D(x_t) = \binom{K}{2}^{-1} \sum_{i<j} \lVert v_i - v_j \rVert_2` and :math:`D_{int} = \int_0^1 D(x_t) dt`
    (Section 4.4), against mean squared error and perceptual distance between the two final images of the same noise.
    A distance to another strategy is not a quality, so the same quartiles are held against the classifier's confidence,
    the distance to the nearest training example of the class that it sees, and the kernel distance to real states.
    """

    id = "disagreement"
    group = "alignment"
    question = "Does the full ensemble drift from Top-2 where experts disagree? (Figure 1, Appendix B)"
    tables = (_CORRELATIONS, _QUARTILES)
    compares = True
    own_tables = (_OWN,)
    sizes = Sizes(
        small=RefinementSettings(n=16, steps=4),
        medium=RefinementSettings(n=200),
        full=RefinementSettings(n=500),
    )

    def needs(self, pool: ExpertPool, settings: RefinementSettings) -> tuple[Need, ...]:
        distance_named(pool, settings.distance)
        along = dict.fromkeys((ROUTING, *with_experts(self.id, settings.routings)))
        return *(Need(settings.sampling(r), ("disagreement",)) for r in along), Need(settings.sampling(REFERENCE))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: RefinementSettings) -> Answer:
        full, reference = (recordings[settings.sampling(routing)] for routing in (ROUTING, REFERENCE))
        distance = distance_named(pool, settings.distance)
        a, b = (pool.decode(recording.final.to(pool.device)) for recording in (full, reference))
        outcomes = {**_distances(a, b, distance), **_qualities(pool, a)}
        profile = full.observed["disagreement"].double().numpy()
        times = full.times.numpy()
        integral = integrate_over_time(profile, times)
        quartiles = _quartiles(pool, integral, outcomes, a, distance.name)
        plots = (
            _profile_plot(times, profile),
            _quartile_plot(quartiles, distance.name),
            _points(integral, distance.name, outcomes[PERCEPTUAL]),
        )
        tables = [_correlations(pool, integral, outcomes, distance.name), quartiles]
        if settings.routings:
            rows = [_own_row(pool, r, recordings[settings.sampling(r)], b, distance) for r in settings.routings]
            notes = (
                f"D along the routing's own trajectories, and its results against Top-2's. {distance.name} distance.",
            )
            title = f"The same of the chosen routings, n = {settings.n}"
            tables.append(Table(_OWN, title, tuple(rows), notes))
        return Answer(tuple(tables), plots)


def _distances(a: Tensor, b: Tensor, distance: Distance) -> dict[str, Array]:
    """How far each image is from the other of the same noise."""
    with torch.inference_mode():
        pairs = zip(a.split(_AT_ONCE), b.split(_AT_ONCE), strict=True)
        perceptual = torch.cat([distance(x, y) for x, y in pairs])
    squares = (a - b).flatten(1).square().mean(dim=1)
    return {MSE: squares.cpu().double().numpy(), PERCEPTUAL: perceptual.cpu().double().numpy()}


def _own_row(pool: ExpertPool, routing: str, recording: Recording, reference: Tensor, distance: Distance) -> Row:
    integral = integrate_over_time(recording.observed["disagreement"].double().numpy(), recording.times.numpy())
    row: Row = {"routing": routing, "d_int": mean_estimate(integral)}
    if routing == REFERENCE:  # its distance to itself says nothing
        return {**dict.fromkeys(column.key for column in _OWN.columns), **row}
    apart = _distances(pool.decode(recording.final.to(pool.device)), reference, distance)
    spearman = {f"spearman_{key}": spearman_estimate(integral, values) for key, values in apart.items()}
    return {**row, **{key: mean_estimate(values) for key, values in apart.items()}, **spearman}


def _qualities(pool: ExpertPool, images: Tensor) -> dict[str, Array]:
    """What says something of the quality of each image by itself, as far as the system can measure it."""
    qualities: dict[str, Array] = {}
    classifier, clusters = pool.measures.classifier, None
    if classifier is not None:
        confidence, label = classify(classifier, images).max(dim=1)
        qualities[CONFIDENCE] = confidence.numpy()
        if classifier.expert_of_label is not None:
            clusters = torch.tensor(classifier.expert_of_label)[label]
    if pool.measures.has_real_states:
        qualities[NEAREST] = nearest_training_distance(pool, images, clusters).numpy()
    return qualities


def _correlations(pool: ExpertPool, integral: Array, outcomes: Mapping[str, Array], distance: str) -> Table:
    paper = paper_values("disagreement", pool.in_paper)
    rows: list[Row] = []
    for outcome, values in outcomes.items():
        rho, p = spearman_estimate(integral, values), p_value(spearman_p(integral, values))
        rows.append({"outcome": outcome, "spearman": rho, "p": p, "paper": _stated(paper, outcome)})
    title = (
        f"Integrated disagreement and the distance of Full to Top-2 from the same noise, n = {len(integral)}; "
        f"paper: {paper['place']}"
    )
    notes = (
        f"Perceptual distance: {distance}. It and the MSE are distances to the Top-2 output, not qualities.",
        "Nearest training example: Euclidean distance to the nearest one of the class that the classifier sees, or of "
        "all where experts are not specialised by class.",
        "Intervals are over whole trajectories.",
    )
    return Table(_CORRELATIONS, title, tuple(rows), notes)


def _stated(paper: Mapping[str, Value], outcome: str) -> Value:
    if paper.keys() <= {"place"}:  # nothing is of these data
        return None
    return paper.get(_STATED[outcome], "not stated") if outcome in _STATED else "beyond the paper"


def _quartiles(
    pool: ExpertPool, integral: Array, outcomes: Mapping[str, Array], images: Tensor, distance: str
) -> Table:
    paper = paper_values("disagreement", pool.in_paper)
    stated = None if paper.keys() <= {"place"} else paper.get("quartiles", "not stated")
    group, notes = quartile(integral), [f"Perceptual distance: {distance}."]
    kernel, vectors = None, images
    if pool.measures.has_real_states:
        features = next(iter(pool.measures.frechet_features.values()))
        kernel, vectors = real_features(pool, features).kernel, extract(features, images)
        notes.append(f"KID: kernel distance to held-out real states in {features.name} features.")
    rows: list[Row] = []
    for q, name in enumerate(_QUARTERS):
        inside = group == q
        if not inside.any():
            continue
        means = {outcome: mean_estimate(values[inside]) for outcome, values in outcomes.items()}
        row: dict[str, Value] = {"quartile": name, "n": int(inside.sum()), "d_int": mean_estimate(integral[inside])}
        if kernel is not None:
            row["kid"] = kernel(vectors[torch.from_numpy(inside)])
        rows.append({**row, **means, "paper": stated})
    return Table(_QUARTILES, "By quartile of integrated disagreement (Q1 = lowest)", tuple(rows), tuple(notes))


def _profile_plot(times: Array, profile: Array) -> Plot:
    low, middle, high = np.quantile(profile, [0.25, 0.5, 0.75], axis=0)
    return Plot(
        "disagreement-profile",
        "lines",
        "Expert disagreement along full-ensemble trajectories (median and quartiles)",
        "t (1 = noise, 0 = data)",
        "D(x_t), mean pairwise distance of velocities",
        (Series("full ensemble", times.tolist(), middle.tolist(), low.tolist(), high.tolist()),),
        falling_x=True,
    )


def _quartile_plot(table: Table, distance: str) -> Plot:
    means = [value for value in table.column(PERCEPTUAL) if isinstance(value, Estimate)]
    values, low, high = ([getattr(mean, end) for mean in means] for end in ("value", "low", "high"))
    return Plot(
        "disagreement-quartiles",
        "bars",
        "Distance of the full ensemble to Top-2 by quartile of disagreement (95% intervals)",
        "quartile of integrated disagreement",
        f"mean {distance} distance to the Top-2 output",
        (Series("full ensemble", [str(q) for q in table.column("quartile")], values, low, high),),
    )


def _points(integral: Array, name: str, values: Array) -> Plot:
    return Plot(
        "disagreement-scatter",
        "points",
        "Each sample: disagreement and distance to Top-2",
        "integrated disagreement D_int",
        f"{name} distance to the Top-2 output",
        (Series("sample", integral.tolist(), values.tolist()),),
    )
