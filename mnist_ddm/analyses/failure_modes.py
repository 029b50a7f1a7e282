"""How often does each routing fail, and how? Table 13 of the paper."""

from collections.abc import Mapping
from typing import final

import numpy as np
import torch
from torch import Tensor

from mnist_ddm.analyses.along import (
    TERM_NORMS,
    both_resolutions,
    lipschitz,
    sd,
    step_refinement,
    strategies,
    term_norms,
)
from mnist_ddm.analyses.analysis import (
    Analysis,
    Answer,
    Need,
    Settings,
    Table,
    Value,
    chosen_distance,
    fill,
    paper_values,
    sampling_of,
)
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import TENTHS, Visits
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Array, Estimate, mean_estimate, share_estimate

ROUTINGS = ("top1", "top2", "top4", "full")
_REFERENCE = "top2"
_PERCENTILE = 90
_LIMITS: Mapping[str, float] = {"entropy": 1.5, "Delta_refine": 0.1, "L_eff": 50.0}
"""The paper's absolute thresholds: nats, distance, norm."""


@final
class FailureModes(Analysis):
    """Shares of samples with an uncertain router, a large refinement error, or a large Jacobian."""

    @property
    def id(self) -> str:
        return "failure-modes"

    @property
    def group(self) -> str:
        return "sensitivity"

    @property
    def question(self) -> str:
        return "How often does each routing fail, and how? (Table 13)"

    def settings(self, chosen: Settings) -> Settings:
        return fill(chosen, n=100, steps=50)

    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        if pool.n_experts < 2:
            raise InputError(f"{self.id} compares Top-k routings and needs at least 2 experts")
        chosen_distance(pool, settings)
        names = strategies(pool, ROUTINGS)
        return tuple(n for r in names for n in both_resolutions(settings, r, (TERM_NORMS, "logits")))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Settings) -> Answer:
        names, paper = strategies(pool, ROUTINGS), paper_values(self.id, pool.name)
        indicators = {r: _indicators(pool, settings, recordings, r) for r in names}
        reference = {k: float(np.percentile(v, _PERCENTILE)) for k, v in indicators[_REFERENCE].items()}
        rows = []
        for r in names:
            found = indicators[r]
            row: dict[str, Value] = {"routing": r}
            for name in ("L_eff", "Delta_refine"):
                row |= {name: mean_estimate(found[name]), f"{name} sd": sd(found[name])}
            row["entropy > 1.5 nats (%)"] = _share(found["entropy"], _LIMITS["entropy"])
            row["the same over all t (%)"] = _share(found["entropy over all t"], _LIMITS["entropy"])
            row["Delta_refine > 0.1 (%)"] = _share(found["Delta_refine"], _LIMITS["Delta_refine"])
            row["L_eff > 50 (%)"] = _share(found["L_eff"], _LIMITS["L_eff"])
            rows.append(row | {f"paper {name}": value for name, value in paper[r].items()})
        relative = [
            {"routing": r, **{f"{k} (%)": _share(indicators[r][k], reference[k]) for k in _LIMITS}} for r in names
        ]
        limits = ", ".join(f"{name} > {reference[name]:.3g}" for name in _LIMITS)
        place = paper["place"]
        title = f"Failure modes by the paper's absolute thresholds, n = {settings.n}; paper: {place}"
        notes = (
            "entropy: the largest of the router's softmax over t in [0.1, 0.9]. Over all t it says little: a "
            f"calibrated router of {pool.n_experts} equal clusters has {np.log(pool.n_experts):.2f} nats at t = 1.",
            f"Thresholds in {chosen_distance(pool, settings).name} distance and in Jacobian norms mean something else "
            "on another system; so the second table sets them by percentile.",
        )
        tables = (
            Table(self.id, title, tuple(rows[0]), tuple(rows), notes),
            Table(
                f"{self.id}-relative",
                f"The same with thresholds at Top-2's {_PERCENTILE}th percentiles: {limits}",
                tuple(relative[0]),
                tuple(relative),
                (f"Top-2 has {100 - _PERCENTILE}% by construction, or less where values are equal.",),
            ),
        )
        return Answer(tables)


def _indicators(
    pool: ExpertPool, settings: Settings, recordings: Mapping[Visits, Recording], routing: str
) -> dict[str, Array]:
    recording = recordings[sampling_of(settings, routing)]
    entropy = _entropy(recording.observed["logits"])
    times = recording.times.numpy()
    # The times themselves are decimal fractions that binary ones only approximate.
    inside = (times > min(TENTHS) - 1e-9) & (times < max(TENTHS) + 1e-9)
    return {
        "L_eff": lipschitz(term_norms(recording)["expert"]),
        "Delta_refine": step_refinement(pool, settings, recordings, routing),
        "entropy": (entropy[:, inside] if inside.any() else entropy).max(axis=1),
        "entropy over all t": entropy.max(axis=1),
    }


def _entropy(logits: Tensor) -> Array:
    """The entropy of the router's softmax in nats, shape ``(n, T)``."""
    entropy = torch.distributions.Categorical(logits=logits.double()).entropy()
    return np.asarray(entropy.numpy(), dtype=np.float64)


def _share(values: Array, limit: float) -> Value:
    share = share_estimate(values > limit)
    return Estimate(100 * share.value, 100 * share.low, 100 * share.high)
