"""Is the router consistent with its experts? Its part of the Jacobian beside the one that they imply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import ROUTING, TIME
from mnist_ddm.analyses.settings import TrajectorySettings
from mnist_ddm.core.consistency import PARTS
from mnist_ddm.core.field import RoutedField, make_field
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.errors import InputError
from mnist_ddm.figures.plot import Plot, banded
from mnist_ddm.stats.intervals import Array, Estimate, bounded_mean_estimate, mean_estimate, ratio_estimate
from mnist_ddm.tables.table import RATIO, Column, Row, Schema, Table

ROUTINGS = ("full", "full@T=0.5", "full@T=4", "top2")
_OBSERVABLE = "router-consistency@tenths"
_AS_IT_IS = "as it is"
_UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))
_TABLE = Schema(
    "router-consistency",
    (
        Column("router", "router and experts", "key"),
        ROUTING,
        TIME,
        Column("learned", "norm of its term"),
        Column("implied", "norm of the implied term"),
        Column("ratio", "norm / implied", kind=RATIO),
        Column("angle", "angle between them", unit="deg"),
        Column("along", "part along the implied term"),
        Column("trace_ratio", "trace / implied", kind=RATIO),
        Column("asymmetry", "asymmetry of its term"),
        Column("asymmetry_whole", "asymmetry of the Jacobian"),
    ),
)


@final
@dataclass(frozen=True, kw_only=True)
class ConsistencySettings(TrajectorySettings):
    """For the analysis of consistency."""

    def sampling_of(self, routing: str, variant: str) -> Sampling:
        """The trajectories of a routing on a variant of the system."""
        return replace(self.sampling(routing), variant=variant)


@final
class RouterConsistency(Analysis[ConsistencySettings]):
    r"""The router's term :math:`\sum_k (v_k - v) \nabla w_k^T` of the Jacobian beside the one that experts imply.

    That is :math:`-\frac{1-t}{t} \sum_k w_k (v_k - v)(v_k - v)^T`. They are equal if the weights are the posterior of
    these experts. A router that is too flat in value has the right direction and too small a norm; one that is rough in
    x a large norm in wrong directions. But so do experts that err beside an exact router, so that the two tell of each
    other, not which of them is off. Systems may have errors as variants (`ExpertPool.error_levels`); temperature and
    roughness (`@T=4`, `@rough=5`) are modifiers of any routing.
    """

    id = "router-consistency"
    group = "sensitivity"
    question = "Is the router consistent with its experts? (beyond the paper)"
    tables = (_TABLE,)
    compares = True
    sizes = Sizes(
        small=ConsistencySettings(n=4, steps=4),
        medium=ConsistencySettings(n=20, steps=20),
        full=ConsistencySettings(n=100),
    )

    def needs(self, pool: ExpertPool, settings: ConsistencySettings) -> tuple[Need, ...]:
        if pool.n_experts < 2:
            raise InputError(f"{self.id} needs at least 2 experts")
        return tuple(Need(sampling, (_OBSERVABLE,)) for sampling in self._samplings(pool, settings).values())

    def _samplings(self, pool: ExpertPool, settings: ConsistencySettings) -> dict[tuple[str, str], Sampling]:
        """By variant and routing: experts that err with the first routing alone."""
        rough = [f"full@rough={slope:g}" for slope in pool.roughnesses]
        fields = [make_field(pool, routing) for routing in settings.compared(pool, (*ROUTINGS, *rough))]
        routings = [f.name for f in fields if isinstance(f, RoutedField) and f.routing.needs_router]
        if not routings:
            raise InputError(f"{self.id} needs routings that ask a router")
        wanted = [("", routing) for routing in routings] + [(error, routings[0]) for error in pool.error_levels[1:]]
        return {(variant, routing): settings.sampling_of(routing, variant) for variant, routing in wanted}

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: ConsistencySettings) -> Answer:
        rows: list[Row] = []
        for (variant, routing), sampling in self._samplings(pool, settings).items():
            recording = recordings[sampling]
            values = recording.observed[_OBSERVABLE].double().numpy()
            for i, t in enumerate(recording.times_of(_OBSERVABLE).tolist()):
                which: Row = {"router": variant or _AS_IT_IS, "routing": routing, "t": t}
                rows.append({**which, **_row(values[:, i])})
        notes = (
            "norm: Frobenius, root mean square over samples, as the ratio is of them. angle: mean over the samples in "
            "which neither term is 0. part along: the inner product of both over the squared norm of the implied one, "
            "each a mean; 1 if consistent, 1 / T of an exact router at temperature T. trace / implied: of the means of "
            "the traces, of which the implied one is the weighted disagreement of the experts.",
            "asymmetry: root mean square of the antisymmetric part over that of the whole, 0 for the gradient of a "
            "density's logarithm, at most 1. Of the whole Jacobian it is estimated with one vector of signs for each "
            "sample.",
        )
        title = f"The router's part of the Jacobian and what the experts imply, n = {settings.n}"
        return Answer((Table(_TABLE, title, tuple(rows), notes),), (_plot(rows),))


def _row(values: Array) -> Row:
    """The columns at one time, of the numbers of `PARTS`, shape ``(n, 8)``."""
    part = dict(zip(PARTS, values.T, strict=True))
    # Late on the weights of most samples are 1 and 0, and both terms nothing: no angle is between them.
    both = np.sqrt(part["learned"]) * np.sqrt(part["implied"])
    cosine = np.clip(part["product"][both > 0] / both[both > 0], -1, 1)
    # |A - A^T|^2 = 2 |A|^2 - 2 <A, A^T>, of which a half of the root is the antisymmetric part.
    skew = np.maximum(part["learned"] - part["transposed"], 0) / 2
    return {
        "learned": _root(mean_estimate(part["learned"])),
        "implied": _root(mean_estimate(part["implied"])),
        "ratio": _root(ratio_estimate(part["learned"], part["implied"])),
        "angle": bounded_mean_estimate(np.degrees(np.arccos(cosine)), 0, 180) if len(cosine) else _UNKNOWN,
        "along": ratio_estimate(part["product"], part["implied"]),
        "trace_ratio": ratio_estimate(-part["trace"], -part["implied_trace"]),
        "asymmetry": _root(ratio_estimate(skew, part["learned"])),
        "asymmetry_whole": _root(ratio_estimate(part["skew"] / 4, part["probed"])),
    }


def _root(square: Estimate) -> Estimate:
    return Estimate(*(float(np.sqrt(max(end, 0))) for end in (square.value, square.low, square.high)))


def _plot(rows: Sequence[Row]) -> Plot:
    names = list(dict.fromkeys((row["router"], row["routing"]) for row in rows))
    series = []
    for router, routing in names:
        own = [row for row in rows if (row["router"], row["routing"]) == (router, routing)]
        label = str(routing) if router == _AS_IT_IS else f"{routing}, {router}"
        series.append(banded(label, [t for row in own if isinstance(t := row["t"], float)], [r["ratio"] for r in own]))
    title = "Norm of the router's term of the Jacobian over the implied one (1: consistent)"
    return Plot(
        "router-consistency", "lines", title, "t (1 = noise, 0 = data)", "ratio of norms", tuple(series), falling_x=True
    )
