"""Does each routing select the experts whose data lie closest to the state? Table 1 of the paper."""

from collections.abc import Mapping
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
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
    fill,
    fitting,
    paper_values,
    sampling_of,
)
from mnist_ddm.core.flow import predicted_clean
from mnist_ddm.core.measures import Embedding
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Array, mean_estimate

ROUTINGS = ("top1", "top2", "top4", "full")
TIMES = (0.3, 0.5, 0.7)
_OBSERVABLES = ("x@tenths", "velocity@tenths", "weights@tenths")
_BATCH = 500
NOISY, CLEAN = "noisy state", "clean image"
Ranks = NDArray[np.int64]


@final
class ClusterDistance(Analysis):
    r"""The ranks of the selected experts' centroids by distance to the embedded state; 1 is the closest of K.

    The state is embedded as the paper does, :math:`e(decode(x_t))`, and as the predicted clean image
    :math:`e(decode(x_t - t v))`, because a noisy state is outside the embedding's domain.
    """

    @property
    def id(self) -> str:
        return "cluster-distance"

    @property
    def group(self) -> str:
        return "alignment"

    @property
    def question(self) -> str:
        return "Does each routing select the experts whose data lie closest to the state? (Table 1)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=500, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        if not pool.measures.embeddings:
            raise InputError(f"{self.id} needs an image embedding and the experts' centroids, which this system lacks")
        return tuple(Need(sampling_of(settings, r), _OBSERVABLES) for r in fitting(pool, ROUTINGS))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        rows: list[dict[str, Value]] = []
        by_time: list[dict[str, Value]] = []
        lines: dict[str, list[Series]] = {}
        paper = paper_values(self.id, pool.name)
        for name, embedding in pool.measures.embeddings.items():
            for of in (NOISY, CLEAN):
                for routing in fitting(pool, ROUTINGS):
                    recording = recordings[sampling_of(settings, routing)]
                    times = recording.times_of("x@tenths").numpy()
                    ranks = centroid_ranks(pool, embedding, recording, of)
                    weights = recording.observed["weights@tenths"].double().numpy()
                    found = readings(ranks, weights, everything=routing == "full")
                    what: dict[str, Value] = {"embedding": name, "of": of, "routing": routing}
                    rows.append({**what, **_summary(found, times), **_paper_columns(paper, routing)})
                    profile = {
                        key: [mean_estimate(values[:, i]) for i in range(len(times))] for key, values in found.items()
                    }
                    by_time += [
                        {**what, "t": float(t), **{key: values[i] for key, values in profile.items()}}
                        for i, t in enumerate(times)
                    ]
                    mean = profile["mean rank (all selected)"]
                    lines.setdefault(f"{name}, {of}", []).append(
                        Series(
                            routing,
                            times.tolist(),
                            [e.value for e in mean],
                            [e.low for e in mean],
                            [e.high for e in mean],
                        )
                    )
        k = pool.n_experts
        title = (
            f"Ranks of the selected experts' clusters (1 = closest of {k}) at t near {', '.join(map(str, TIMES))}, "
            f"n = {settings.n}; paper: {paper['place']}"
        )
        notes = (
            "of: the noisy state, as the paper does, or the clean image predicted from it, x_t - t v.",
            f"Selecting at random gives a mean rank of {(k + 1) / 2:g} and {200 / k:.3g}% among the two closest; the "
            "full ensemble selects all, so its first mean rank and its share are these by construction.",
            "The paper's text defines the minimum rank and 'any among the two closest'; its table fits the mean over "
            "all selected and the share.",
            "Intervals resample whole trajectories; sd is over samples.",
        )
        table = Table("cluster-distance", title, tuple(rows[0]), tuple(rows), notes)
        profile_table = Table(
            "cluster-distance-by-time",
            "Ranks of the selected experts' clusters by time",
            tuple(by_time[0]),
            tuple(by_time),
        )
        return Answer((table, profile_table), tuple(_plot(name, series) for name, series in lines.items()))


@torch.inference_mode()
def centroid_ranks(pool: ExpertPool, embedding: Embedding, recording: Recording, of: str) -> Ranks:
    """The rank of every expert's centroid by Euclidean distance to each recorded state, shape ``(n, T, K)``.

    Args:
        pool: the system.
        embedding: of decoded images, with the centroids.
        recording: with the observables `x@tenths` and `velocity@tenths`.
        of: the noisy state or the predicted clean image.
    """
    x, velocity = recording.observed["x@tenths"], recording.observed["velocity@tenths"]
    found = []
    for i, t in enumerate(recording.times_of("x@tenths")):
        for state, v in zip(x[:, i].split(_BATCH), velocity[:, i].split(_BATCH), strict=True):
            shown = state if of == NOISY else predicted_clean(state, v, t.to(state).expand(len(state)))
            vectors = embedding.features(pool.decode(shown.to(pool.device))).double()
            found.append(torch.cdist(vectors, embedding.centroids.double()).cpu())
    distances = torch.cat(found).reshape(x.shape[1], x.shape[0], -1).transpose(0, 1)
    return _ranks(distances).numpy()


def _ranks(distances: Tensor) -> Tensor:
    return distances.argsort(dim=-1, stable=True).argsort(dim=-1) + 1


def readings(ranks: Ranks, weights: Array, *, everything: bool) -> dict[str, Array]:
    """Each reading of rank and match at each state, shape ``(n, T)``; shares are in percent.

    Args:
        ranks: of all centroids, shape ``(n, T, K)``.
        weights: of the routing, same shape.
        everything: whether all experts count as selected, however small their weight.
    """
    selected = np.ones_like(weights, dtype=bool) if everything else weights > 0
    close = (ranks <= 2) & selected
    count = selected.sum(axis=2)
    return {
        "mean rank (all selected)": np.where(selected, ranks, 0).sum(axis=2) / count,
        "mean rank (closest selected)": np.where(selected, ranks, ranks.shape[2] + 1).min(axis=2).astype(float),
        "mean rank (by weight)": (weights * ranks).sum(axis=2) / weights.sum(axis=2),
        "among two closest (% of selected)": 100 * close.sum(axis=2) / count,
        "among two closest (% any)": 100.0 * close.any(axis=2),
    }


def _summary(found: dict[str, Array], times: Array) -> dict[str, Value]:
    near = sorted({int(np.abs(times - t).argmin()) for t in TIMES})
    row: dict[str, Value] = {}
    for name, values in found.items():
        sample = values[:, near].mean(axis=1)
        row[name] = mean_estimate(sample)
        if name == "mean rank (all selected)":
            row["sd"] = float(sample.std(ddof=1)) if len(sample) > 1 else None
    return row


def _paper_columns(paper: Mapping[str, Mapping[str, Value]], routing: str) -> dict[str, Value]:
    stated = paper.get(routing, {})
    return {"paper rank": stated.get("rank"), "paper sd": stated.get("sd"), "paper %": stated.get("match")}


def _plot(name: str, series: list[Series]) -> Plot:
    embedding, of = name.split(", ")
    return Plot(
        f"cluster-distance-{embedding}-{of.split()[0]}",
        "lines",
        f"Mean rank of the selected experts' clusters ({embedding} of the {of}, 95% intervals)",
        "t (1 = noise, 0 = data)",
        "mean cluster rank (1 = closest)",
        tuple(series),
        falling_x=True,
    )
