r"""What the analyses of stability share: norms of Jacobians along trajectories, and the refinement error at their end.

The paper calls a routing stable if its :math:`L_{eff}` and its :math:`\Delta_{refine}` are small.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from mnist_ddm.analyses.analysis import Need
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.measures import Distance
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.sensitivity import TERMS, TOLERANCE
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.stats.intervals import Array

STRATEGIES = (MONOLITH, "top1", "top2", "top4", "full")
"""The fields that the paper compares, Top-4 from its Table 13 and the monolith from its Table 3."""

TERM_NORMS = "jacobian-terms@tenths"
"""The observable that `term_norms` reads: the norms of all terms of the Jacobian at t = 0.9, ..., 0.1."""

EXPERT_NORM = "expert-term@tenths"
"""The observable that `largest_expert_norm` reads: the norm of the expert term alone at t = 0.9, ..., 0.1.

It costs a quarter of `TERM_NORMS`.
"""

VISIBLE = 0.05
"""A refinement error counts as an event if it is this share of the distance of two unrelated samples."""

_AT_ONCE = 256
"""So many pairs of final states are decoded and compared at a time, which limits the memory that a distance takes."""


def refined(sampling: Sampling) -> Sampling:
    """The same with twice as many steps from the same noise; random routings see the same field."""
    return replace(sampling, refine=2)


def both_resolutions(sampling: Sampling, *observables: str) -> tuple[Need, Need]:
    """Trajectories with N steps and what to keep of them, and the same with 2N."""
    return Need(sampling, observables), Need(refined(sampling))


@torch.inference_mode()
def step_refinement(
    pool: ExpertPool, recordings: Mapping[Visits, Recording], sampling: Sampling, distance: Distance
) -> Array:
    r""":math:`\Delta_{refine}`, the distance of the samples after N and after 2N steps (Equation 2), shape ``(n,)``."""
    coarse, fine = (recordings[visits].final.split(_AT_ONCE) for visits in (sampling, refined(sampling)))
    distances = [
        distance(*(pool.decode(states.to(pool.device)) for states in pair)).cpu().double()
        for pair in zip(coarse, fine, strict=True)
    ]
    return np.asarray(torch.cat(distances).numpy(), dtype=np.float64)


@torch.inference_mode()
def visible_error(pool: ExpertPool, recording: Recording, distance: Distance) -> float:
    """The distance from which an error can be seen: `VISIBLE` times the median distance of two different samples."""
    images = [pool.decode(states.to(pool.device)) for states in recording.final.split(_AT_ONCE)]
    apart = [distance(part, part.roll(1, dims=0)).cpu().double() for part in images if len(part) > 1]
    return VISIBLE * float(torch.cat(apart).median()) if apart else 0.0


def term_norms(recording: Recording) -> dict[str, Array]:
    """For each of `TERMS` the norms at the fixed times, from `TERM_NORMS`, shape ``(n, T)``."""
    values = recording.observed[TERM_NORMS][..., 0].double().numpy()
    return {term: values[:, :, i] for i, term in enumerate(TERMS)}


def largest_expert_norm(recording: Recording) -> Array:
    """:math:`L_{eff}` of the expert term, from `EXPERT_NORM`, shape ``(n,)``."""
    return lipschitz(recording.observed[EXPERT_NORM][..., 0].double().numpy())


def fixed_times(recording: Recording) -> Array:
    """The times of `term_norms`, shape ``(T,)``."""
    return np.asarray(recording.times_of(TERM_NORMS).numpy(), dtype=np.float64)


def lipschitz(norms: Array) -> Array:
    """The maximum over the recorded states of each sample, from ``(n, T)`` to ``(n,)``."""
    return np.asarray(norms.max(axis=1), dtype=np.float64)


def effort_note(recordings: Sequence[Recording]) -> str:
    """How exact the norms are, and what they cost."""
    everything = torch.cat([r.observed[TERM_NORMS].flatten(0, 2) for r in recordings])
    measured = everything[everything[:, 2] > 0]
    open_ones = int((measured[:, 1] > TOLERANCE).sum())
    return (
        f"Spectral norms: relative residual at most {float(measured[:, 1].max()):.2g}, {open_ones} of {len(measured)} "
        f"not converged, {float(measured[:, 2].mean()):.1f} products J v or J^T u each on average."
    )
