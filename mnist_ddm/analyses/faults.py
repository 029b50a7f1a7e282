"""Which error in using a router gives the paper's order of routings? Faults injected one at a time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import torch

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.quality import noise_note
from mnist_ddm.analyses.settings import TrajectorySettings
from mnist_ddm.analyses.systems import features_named
from mnist_ddm.analyses.within import ClassesApart, best_first
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.flow import interpolate
from mnist_ddm.core.noise import initial_noise, sample_seeds
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.routing.faults import FAULTS, PERMUTED, STALE, faulty_logits, permuted
from mnist_ddm.core.visits import TENTHS, Sampling, Visits
from mnist_ddm.errors import InputError
from mnist_ddm.metrics.frechet import extract, frechet_distance
from mnist_ddm.metrics.frechet_limit import FrechetLimit
from mnist_ddm.metrics.real import frechet_floor, real_features
from mnist_ddm.stats.intervals import Estimate, mean_estimate
from mnist_ddm.stats.summaries import entropy
from mnist_ddm.tables.table import Column, Row, Schema, Table, Value

STRATEGIES = ("top2", MONOLITH, "top1", "full")
PARIS_ORDER = "top2, monolith, top1, full"
"""Best first, in the paper's Table 3."""
ENTROPY = 0.60
"""Of Paris' router, in units of ln K (Table 9)."""
NONE, EQUAL = "none", "equal"
_OTHERS: Mapping[str, str] = {NONE: "the router as it is", EQUAL: "the chosen experts have equal weights"}
_UNMATCHED: Row = {"t_router": None, "entropy": None}
_HOTTEST = 1e3
"""Temperatures are sought between this and its inverse."""
_STATES = 100
_WEIGHTS = "weights"
_TABLE = Schema(
    "faults",
    (
        Column("fault", "fault", "key"),
        Column("is", "what is wrong", "note"),
        Column("t_router", "T", "note"),
        Column("entropy", "entropy at noised training states / ln K", "note"),
        Column("entropy_along", "entropy of Full's weights along its trajectories / ln K", optional=True),
        *(Column(f"fid_{name}", f"FID {name}", optional=name == MONOLITH) for name in STRATEGIES),
        *(
            Column(f"difference_{b}_{a}", f"FID {b} - {a}", optional=True)
            for a, b in (("top2", "top1"), ("top1", "full"))
        ),
        Column("fid_floor", "FID of as many real states", "note"),
        Column("order", "order, best first", "note"),
        Column("routed_order", "Top-2, Top-1, Full", "note"),
        Column("paris_order", "order of Paris in the paper", "note"),
        *(
            Column(f"fid_balanced_{name}", f"FID {name} with the classes' shares put right", optional=True)
            for name in STRATEGIES
        ),
        Column("order_balanced", "order within classes", "note", optional=True),
    ),
)


@final
@dataclass(frozen=True, kw_only=True)
class FaultSettings(TrajectorySettings):
    """For the injection of faults.

    Attributes:
        steps: N, the number of solver steps.
        features: name of features of the system; empty for its default.
        entropy: that every router is brought to by a temperature, in units of ln K, in (0, 1).
    """

    steps: int = 10
    features: str = ""
    entropy: float = ENTROPY


