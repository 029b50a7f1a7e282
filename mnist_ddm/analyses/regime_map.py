"""When does averaging over all experts fail? A map over the router's temperature and roughness and experts' errors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import is_number
from mnist_ddm.analyses.published import COLUMNS, OBSERVABLES, numbers, stated_note
from mnist_ddm.analyses.quality import STEPS, noise_note
from mnist_ddm.analyses.settings import TrajectorySettings
from mnist_ddm.analyses.systems import features_named
from mnist_ddm.analyses.within import ClassesApart, best_first
from mnist_ddm.core.consistency import PARTS
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.errors import InputError
from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.metrics.frechet import extract, frechet_distance
from mnist_ddm.metrics.frechet_limit import FrechetLimit
from mnist_ddm.metrics.real import frechet_floor, real_features
from mnist_ddm.stats.differences import difference, largest
from mnist_ddm.stats.intervals import Estimate, mean_estimate, ratio_estimate
from mnist_ddm.tables.table import RATIO, Column, Row, Schema, Table, Value

TEMPERATURES = (0.25, 1.0, 2.0, 4.0, 16.0, math.inf)
"""Of the router: 1 is as trained, below it is sharper, infinity has equal weights."""

STRATEGIES = ("top1", "top2", "full")
PARIS_ORDER = "top2, top1, full"
"""Best first, in the paper's Table 3."""
_INFINITE = "infinite"
_AS_THEY_ARE, _AS_IT_IS = "as they are", "as it is"
_TABLE = Schema(
    "regime-map",
    (
        Column("experts", "experts", "key"),
        Column("router", "router", "key"),
        Column("t_router", "T", "key", accepts=lambda text: text == _INFINITE or is_number(text)),
        *(Column(f"fid_{strategy}", f"FID {strategy}") for strategy in STRATEGIES),
        Column("fid_floor", "FID of as many real states", "note"),
        Column("full_over_best", "full / best of top1, top2", kind=RATIO),
        Column("full_worse", "KID x 1000, full minus the best of top1, top2"),
        *(Column(f"fid_full_{s}", f"FID of infinitely many, full minus {s}", optional=True) for s in ("top1", "top2")),
        Column("order", "order, best first", "note"),
        Column("paris_order", "order of Paris in the paper", "note"),
        *(
            Column(f"fid_balanced_{s}", f"FID {s} with the classes' shares put right", optional=True)
            for s in STRATEGIES
        ),
        Column("order_balanced", "order within classes", "note", optional=True),
        Column("router_term", "router's term of the Jacobian of Full", optional=True),
        Column("router_ratio", "the same over the implied one", kind=RATIO, optional=True),
    ),
)
_NUMBERS = Schema(
    "regime-map-published",
    (*(column for column in _TABLE.columns if column.role == "key"), *COLUMNS, _TABLE["paris_order"]),
)
_TERM = "router-consistency@tenths"
_MIDDLE = 0.5
_FEW = 20
"""Samples of which the router's term is measured, as `router-consistency` measures it."""


@dataclass(frozen=True)
class _Level:
    """One line of the map.

    Attributes:
        experts: the variant with their error; empty for the system as it is.
        router: its roughness, as `rough=5`; empty for the router as it is.
    """

    experts: str
    router: str = ""


@final
@dataclass(frozen=True, kw_only=True)
class RegimeSettings(TrajectorySettings):
    """For the map of regimes.

    Attributes:
        steps: N, the number of solver steps.
        features: name of features of the system; empty for its default.
        temperatures: of the router, the columns of the map.
    """

    steps: int = STEPS
    features: str = ""
    temperatures: tuple[float, ...] = TEMPERATURES

    def sampling_at(self, strategy: str, temperature: float, level: "_Level") -> Sampling:
        """The samples of a strategy at a temperature of the router, with these experts and this roughness."""
        routing = _spelled(strategy, temperature) + (f"@{level.router}" if level.router else "")
        return Sampling(routing, self.n, self.seed, self.solver, self.steps, variant=level.experts)

    def few_at(self, strategy: str, temperature: float, level: "_Level") -> Sampling:
        """The few samples whose Jacobians are looked at."""
        return replace(self.sampling_at(strategy, temperature, level), n=min(self.n, _FEW))


