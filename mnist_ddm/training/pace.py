"""How long trainings will take, by a few steps of each kind of part, timed here and now."""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import Final

from mnist_ddm.compute.scratch import scratch_folder
from mnist_ddm.models.checkpoint import part_kind
from mnist_ddm.training.job import TrainingJob

_TIMED: Final = 6
"""Steps that are timed; the first sets up what the others use, and is not counted as one."""
_WORTH: Final = 100
"""Steps of the longest part below which the training is over before an estimate would be there."""


def expected_seconds(jobs: Sequence[TrainingJob], workers: int) -> float | None:
    """About how long some trainings will take from their beginning; ``None`` if they are too short to be timed.

    Of each kind of part the first is begun in a folder of its own, for what a step takes and what comes besides.

    Args:
        jobs: the trainings.
        workers: that share them; each is of one worker.
    """
    if max((job.recipe.steps for job in jobs), default=0) < _WORTH:
        return None
    kinds: dict[str, tuple[float, float]] = {}
    each = []
    for job in jobs:
        kind = part_kind(job.part)
        if kind not in kinds:
            kinds[kind] = _timed(job)
        besides, step = kinds[kind]
        each.append(besides + step * job.recipe.steps)
    return max(sum(each) / workers, *each)


def _timed(job: TrainingJob) -> tuple[float, float]:
    """Seconds that a part takes besides its steps, and those of a step."""
    stamps: list[float] = []
    with scratch_folder("pace") as folder:
        short = replace(job, recipe=replace(job.recipe, steps=_TIMED), out=folder, keep_every=0, show=False)
        begin = time.perf_counter()
        short(lambda fraction: stamps.append(time.perf_counter()))
        whole = time.perf_counter() - begin
    step = median(after - before for before, after in pairwise(stamps))
    return max(0.0, whole - _TIMED * step), step