@final
class Faults(Analysis[FaultSettings]):
    """The Frechet distances of Top-2, monolith, Top-1 and Full with a router that is used wrongly, a fault at a time.

    A fault also makes a router flatter or sharper. Its logits are divided by the temperature that brings their mean
    entropy to Paris' (Table 9), on training states noised to 0.9, ..., 0.1, so that faults differ in what they are
    alone. Top-1 does not depend on it, nor does the monolith on any. Along sampled trajectories, where the paper's
    entropy may be meant, a router is less sure than there; that entropy stands beside.
    """

    id = "faults"
    group = "regimes"
    question = "Which error in using the router gives the paper's order? (beyond the paper)"
    tables = (_TABLE,)
    fixed = "it asks when the paper's order of its own routings appears"
    sizes = Sizes(small=FaultSettings(n=8, steps=4), medium=FaultSettings(n=50), full=FaultSettings(n=200))

    def needs(self, pool: ExpertPool, settings: FaultSettings) -> tuple[Need, ...]:
        if pool.n_experts < 3:
            raise InputError(f"{self.id} compares Top-1, Top-2 and all experts and needs at least 3 experts")
        if not 0 < settings.entropy < 1:
            raise InputError(f"an entropy in units of ln K lies between 0 and 1, not at {settings.entropy:g}")
        features_named(pool, settings.features)
        temperatures = _temperatures(pool, settings.entropy)
        needs = [
            Need(sampling, (_WEIGHTS,) if name == "full" else ())
            for fault in temperatures
            for name, sampling in _samplings(pool, settings, fault, temperatures).items()
        ]
        return tuple(dict.fromkeys(needs))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: FaultSettings) -> Answer:
        temperatures = _temperatures(pool, settings.entropy)
        rulers = _Rulers(pool, settings)
        rows = []
        for fault, (temperature, noised) in temperatures.items():
            samplings = _samplings(pool, settings, fault, temperatures)
            found = {name: rulers.distances(recordings[sampling]) for name, sampling in samplings.items()}
            along = _along(recordings[samplings["full"]], pool.n_experts)
            matched: Row = {"t_router": temperature, "entropy": noised} if fault != EQUAL else _UNMATCHED
            what: Row = {"fault": fault, "is": {**_OTHERS, **FAULTS}[fault], **matched, "entropy_along": along}
            rows.append({**what, **_row(found), "fid_floor": rulers.floor})
        notes = (
            f"T: brings the router to an entropy of {settings.entropy:g} ln K, over {_STATES} training states noised "
            "to t = 0.9, ..., 0.1; if that cannot be reached, the nearest of temperatures up to 1000. Beside it the "
            "entropy of Full's weights along its trajectories, over samples and steps, as Table 9 may mean it.",
            "FID: of infinitely many samples, with its interval, where they are enough; differences are paired by "
            "noise. Top-2, Top-1, Full: yes if the three come in this order, sure if both differences exclude 0.",
            f"Order of Paris (Table 3): {PARIS_ORDER}. Of one training and one seed.{noise_note(settings.n)}",
        )
        title = (
            f"Routings with a router that is used wrongly, n = {settings.n}, {settings.steps} {settings.solver} steps"
        )
        return Answer((Table(_TABLE, title, tuple(rows), notes),))


def _along(recording: Recording, experts: int) -> Estimate:
    """The mean over samples and steps of the entropy of Full's weights, over ln K."""
    found = np.asarray(entropy(recording.observed[_WEIGHTS].cpu().double().numpy()).mean(axis=1), dtype=np.float64)
    return mean_estimate(found / math.log(experts))


_Found = dict[str, tuple[float, float]]
_known: dict[tuple[object, ...], _Found] = {}
"""By what decides them: needs are asked for several times, and a router may be slow."""


def _temperatures(pool: ExpertPool, target: float) -> _Found:
    """For each fault the temperature that brings the router nearest to an entropy, and that entropy, over ln K."""
    key = (*pool.fingerprints.items(), *FAULTS, target)
    if key not in _known:
        clean = _logits(pool, NONE)
        # A stale router is as flat as it is at all, if a step late.
        asked = {NONE: clean, STALE: clean, PERMUTED: permuted(clean)}
        matched = {
            fault: _matched(asked[fault] if fault in asked else _logits(pool, fault), target)
            for fault in (NONE, *FAULTS)
        }
        _known[key] = {**matched, EQUAL: (math.inf, 1.0)}
    return _known[key]


@torch.no_grad()
def _logits(pool: ExpertPool, fault: str) -> torch.Tensor:
    """Of a router that is shown something wrong, or nothing, at training states noised to each of `TENTHS`.

    Float64, shape ``(n, K)``.
    """
    clean = pool.measures.real_states(_STATES, held_out=False)[0]
    noise = initial_noise(sample_seeds(0, len(clean)), pool.state_shape).to(clean)
    parts = []
    for moment in TENTHS:
        t = clean.new_full((len(clean),), moment)
        x = interpolate(clean, noise, t)
        parts.append(pool.router_logits(x, t) if fault == NONE else faulty_logits(fault, pool, x, t))
    return torch.cat(parts).cpu().double()