@final
class RegimeMap(Analysis[RegimeSettings]):
    """The Frechet distance of Top-1, Top-2 and the full ensemble over three knobs.

    One is the temperature of the router; Top-1 does not depend on it. Another is the error that experts make away from
    their own cluster: exact by construction on the Gaussian system, the kept training stages on digits. The third, at
    the least and the largest error, is the roughness of the router in x, where a system has it; the router's term of
    the Jacobian stands beside, which tells a rough router from a flat one, and so does all else that the paper states
    of Paris' dynamics.
    """

    id = "regime-map"
    group = "regimes"
    question = "When does averaging over all experts fail? (beyond the paper)"
    tables = (_TABLE, _NUMBERS)
    fixed = "it asks when the paper's order of its own routings appears"
    sizes = Sizes(
        small=RegimeSettings(n=8, steps=10, temperatures=(1.0, 4.0, math.inf)),
        medium=RegimeSettings(n=100),
        full=RegimeSettings(n=500),
    )

    def needs(self, pool: ExpertPool, settings: RegimeSettings) -> tuple[Need, ...]:
        if pool.n_experts < 3:
            raise InputError(f"{self.id} compares Top-1, Top-2 and all experts and needs at least 3 experts")
        pool.measures.real_states(1)
        features_named(pool, settings.features)
        points = [(level, temperature) for level in _levels(pool) for temperature in settings.temperatures]
        needs = [
            Need(settings.sampling_at(strategy, temperature, level))
            for level, temperature in points
            for strategy in STRATEGIES
        ]
        if pool.roughnesses:
            needs += [
                Need(settings.few_at(strategy, temperature, level), observables)
                for level, temperature in points
                for strategy, observables in OBSERVABLES.items()
            ]
            needs += [Need(settings.few_at("full", t, level), (_TERM,)) for level, t in points if math.isfinite(t)]
        return tuple(dict.fromkeys(needs))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: RegimeSettings) -> Answer:
        rows: list[Row] = []
        published: list[Row] = []
        features = features_named(pool, settings.features)
        floor, apart = frechet_floor(pool, features, settings.n), ClassesApart.known(pool, features)
        for level in _levels(pool):
            points = [(strategy, temperature) for temperature in settings.temperatures for strategy in STRATEGIES]
            samplings = {point: settings.sampling_at(*point, level) for point in points}
            known = {
                sampling: _distances(pool, recordings[sampling], settings, apart)
                for sampling in set(samplings.values())
            }
            for temperature in settings.temperatures:
                here = {s: known[samplings[s, temperature]] for s in STRATEGIES}
                row = {**_row(level, temperature, here), "fid_floor": floor}
                if pool.roughnesses:
                    few = {name: recordings[settings.few_at(name, temperature, level)] for name in OBSERVABLES}
                    row |= _term(few["full"]) if math.isfinite(temperature) else {}
                    kept = {column.key: row[column.key] for column in _NUMBERS.columns if column.key in row}
                    published.append({**kept, **numbers(pool, few)})
                rows.append(row)
        notes: tuple[str, ...] = (
            "T: temperature of the router's logits; 1 is the router as it is, infinite gives the chosen experts equal "
            "weights. Top-1 does not depend on it.",
            "KID: kernel distance, unbiased in n, whose interval says whether Full is worse than the better of "
            "the others; it knows that the better one was chosen by its estimate.",
            "Shares put right: samples weighted so that each class has its share of the data; extrapolated to infinite "
            "n.",
            "FID of infinitely many: with the interval of the pairs from the same noise, where samples are enough.",
            f"Order of Paris (Table 3): {PARIS_ORDER}. Of one training and one seed; FIDs of n have no interval."
            f"{noise_note(settings.n)}",
        )
        if pool.roughnesses:
            notes += (
                f"router's term: Frobenius norm, root mean square over {min(settings.n, _FEW)} samples at t = "
                f"{_MIDDLE}, beside it the ratio to the one that the experts imply, as in router-consistency. A rough "
                "router's logits are off by at most 0.05, before they are divided by T.",
            )
        title = f"Which routing wins where: FID of n = {settings.n}, {settings.steps} {settings.solver} steps"
        tables = [Table(_TABLE, title, tuple(rows), notes)]
        if published:
            what = f"What the paper publishes of Paris, on the same map: n = {min(settings.n, _FEW)}"
            tables.append(Table(_NUMBERS, what, tuple(published), (stated_note(),)))
        return Answer(tuple(tables), (_plot(rows),))


def _spelled(strategy: str, temperature: float) -> str:
    if strategy == "top1" or temperature == 1:
        return strategy
    return f"{strategy}+equal" if math.isinf(temperature) else f"{strategy}@T={temperature:g}"


