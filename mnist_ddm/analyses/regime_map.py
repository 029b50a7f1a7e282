"""When does averaging over all experts fail? A map over the router's sharpness and the experts' errors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import is_number
from mnist_ddm.analyses.quality import STEPS, noise_note
from mnist_ddm.analyses.settings import TrajectorySettings
from mnist_ddm.analyses.systems import features_named
from mnist_ddm.analyses.within import ClassesApart
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.errors import InputError
from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.metrics.frechet import extract, frechet_distance
from mnist_ddm.metrics.real import frechet_floor, real_features
from mnist_ddm.stats.differences import difference
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.tables.table import Column, Row, Schema, Table

TEMPERATURES = (0.25, 1.0, 2.0, 4.0, 16.0, math.inf)
"""Of the router: 1 is as trained, below it is sharper, infinity has equal weights."""

STRATEGIES = ("top1", "top2", "full")
PARIS_ORDER = "top2, top1, full"
"""Best first, in the paper's Table 3."""
_INFINITE = "infinite"
_AS_THEY_ARE = "as they are"
_TABLE = Schema(
    "regime-map",
    (
        Column("experts", "experts", "key"),
        Column("t_router", "T", "key", accepts=lambda text: text == _INFINITE or is_number(text)),
        *(Column(f"fid_{strategy}", f"FID {strategy}") for strategy in STRATEGIES),
        Column("fid_floor", "FID of as many real states", "note"),
        Column("full_over_best", "full / best of top1, top2"),
        Column("full_worse", "KID x 1000, full minus the best of top1, top2"),
        Column("order", "order, best first", "note"),
        Column("paris_order", "order of Paris in the paper", "note"),
        *(
            Column(f"fid_balanced_{s}", f"FID {s} with the classes' shares put right", optional=True)
            for s in STRATEGIES
        ),
        Column("order_balanced", "order within classes", "note", optional=True),
    ),
)


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

    def sampling_at(self, strategy: str, temperature: float, level: str) -> Sampling:
        """The samples of a strategy at a temperature of the router, of experts with a level of error."""
        routing = _spelled(strategy, temperature)
        return Sampling(routing, self.n, self.seed, self.solver, self.steps, variant=level)


@final
class RegimeMap(Analysis[RegimeSettings]):
    """The Frechet distance of Top-1, Top-2 and the full ensemble over two knobs.

    One is the temperature of the router; Top-1 does not depend on it. The other is the error that experts make away
    from their own cluster: exact by construction on the Gaussian system, the kept training stages on digits.
    """

    id = "regime-map"
    group = "regimes"
    question = "When does averaging over all experts fail? (beyond the paper)"
    tables = (_TABLE,)
    sizes = Sizes(
        small=RegimeSettings(n=8, steps=10),
        medium=RegimeSettings(n=100),
        full=RegimeSettings(n=500),
    )

    def needs(self, pool: ExpertPool, settings: RegimeSettings) -> tuple[Need, ...]:
        if pool.n_experts < 3:
            raise InputError(f"{self.id} compares Top-1, Top-2 and all experts and needs at least 3 experts")
        pool.measures.real_states(1)
        features_named(pool, settings.features)
        return tuple(
            dict.fromkeys(
                Need(settings.sampling_at(strategy, temperature, level))
                for level in pool.error_levels
                for temperature in settings.temperatures
                for strategy in STRATEGIES
            )
        )

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: RegimeSettings) -> Answer:
        rows: list[Row] = []
        features = features_named(pool, settings.features)
        floor, apart = frechet_floor(pool, features, settings.n), ClassesApart.known(pool, features)
        for level in pool.error_levels:
            points = [(strategy, temperature) for temperature in settings.temperatures for strategy in STRATEGIES]
            samplings = {point: settings.sampling_at(*point, level) for point in points}
            known = {
                sampling: _distances(pool, recordings[sampling], settings, apart)
                for sampling in set(samplings.values())
            }
            for temperature in settings.temperatures:
                here = {s: known[samplings[s, temperature]] for s in STRATEGIES}
                rows.append({**_row(level, temperature, here), "fid_floor": floor})
        notes = (
            "T: temperature of the router's logits; 1 is the router as it is, infinite gives the chosen experts equal "
            "weights. Top-1 does not depend on it.",
            "KID: kernel distance, unbiased in n, whose interval says whether Full is worse than the better of "
            "the others.",
            "Shares put right: samples weighted so that each class has its share of the data; extrapolated to infinite "
            "n.",
            f"Order of Paris (Table 3): {PARIS_ORDER}. Of one training and one seed; FIDs have no interval."
            f"{noise_note(settings.n)}",
        )
        title = f"Which routing wins where: FID of n = {settings.n}, {settings.steps} {settings.solver} steps"
        return Answer((Table(_TABLE, title, tuple(rows), notes),), (_plot(rows),))


def _spelled(strategy: str, temperature: float) -> str:
    if strategy == "top1" or temperature == 1:
        return strategy
    return f"{strategy}+equal" if math.isinf(temperature) else f"{strategy}@T={temperature:g}"


@dataclass(frozen=True)
class _Distances:
    """Of some samples to the held-out states: Frechet, kernel times 1000, and Frechet with the shares put right."""

    fid: float
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
    kid = reference.kernel(vectors)
    balanced = apart.balanced(images, vectors) if apart is not None and len(vectors) > 1 else None
    return _Distances(fid, Estimate(*(1000 * end for end in (kid.value, kid.low, kid.high))), balanced)


def _row(level: str, temperature: float, distances: Mapping[str, _Distances]) -> Row:
    fids = {strategy: found.fid for strategy, found in distances.items()}
    kids = {strategy: found.kid for strategy, found in distances.items()}
    balanced = {strategy: found.balanced for strategy, found in distances.items() if found.balanced is not None}
    order = ", ".join(sorted(STRATEGIES, key=lambda strategy: fids[strategy]))
    return {
        "experts": level or _AS_THEY_ARE,
        "t_router": _INFINITE if math.isinf(temperature) else temperature,
        **{f"fid_{strategy}": fid for strategy, fid in fids.items()},
        "full_over_best": fids["full"] / min(fids["top1"], fids["top2"]),
        "full_worse": difference(kids["full"], min(kids["top1"], kids["top2"], key=lambda kid: kid.value)),
        "order": order,
        "paris_order": "yes" if order == PARIS_ORDER else "no",
        **{f"fid_balanced_{strategy}": fid for strategy, fid in balanced.items()},
        **({"order_balanced": ", ".join(sorted(balanced, key=lambda s: balanced[s].value))} if balanced else {}),
    }


def _plot(rows: Sequence[Row]) -> Plot:
    by_level: dict[str, list[Row]] = {}
    for row in rows:
        by_level.setdefault(str(row["experts"]), []).append(row)
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
        "error of the experts",
        series,
    )