def _matched(logits: torch.Tensor, target: float) -> tuple[float, float]:
    def noised(log_temperature: float) -> float:
        log_p = (logits / math.exp(log_temperature)).log_softmax(dim=1)
        return float(-(log_p.exp() * log_p).sum(dim=1).mean()) / math.log(logits.shape[1])

    low, high = -math.log(_HOTTEST), math.log(_HOTTEST)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if noised(middle) < target else (low, middle)
    rounded = float(f"{math.exp(high):.4g}")  # what is spelled in a routing is what is used
    return rounded, noised(math.log(rounded))


def _samplings(pool: ExpertPool, settings: FaultSettings, fault: str, temperatures: _Found) -> dict[str, Sampling]:
    """By strategy, the samples of one fault."""
    of = "" if fault in _OTHERS else f"@fault={fault}"
    temperature = f"@T={temperatures[fault][0]:g}"
    spelled = {name: f"{name}{'+equal' if fault == EQUAL else temperature}{of}" for name in ("top2", "full")}
    spelled["top1"] = f"top1{of}"
    if pool.has_monolith:
        spelled[MONOLITH] = MONOLITH
    return {name: settings.sampling(spelled[name]) for name in STRATEGIES if name in spelled}


@dataclass(frozen=True)
class _Distances:
    """Of some samples to the held-out states: of infinitely many if they are enough, and with the shares put right."""

    plain: float
    limit: FrechetLimit | None
    balanced: Estimate | None

    @property
    def fid(self) -> Estimate | float:
        return self.plain if self.limit is None else self.limit.estimate


@final
class _Rulers:
    """What samples are measured with."""

    def __init__(self, pool: ExpertPool, settings: FaultSettings) -> None:
        self._pool, self._features = pool, features_named(pool, settings.features)
        self._real = real_features(pool, self._features)
        self._apart = ClassesApart.known(pool, self._features)
        self._known: dict[str, _Distances] = {}
        self.floor = frechet_floor(pool, self._features, settings.n)

    def distances(self, recording: Recording) -> _Distances:
        if recording.key not in self._known:
            images = self._pool.decode(recording.final.to(self._pool.device))
            vectors = extract(self._features, images)
            enough = min(len(vectors), len(self._real.vectors)) > 1
            plain = frechet_distance(self._real.vectors, vectors) if enough else math.nan
            asked = self._pool.condition(recording.seeds).captions
            balanced = self._apart.balanced(images, vectors, asked) if self._apart is not None and enough else None
            self._known[recording.key] = _Distances(plain, self._real.limit(vectors, asked), balanced)
        return self._known[recording.key]


def _row(found: Mapping[str, _Distances]) -> dict[str, Value]:
    row: dict[str, Value] = {f"fid_{name}": distances.fid for name, distances in found.items()}
    limits = {name: distances.limit for name, distances in found.items() if distances.limit is not None}
    routed = [name for name in STRATEGIES if name != MONOLITH]
    sure = len(limits) == len(found)
    for better, worse in pairwise(routed):
        if better in limits and worse in limits:
            row[f"difference_{worse}_{better}"] = apart = limits[worse].minus(limits[better])
            sure = sure and apart.low > 0
    order = sorted(found, key=lambda name: _value(found[name].fid))
    as_routed = [name for name in order if name != MONOLITH] == routed
    balanced = {name: distances.balanced for name, distances in found.items() if distances.balanced is not None}
    row |= {
        "order": ", ".join(order),
        "routed_order": ("sure" if sure else "yes") if as_routed else "no",
        "paris_order": "yes" if ", ".join(order) == PARIS_ORDER else "no",
        **{f"fid_balanced_{name}": fid for name, fid in balanced.items()},
    }
    return {**row, **({"order_balanced": told} if (told := best_first(balanced)) else {})}


def _value(fid: Estimate | float) -> float:
    return fid.value if isinstance(fid, Estimate) else fid