@dataclass(frozen=True)
class _Distances:
    """Of some samples to the held-out states.

    Frechet, that of infinitely many if they are enough, kernel times 1000, and Frechet with the shares put right.
    """

    fid: float
    limit: FrechetLimit | None
    kid: Estimate
    balanced: Estimate | None


def _distances(
    pool: ExpertPool, recording: Recording, settings: RegimeSettings, apart: ClassesApart | None
) -> _Distances:
    features = features_named(pool, settings.features)
    reference = real_features(pool, features)
    images = pool.decode(recording.final.to(pool.device))
    vectors = extract(features, images)
    fid = frechet_distance(reference.vectors, vectors) if min(len(reference.vectors), len(vectors)) > 1 else math.nan
    asked = pool.condition(recording.seeds).captions
    kid = reference.kernel(vectors, asked)
    balanced = apart.balanced(images, vectors, asked) if apart is not None and len(vectors) > 1 else None
    thousandths = Estimate(*(1000 * end for end in (kid.value, kid.low, kid.high)))
    return _Distances(fid, reference.limit(vectors, asked), thousandths, balanced)


def _levels(pool: ExpertPool) -> tuple[_Level, ...]:
    """Each error of the experts, and each roughness of the router at the least and the largest of them."""
    ends = dict.fromkeys((pool.error_levels[0], pool.error_levels[-1]))
    smooth = (_Level(error) for error in pool.error_levels)
    return (*smooth, *(_Level(error, f"rough={slope:g}") for slope in pool.roughnesses for error in ends))


def _term(recording: Recording) -> dict[str, Value]:
    """The router's term of the Jacobian at `_MIDDLE`, and its ratio to the implied one."""
    i = int((recording.times_of(_TERM) - _MIDDLE).abs().argmin())
    part = dict(zip(PARTS, recording.observed[_TERM][:, i].double().numpy().T, strict=True))
    square, ratio = mean_estimate(part["learned"]), ratio_estimate(part["learned"], part["implied"])
    return {"router_term": _root(square), "router_ratio": _root(ratio)}


def _root(square: Estimate) -> Estimate:
    return Estimate(*(math.sqrt(max(end, 0)) for end in (square.value, square.low, square.high)))


def _row(level: _Level, temperature: float, distances: Mapping[str, _Distances]) -> Row:
    fids = {strategy: found.fid for strategy, found in distances.items()}
    kids = {strategy: found.kid for strategy, found in distances.items()}
    balanced = {strategy: found.balanced for strategy, found in distances.items() if found.balanced is not None}
    order = ", ".join(sorted(STRATEGIES, key=lambda strategy: fids[strategy]))
    return {
        "experts": level.experts or _AS_THEY_ARE,
        "router": level.router or _AS_IT_IS,
        "t_router": _INFINITE if math.isinf(temperature) else temperature,
        **{f"fid_{strategy}": fid for strategy, fid in fids.items()},
        "full_over_best": fids["full"] / min(fids["top1"], fids["top2"]),
        **{f"fid_full_{strategy}": apart for strategy, apart in _beyond(distances).items()},
        "full_worse": largest([difference(kids["full"], kids[strategy]) for strategy in STRATEGIES[:2]]),
        "order": order,
        "paris_order": "yes" if order == PARIS_ORDER else "no",
        **{f"fid_balanced_{strategy}": fid for strategy, fid in balanced.items()},
        **({"order_balanced": told} if (told := best_first(balanced)) else {}),
    }


def _beyond(distances: Mapping[str, _Distances]) -> dict[str, Estimate]:
    """By how much Full is farther than the others, paired by noise, where there are enough samples to tell."""
    limits = {strategy: found.limit for strategy, found in distances.items() if found.limit is not None}
    full = limits.pop("full", None)
    return {strategy: full.minus(other) for strategy, other in limits.items()} if full is not None else {}


def _plot(rows: Sequence[Row]) -> Plot:
    by_level: dict[str, list[Row]] = {}
    for row in rows:
        rough = "" if row["router"] == _AS_IT_IS else f", {row['router']}"
        by_level.setdefault(f"{row['experts']}{rough}", []).append(row)
    series = tuple(
        Series(
            level,
            [str(row["t_router"]) for row in group],
            [ratio if isinstance(ratio := row["full_over_best"], float) else math.nan for row in group],
        )
        for level, group in by_level.items()
    )
    return Plot(
        "regime-map",
        "map",
        "FID of Full relative to the better of Top-1 and Top-2 (below 1 Full wins)",
        "temperature of the router",
        "error of the experts, and roughness of the router",
        series,
    )
