"""What the analyses of sensitivity share: trajectories of each routing with N and 2N steps, and norms along them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from mnist_ddm.analyses.analysis import Need, Series, Settings, Value, chosen_distance, fitting, sampling_of
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.sensitivity import TERMS, TOLERANCE
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.stats.intervals import Array, Estimate

STRATEGIES = (MONOLITH, "top1", "top2", "top4", "full")
"""The routings that the paper compares, Top-4 from its Table 13 and the monolith from its Table 3."""

TERM_NORMS = "jacobian-terms@tenths"
SWITCHING = "switching@tenths"
EXPERT_NORM = "expert-term@tenths"
"""The first of `TERM_NORMS` alone, at a quarter of its cost."""
_AT_ONCE = 256


def both_resolutions(settings: Settings, routing: str, observables: tuple[str, ...]) -> tuple[Need, Need]:
    """The run with N steps and what to keep of it, and the one with 2N."""
    run = sampling_of(settings, routing)
    return Need(run, observables), Need(refined(run))


def of_variant(needs: Sequence[Need], variant: str) -> list[Need]:
    """The same of a variant of the system."""
    return [
        replace(need, run=replace(need.visits, variant=variant)) if isinstance(need.visits, Sampling) else need
        for need in needs
    ]


def refined(run: Sampling) -> Sampling:
    """The run with twice as many steps from the same noise; random routings see the same field."""
    return replace(run, refine=2)


@torch.inference_mode()
def step_refinement(
    pool: ExpertPool, settings: Settings, recordings: Mapping[Visits, Recording], routing: str, variant: str = ""
) -> Array:
    r""":math:`\Delta_{refine}`, the distance of the images after N and after 2N steps (Equation 2), shape ``(n,)``."""
    distance, run = chosen_distance(pool, settings), replace(sampling_of(settings, routing), variant=variant)
    finals = [recordings[r].final.split(_AT_ONCE) for r in (run, refined(run))]
    found = [
        distance(*(pool.decode(part.to(pool.device)) for part in parts)).double().cpu()
        for parts in zip(*finals, strict=True)
    ]
    return np.asarray(torch.cat(found).numpy(), dtype=np.float64)


def term_norms(recording: Recording) -> dict[str, Array]:
    """For each of `TERMS` the norms at the fixed times, shape ``(n, T)``."""
    values = recording.observed[TERM_NORMS][..., 0].double().numpy()
    return {term: values[:, :, i] for i, term in enumerate(TERMS)}


def largest_expert_norm(recording: Recording) -> Array:
    """:math:`L_{eff}` of the expert term, from `EXPERT_NORM`, shape ``(n,)``."""
    return lipschitz(recording.observed[EXPERT_NORM][..., 0].double().numpy())


def fixed_times(recording: Recording) -> Array:
    """The times of `term_norms`, shape ``(T,)``."""
    return np.asarray(recording.times_of(TERM_NORMS).numpy(), dtype=np.float64)


def effort_note(recordings: Sequence[Recording]) -> str:
    """How exact the norms are, and what they cost."""
    found = torch.cat([r.observed[TERM_NORMS].flatten(0, 2) for r in recordings])
    measured = found[found[:, 2] > 0]
    open_ones = int((measured[:, 1] > TOLERANCE).sum())
    return (
        f"Spectral norms: relative residual at most {float(measured[:, 1].max()):.2g}, {open_ones} of {len(measured)} "
        f"not converged, {float(measured[:, 2].mean()):.1f} products J v or J^T u each on average."
    )


def lipschitz(norms: Array) -> Array:
    """The maximum over the recorded states of each sample, shape ``(n,)``."""
    return np.asarray(norms.max(axis=1), dtype=np.float64)


def strategies(pool: ExpertPool, names: Sequence[str] = STRATEGIES) -> list[str]:
    """Those that the pool can have."""
    return fitting(pool, names)


def sd(values: Array) -> float:
    """Standard deviation over samples; NaN for fewer than two."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def banded(label: str, times: Sequence[float], estimates: Sequence[Value]) -> Series:
    """A line with its band from estimates."""
    ends = zip(*((e.value, e.low, e.high) for e in estimates if isinstance(e, Estimate)), strict=True)
    return Series(label, list(times), *(list(part) for part in ends))
