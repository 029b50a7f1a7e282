"""Pictures of the first samples of each routing, all from the same noise."""

from collections.abc import Mapping
from pathlib import Path

from mnist_ddm.core.drawing import Points
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.errors import InputError
from mnist_ddm.figures.samples import save_samples

SHOWN_ROUTINGS = ("monolith", "label", "top1", "top2", "top4", "full", "uniform", "misaligned2", "once", "each")
"""Whose samples are shown, in this order, where they are recorded."""

_SHOWN_IMAGES, _COLUMNS, _SHOWN_POINTS = 20, 10, 500


def save_sample_grids(
    pool: ExpertPool, recordings: Mapping[Visits, Recording], folder: Path, header: Mapping[str, str]
) -> list[Path]:
    """Write a picture for each routing that is recorded; none for a system that cannot draw its samples."""
    written: list[Path] = []
    for routing, sampling in _largest(recordings).items():
        states = recordings[sampling].final
        try:
            points = isinstance(pool.draw(states[:1].to(pool.device)), Points)
        except InputError:
            return []
        written.append(folder / f"{routing}.png")
        shown = states[: _SHOWN_POINTS if points else _SHOWN_IMAGES]
        save_samples(pool, shown, written[-1], {**header, "Samples": sampling.label}, _COLUMNS)
    return written


def _largest(recordings: Mapping[Visits, Recording]) -> dict[str, Sampling]:
    """For each shown routing the recorded sampling with the most samples."""
    plain = [v for v in recordings if isinstance(v, Sampling) and not v.variant and v.refine == 1]
    largest: dict[str, Sampling] = {}
    for routing in SHOWN_ROUTINGS:
        if own := [v for v in plain if v.routing == routing]:
            largest[routing] = max(own, key=lambda v: v.n)
    return largest
