"""Does each routing select the experts whose data lie closest to the state? Table 1 of the paper."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import ROUTING, TIME, of_paper, with_sd
from mnist_ddm.analyses.paper import paper_values
from mnist_ddm.analyses.settings import SamplingSettings
from mnist_ddm.core.flow import predicted_clean
from mnist_ddm.core.measures import Embedding
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError
from mnist_ddm.figures.plot import Plot, banded
from mnist_ddm.stats.intervals import Array, Estimate, bounded_mean_estimate, mean_estimate
from mnist_ddm.stats.permutation import ties
from mnist_ddm.stats.summaries import sd
from mnist_ddm.tables.table import PERCENT, Column, Row, Schema, Table

ROUTINGS = ("top1", "top2", "top4", "full")
TIMES = (0.3, 0.5, 0.7)
CLOSE = 2
"""An expert matches a state if its cluster is among so many closest ones."""
_OBSERVABLES = ("x@tenths", "velocity@tenths", "weights@tenths")
_BATCH = 500
NOISY, CLEAN = "noisy", "clean"
Ranks = NDArray[np.int64]

_KEYS = (
    Column("embedding", "embedding", "key"),
    Column("state", "state", "key", values={NOISY: "noisy state", CLEAN: "clean image"}),
    ROUTING,
)
_RANK = Column("mean_rank", "mean rank (all selected)")
_OTHER_READINGS = (
    Column("closest_rank", "mean rank (closest selected)"),
    Column("rank_by_weight", "mean rank (by weight)"),
    Column("among_two", "among two closest, of the selected", unit="%", kind=PERCENT),
    Column("among_two_any", "among two closest, any", unit="%", kind=PERCENT),
)
_SHARES = ("among_two", "among_two_any")
_NULLS = (
    Column("null_rank", "mean rank of swapped selections"),
    Column("rank_below_null", "mean rank below swapped selections"),
    Column("rank_below_dealt", "mean rank below dealt clusters"),
    Column("null_among_two", "among two closest, swapped selections", unit="%", kind=PERCENT),
    Column("match_above_null", "among two closest above swapped selections", unit="%"),
    Column("match_above_dealt", "among two closest above dealt clusters", unit="%"),
)
_TABLE = Schema(
    "cluster-distance",
    (
        *_KEYS,
        *with_sd(_RANK),
        *_OTHER_READINGS,
        *_NULLS,
        of_paper("mean_rank", "mean rank"),
        of_paper("mean_rank_sd", "rank sd"),
        of_paper("among_two", "among two closest", "%"),
        Column("default", "the system's default embedding", "note"),
        Column("chance_rank", "mean rank at random", "note"),
        Column("chance_match", "among two closest at random", "note", "%"),
    ),
)
_BY_TIME = Schema("cluster-distance-by-time", (*_KEYS, TIME, _RANK, *_OTHER_READINGS))


@final
class ClusterDistance(Analysis[SamplingSettings]):
    r"""The ranks of the selected experts' centroids by distance to the embedded state; 1 is the closest of K.

    The state is embedded as the paper does, :math:`e(decode(x_t))`, and as the predicted clean image
    :math:`e(decode(x_t - t v))`, because a noisy state is outside the embedding's domain.
    """

    id = "cluster-distance"
    group = "alignment"
    question = "Does each routing select the experts whose data lie closest to the state? (Table 1)"
    tables = (_TABLE, _BY_TIME)
    compares = True
    sizes = Sizes(
        small=SamplingSettings(n=16, steps=4),
        medium=SamplingSettings(n=200),
        full=SamplingSettings(n=500),
    )

    def needs(self, pool: ExpertPool, settings: SamplingSettings) -> tuple[Need, ...]:
        if not pool.measures.embeddings:
            raise InputError(f"{self.id} needs an embedding and the experts' centroids, which this system lacks")
        return tuple(Need(settings.sampling(routing), _OBSERVABLES) for routing in settings.compared(pool, ROUTINGS))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: SamplingSettings) -> Answer:
        profiles = list(_profiles(pool, recordings, settings))
        paper, k = paper_values(self.id, pool.in_paper), pool.n_experts
        default = next(iter(pool.measures.embeddings))
        chance_rank, chance_match = (k + 1) / 2, 100 * min(CLOSE, k) / k
        chance: Row = {"chance_rank": chance_rank, "chance_match": chance_match}
        rows = tuple(
            {**p.what, **p.summary, **_stated(paper, p.routing), "default": _yes(p.embedding == default), **chance}
            for p in profiles
        )
        by_time = tuple({**p.what, **row} for p in profiles for row in p.rows)
        title = (
            f"Ranks of the selected experts' clusters (1 = closest of {k}) at t near {', '.join(map(str, TIMES))}, "
            f"n = {settings.n}; paper: {paper['place']}"
        )
        notes = (
            "state: the noisy state, as the paper does, or the clean image predicted from it, x_t - t v.",
            f"Selecting at random gives a mean rank of {chance_rank:g} and {chance_match:.3g}% among the two closest; "
            "the full ensemble selects all, so its first mean rank and its share are these by construction.",
            "The paper's text defines the minimum rank and 'any among the two closest'; its table fits the mean over "
            "all selected and the share.",
            "Swapped selections: each sample gets those of another one, which keeps how often an expert is selected: "
            "one whose cluster is near to everything gains nothing from being selected often. Dealt clusters: dealt to "
            "the experts at random, as if nothing tied an expert to its data; the interval is that of the deals.",
            "Intervals are over whole trajectories; sd is over samples.",
        )
        tables = (
            Table(_TABLE, title, rows, notes),
            Table(_BY_TIME, "Ranks of the selected experts' clusters by time", by_time),
        )
        return Answer(tables, _plots(profiles))


@dataclass(frozen=True)
class _Profile:
    """How one routing's selected experts rank, seen by one embedding of one kind of state.

    Attributes:
        embedding: its name.
        state: `NOISY` or `CLEAN`.
        routing: its spelling.
        times: falling, shape ``(T,)``.
        readings: by column, one number for each state, shape ``(n, T)``.
        ranks: of all centroids, shape ``(n, T, K)``.
        shares: of each expert among the selected, same shape.
    """

    embedding: str
    state: str
    routing: str
    times: Array
    readings: Mapping[str, Array]
    ranks: Ranks
    shares: Array

    @property
    def what(self) -> Row:
        """The keys of its rows."""
        return {"embedding": self.embedding, "state": self.state, "routing": self.routing}

    def _mean(self, key: str, values: Array) -> Estimate:
        """The mean of a rank, or of a share in percent; all experts have theirs by construction."""
        if self.routing == "full":
            return mean_estimate(values)
        bounds = (0.0, 100.0) if key in _SHARES else (1.0, float(self.ranks.shape[2]))
        return bounded_mean_estimate(values, *bounds)

    @property
    def summary(self) -> Row:
        """The mean of each reading near `TIMES`."""
        near = sorted({int(np.abs(self.times - t).argmin()) for t in TIMES})
        samples = {key: values[:, near].mean(axis=1) for key, values in self.readings.items()}
        return {
            **{key: self._mean(key, values) for key, values in samples.items()},
            "mean_rank_sd": sd(samples["mean_rank"]),
            **_nulls(self.shares[:, near], self.ranks[:, near]),
        }

    @cached_property
    def rows(self) -> list[Row]:
        """The mean of each reading at each time."""
        return [
            {"t": float(t), **{key: self._mean(key, values[:, i]) for key, values in self.readings.items()}}
            for i, t in enumerate(self.times)
        ]


def _nulls(shares: Array, ranks: Ranks) -> Row:
    """What the same selections would have without a tie to the state, or the experts without one to their clusters."""
    rank, match = ties(shares, ranks.astype(np.float64)), ties(shares, np.where(ranks <= CLOSE, 100.0, 0.0))
    return {
        "null_rank": rank.null,
        "rank_below_null": _turned(rank.beyond),
        "rank_below_dealt": _turned(rank.beyond_deals),
        "null_among_two": match.null,
        "match_above_null": match.beyond,
        "match_above_dealt": replace(
            match.beyond_deals, low=max(-100.0, match.beyond_deals.low), high=min(100.0, match.beyond_deals.high)
        ),
    }


def _turned(estimate: Estimate) -> Estimate:
    return Estimate(-estimate.value, -estimate.high, -estimate.low)


def _profiles(
    pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: SamplingSettings
) -> Iterator[_Profile]:
    for name, embedding in pool.measures.embeddings.items():
        for state in (NOISY, CLEAN):
            for routing in settings.compared(pool, ROUTINGS):
                recording = recordings[settings.sampling(routing)]
                ranks = centroid_ranks(pool, embedding, recording, state)
                weights = recording.observed["weights@tenths"].double().numpy()
                by_column = readings(ranks, weights, everything=routing == "full")
                times, shares = recording.times_of("x@tenths").numpy(), selected_shares(weights, routing == "full")
                yield _Profile(name, state, routing, times, by_column, ranks, shares)


@torch.inference_mode()
def centroid_ranks(pool: ExpertPool, embedding: Embedding, recording: Recording, state: str) -> Ranks:
    """The rank of every expert's centroid by Euclidean distance to each recorded state, shape ``(n, T, K)``.

    Args:
        pool: the system.
        embedding: of decoded states, with the centroids.
        recording: with the observables `x@tenths` and `velocity@tenths`.
        state: `NOISY` for the state as it is, or `CLEAN` for the clean one predicted from it.
    """
    x, velocity = recording.observed["x@tenths"], recording.observed["velocity@tenths"]
    distances = []
    for i, t in enumerate(recording.times_of("x@tenths")):
        for noisy, v in zip(x[:, i].split(_BATCH), velocity[:, i].split(_BATCH), strict=True):
            shown = noisy if state == NOISY else predicted_clean(noisy, v, t.to(noisy).expand(len(noisy)))
            vectors = embedding.features(pool.decode(shown.to(pool.device))).cpu().double()
            distances.append(torch.cdist(vectors, embedding.centroids.cpu().double()))
    by_sample = torch.cat(distances).reshape(x.shape[1], x.shape[0], -1).transpose(0, 1)
    return _ranks(by_sample).numpy()


def _ranks(distances: Tensor) -> Tensor:
    return distances.argsort(dim=-1, stable=True).argsort(dim=-1) + 1


def selected_shares(weights: Array, everything: bool) -> Array:
    """The share of each expert among the selected ones, who count alike; shape of ``weights``."""
    selected = np.ones_like(weights, dtype=bool) if everything else weights > 0
    return np.asarray(selected / selected.sum(axis=2, keepdims=True), dtype=np.float64)


def readings(ranks: Ranks, weights: Array, *, everything: bool) -> dict[str, Array]:
    """Each reading of rank and match at each state, by column, shape ``(n, T)``; shares are in percent.

    Args:
        ranks: of all centroids, shape ``(n, T, K)``.
        weights: of the routing, same shape.
        everything: whether all experts count as selected, however small their weight.
    """
    selected = selected_shares(weights, everything) > 0
    close = (ranks <= CLOSE) & selected
    count = selected.sum(axis=2)
    return {
        "mean_rank": np.where(selected, ranks, 0).sum(axis=2) / count,
        "closest_rank": np.where(selected, ranks, ranks.shape[2] + 1).min(axis=2).astype(float),
        "rank_by_weight": (weights * ranks).sum(axis=2) / weights.sum(axis=2),
        "among_two": 100 * close.sum(axis=2) / count,
        "among_two_any": 100.0 * close.any(axis=2),
    }


def _stated(paper: Mapping[str, Row], routing: str) -> Row:
    stated = paper.get(routing, {})
    names = {"paper_mean_rank": "rank", "paper_mean_rank_sd": "rank sd", "paper_among_two": "match"}
    return {column: stated.get(name) for column, name in names.items()}


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _plots(profiles: list[_Profile]) -> tuple[Plot, ...]:
    """One plot for each embedding of each kind of state, with a line for each routing."""
    alike: dict[tuple[str, str], list[_Profile]] = {}
    for profile in profiles:
        alike.setdefault((profile.embedding, profile.state), []).append(profile)
    return tuple(
        Plot(
            f"cluster-distance-{embedding}-{state}",
            "lines",
            f"Mean rank of the selected experts' clusters ({embedding} of the {_TABLE['state'].shown(state)}, "
            "95% intervals)",
            "t (1 = noise, 0 = data)",
            "mean cluster rank (1 = closest)",
            tuple(banded(p.routing, p.times.tolist(), [row["mean_rank"] for row in p.rows]) for p in group),
            falling_x=True,
        )
        for (embedding, state), group in alike.items()
    )
