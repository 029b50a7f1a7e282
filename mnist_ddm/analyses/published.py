"""What the paper publishes of Paris' dynamics, measured of any system in numbers that do not depend on its scale."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mnist_ddm.analyses.cluster_distance import CLEAN, centroid_ranks, readings
from mnist_ddm.analyses.deviation import reduction_percent
from mnist_ddm.analyses.paper import PARIS, stated_value
from mnist_ddm.analyses.stability import TERM_NORMS, fixed_times, lipschitz, term_norms
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.stats.intervals import Array, Estimate, mean_estimate, ratio_estimate
from mnist_ddm.stats.summaries import entropy
from mnist_ddm.tables.table import FRACTION, RATIO, Column, Row

_ANGLES, _LEFT_OUT, _WEIGHTS = "angles@tenths", "left-out-angles@tenths", "weights@tenths"
OBSERVABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "top1": (TERM_NORMS,),
    "top2": (TERM_NORMS, _ANGLES, _LEFT_OUT, _WEIGHTS, "x@tenths", "velocity@tenths"),
    "full": (TERM_NORMS, _WEIGHTS),
}
"""What `numbers` reads of the recordings of each routing."""

WITHIN = 0.2
"""A number fits that of the paper if its interval, made wider by this share of the paper's, holds it."""

_MIDDLE = 0.5
_EXPERT, _ROUTER = "expert", "router"


@dataclass(frozen=True)
class _Published:
    """One number.

    Attributes:
        column: of the table.
        short: its name in a list.
        stated: the paper's value of Paris.
    """

    column: Column
    short: str
    stated: float


def _rank_share(rank: Any, n_experts: int) -> Any:
    """A mean rank of two clusters on a scale from 0, the closest two, to 1, any two."""
    closest, random = 1.5, (n_experts + 1) / 2
    return (rank - closest) / (random - closest)


def _of_paris(analysis: str, path: str) -> float:
    value, _ = stated_value(analysis, PARIS, path)
    return float(value) if isinstance(value, int | float) else math.nan


def _published() -> tuple[_Published, ...]:
    experts = 8
    sensitivity = {name: _of_paris("routing-comparison", f"{name}:L_eff") for name in ("top1", "top2", "full")}
    router, expert = (_of_paris("jacobian-decomposition", f"top2:{term}") for term in (_ROUTER, _EXPERT))
    inside, outside = (_of_paris("expert-deviation", name) for name in ("selected", "non_selected"))
    return (
        _Published(
            Column("entropy", "entropy of Full's weights over ln K", kind=FRACTION),
            "entropy",
            _of_paris("rescue", "T=1:entropy") / math.log(experts),
        ),
        _Published(
            Column("l_eff_top1", "L_eff of Top-1 over Full's", kind=RATIO),
            "L_eff Top-1",
            sensitivity["top1"] / sensitivity["full"],
        ),
        _Published(
            Column("l_eff_top2", "L_eff of Top-2 over Full's", kind=RATIO),
            "L_eff Top-2",
            sensitivity["top2"] / sensitivity["full"],
        ),
        _Published(
            Column("router_over_expert", f"router's term over the experts', Top-2, t = {_MIDDLE}", kind=RATIO),
            "router's term",
            router / expert,
        ),
        _Published(
            Column("angle_reduction", "angle of the selected below the others'", unit="%"),
            "angles",
            100 * (1 - inside / outside),
        ),
        _Published(
            Column("left_out_reduction", "the same, each left out of the blend", unit="%"),
            "angles left out",
            100 * (1 - 2 * inside / outside),
        ),
        _Published(
            Column("rank", "rank of Top-2's clusters (0: the closest two, 1: any two)"),
            "ranks",
            _rank_share(_of_paris("cluster-distance", "top2:rank"), experts),
        ),
    )


PUBLISHED: Final = _published()
COLUMNS: Final = (*(p.column for p in PUBLISHED), Column("fits", "numbers of Paris that it fits", "note"))


def stated_note() -> str:
    """The paper's values, and what it is to fit them."""
    values = "; ".join(f"{p.short} {p.stated:.3g}" for p in PUBLISHED)
    return (
        f"Paris in the paper (Tables 1, 2, 3, 6 and 9): {values}. A number fits if its interval, made wider by "
        f"{WITHIN:.0%} of the paper's value, holds that. Left out, a selected expert is compared with the blend of the "
        "others; the paper's value is implied by its two angles. Of tenths of the trajectories alone."
    )


def numbers(pool: ExpertPool, recordings: Mapping[str, Recording]) -> Row:
    """The numbers of one system.

    Args:
        pool: the system.
        recordings: of Top-1, Top-2 and the full ensemble from the same noise, with `OBSERVABLES`.
    """
    # The paper's L_eff of 17 beside a router's term of 923 can only be the experts' term.
    sensitive = {name: lipschitz(term_norms(of)[_EXPERT]) for name, of in recordings.items()}
    two, norms = recordings["top2"], term_norms(recordings["top2"])
    middle = int(np.abs(fixed_times(two) - _MIDDLE).argmin())
    weights = two.observed[_WEIGHTS].double().numpy()
    measured: dict[str, Callable[[], Estimate | None]] = {
        "entropy": lambda: mean_estimate(_entropies(recordings["full"]) / math.log(pool.n_experts)),
        "l_eff_top1": lambda: ratio_estimate(sensitive["top1"], sensitive["full"]),
        "l_eff_top2": lambda: ratio_estimate(sensitive["top2"], sensitive["full"]),
        "router_over_expert": lambda: ratio_estimate(norms[_ROUTER][:, middle], norms[_EXPERT][:, middle]),
        "angle_reduction": lambda: _reduction(two.observed[_ANGLES].double().numpy(), weights > 0),
        "left_out_reduction": lambda: _reduction(two.observed[_LEFT_OUT].double().numpy(), weights > 0),
        "rank": lambda: _rank(pool, two, weights),
    }
    row = {name: measure() for name, measure in measured.items()}
    fitting = [p.short for p in PUBLISHED if fits(row[p.column.key], p.stated)]
    return {**row, "fits": ", ".join(fitting) or "none"}


def fits(found: Estimate | None, stated: float) -> bool:
    """Whether a number fits the one that is stated: its interval, or itself where it has none; see `WITHIN`."""
    if found is None:
        return False
    room, given = WITHIN * abs(stated), not math.isnan(found.low)
    low, high = (found.low, found.high) if given else (found.value, found.value)
    return low - room <= stated <= high + room


def _entropies(recording: Recording) -> Array:
    """Of the weights in nats, the mean over the recorded times; shape ``(n,)``."""
    return np.asarray(entropy(recording.observed[_WEIGHTS].double().numpy()).mean(axis=1), dtype=np.float64)


def _reduction(angles: Array, selected: NDArray[np.bool_]) -> Estimate:
    """How much smaller the selected experts' angle is than the others', in percent."""
    inside, outside = (np.nanmean(np.where(mask, angles, np.nan), axis=(1, 2)) for mask in (selected, ~selected))
    return reduction_percent(inside, outside)


def _rank(pool: ExpertPool, recording: Recording, weights: Array) -> Estimate | None:
    """The mean rank of the selected clusters, 0 for the closest two and 1 for the mean of all."""
    embedding = next(iter(pool.measures.embeddings.values()), None)
    if embedding is None:
        return None
    ranks = readings(centroid_ranks(pool, embedding, recording, CLEAN), weights, everything=False)["mean_rank"]
    return mean_estimate(_rank_share(ranks.mean(axis=1), pool.n_experts))
