"""Pictures of the first samples of each routing, all from the same noise."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from mnist_ddm.core.drawing import Points
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.errors import InputError
from mnist_ddm.figures.samples import save_samples

SHOWN_ROUTINGS = (
    *("monolith", "label", "top1", "top2", "top4", "full", "uniform", "misaligned2", "once", "each"),
    "gumbel",
)
"""Whose samples are shown first, in this order, where they are recorded."""

_MOST_OTHERS = 8
_SPELLED = "@+=~"
"""What is in a routing's spelling and in the name of its file alike."""
_SHOWN_IMAGES, _COLUMNS, _SHOWN_POINTS = 20, 10, 500


def save_sample_grids(
    pool: ExpertPool,
    recordings: Mapping[Visits, Recording],
    folder: Path,
    header: Mapping[str, str],
    chosen: Iterable[str] = (),
) -> list[Path]:
    """Write a picture for each routing that is recorded; none for a system that cannot draw its samples.

    Args:
        pool: the system.
        recordings: of a run.
        folder: of the pictures.
        header: texts kept in each file.
        chosen: routings that are shown beside `SHOWN_ROUTINGS`, a few of them.
    """
    written: list[Path] = []
    for routing, sampling in _largest(recordings, chosen).items():
        states = recordings[sampling].final
        try:
            points = isinstance(pool.draw(states[:1].to(pool.device)), Points)
        except InputError:
            return []
        written.append(folder / f"{quote(routing, safe=_SPELLED)}.png")
        shown = states[: _SHOWN_POINTS if points else _SHOWN_IMAGES]
        save_samples(pool, shown, written[-1], {**header, "Samples": sampling.label}, _COLUMNS)
    return written


def sample_grids(folder: Path) -> dict[str, Path]:
    """The pictures of `save_sample_grids` that a folder has by routing, those of `SHOWN_ROUTINGS` first."""
    found = {unquote(file.stem): file for file in sorted(folder.glob("*.png"))}
    return {routing: found[routing] for routing in dict.fromkeys((*SHOWN_ROUTINGS, *found)) if routing in found}


def _largest(recordings: Mapping[Visits, Recording], chosen: Iterable[str]) -> dict[str, Sampling]:
    """For each shown routing the recorded sampling with the most samples."""
    largest: dict[str, Sampling] = {}
    for v in recordings:
        if isinstance(v, Sampling) and not v.variant and v.refine == 1:
            largest[v.routing] = max(v, largest.get(v.routing, v), key=lambda sampling: sampling.n)
    others = [routing for routing in dict.fromkeys(chosen) if routing in largest and routing not in SHOWN_ROUTINGS]
    shown = [routing for routing in SHOWN_ROUTINGS if routing in largest] + others[:_MOST_OTHERS]
    return {routing: largest[routing] for routing in shown}
