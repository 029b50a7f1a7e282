"""Recording in parallel: what a store has is read, the rest is computed and stored block by block."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

from mnist_ddm.compute.parallel import OnProgress, Shared, run_jobs
from mnist_ddm.core.observables import Kept, observables_named
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import (
    BLOCK,
    FINAL,
    FINAL_PARTS,
    SCHEMA,
    Recording,
    blocks_of,
    compute_block,
    join,
    recording_key,
)
from mnist_ddm.core.spellings import Make, adopt_routings, registered_routings
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.cost import evaluations_each

AT_ONCE = 1000
"""On a device that gains from large batches so many samples at most are computed together; they are stored by block."""


def record(
    pool: ExpertPool, visits: Visits, observables: tuple[str, ...], store: RecordingStore, workers: int = 1
) -> Recording:
    """The recording of one kind of visits; see `record_all`."""
    return record_all(pool, {visits: observables}, store, workers)[visits]


def record_all(
    pool: ExpertPool,
    wanted: Mapping[Visits, tuple[str, ...]],
    store: RecordingStore,
    workers: int = 1,
    on_progress: Callable[[Visits, float], None] = lambda visits, fraction: None,
) -> dict[Visits, Recording]:
    """The recordings of some visits: what the store has is read, the rest is computed and stored block by block.

    Args:
        pool: the system; with more than one worker it must be picklable.
        wanted: for each kind of visits the names of the observables to keep.
        store: where recordings are kept, each under its hash.
        workers: parallel processes, which share the blocks of all recordings. The result does not depend on it.
        on_progress: called with visits and the fraction of them that is done.
    """
    _compute(pool, wanted, store, workers, on_progress, WHOLE)
    return {visits: _read(pool, visits, names, store) for visits, names in wanted.items()}


@final
@dataclass(frozen=True)
class Shard:
    """A part of the blocks of all recordings, so that machines that know nothing of each other divide them.

    Attributes:
        number: of the part, from 1.
        of: how many parts there are.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, key: str, block: int) -> bool:
        """Whether a block of the recording of a key belongs to the part.

        Every so many blocks do; which comes first depends on the key, so that short recordings do not all fall to the
        first parts.
        """
        return (int(key[:8], 16) + block) % self.of == self.number - 1


WHOLE = Shard(1, 1)


def parse_shard(text: str) -> Shard:
    """The part that `3/16` means.

    Raises:
        InputError: if the text is of another form, or there is no such part.
    """
    matched = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    if matched is None or not 1 <= int(matched[1]) <= int(matched[2]):
        raise InputError(f"a shard is written as NUMBER/HOW_MANY, such as 3/16, from 1/16 to 16/16, not {text!r}")
    return Shard(int(matched[1]), int(matched[2]))


def record_shard(
    pool: ExpertPool,
    wanted: Mapping[Visits, tuple[str, ...]],
    store: RecordingStore,
    shard: Shard,
    workers: int = 1,
    on_progress: Callable[[Visits, float], None] = lambda visits, fraction: None,
) -> int:
    """Compute and store what a shard has of some recordings, and read nothing; see `record_all`.

    When each shard's blocks are in one store, `record_all` has only to read.

    Returns:
        How many blocks were computed.
    """
    return _compute(pool, wanted, store, workers, on_progress, shard)


def _compute(
    pool: ExpertPool,
    wanted: Mapping[Visits, tuple[str, ...]],
    store: RecordingStore,
    workers: int,
    on_progress: Callable[[Visits, float], None],
    shard: Shard,
) -> int:
    queue: list[tuple[float, Visits, int, partial[None]]] = []
    most = 1 if pool.device.type == "cpu" else AT_ONCE // BLOCK
    shared = Shared((pool, registered_routings()))
    blocks: dict[Visits, int] = {}
    for visits, names in to_compute(pool, wanted, store).items():
        kept, key = observables_named(names), recording_key(pool, visits)
        store.describe(
            key, {"schema": SCHEMA, "system": pool.title, **visits.identity, "models": dict(pool.fingerprints)}
        )
        own = [block for i, block in enumerate(blocks_of(visits.n)) if shard.holds(key, i)]
        blocks[visits] = len(own)
        lacking = [(block, missing) for block in own if (missing := store.missing(key, block, _files(kept)))]
        for group, missing in _joined(lacking, most):
            wanting = tuple(k for k in kept if k.file in missing)
            cost = sum(map(len, group)) * evaluations_each(pool, visits, wanting)
            job = partial(_store_blocks, shared, visits, wanting, group, store, key)
            queue.append((cost, visits, len(group), job))
    # The longest first, so that no worker is left with a long one at the end while the others wait.
    queue.sort(key=lambda job: -job[0])
    jobs, owners, sizes = (
        [job for *_, job in queue],
        [visits for _, visits, *_ in queue],
        [size for *_, size, _ in queue],
    )
    done = dict(blocks)
    for visits, size in zip(owners, sizes, strict=True):
        done[visits] -= size
    progress = [0.0] * len(jobs)

    def report(job: int, fraction: float) -> None:
        progress[job] = max(progress[job], fraction)
        visits = owners[job]
        working = sum(p * size for p, size, owner in zip(progress, sizes, owners, strict=True) if owner == visits)
        on_progress(visits, (done[visits] + working) / blocks[visits])

    for visits in wanted:
        if visits not in owners:
            on_progress(visits, 1.0)
    run_jobs(jobs, workers, report, pool.device)
    return sum(sizes)


def _joined(lacking: Sequence[tuple[range, list[str]]], most: int) -> list[tuple[list[range], list[str]]]:
    """Neighbouring blocks that lack the same files, in groups of so many at most."""
    groups: list[tuple[list[range], list[str]]] = []
    for block, missing in lacking:
        if groups and len(groups[-1][0]) < most and groups[-1][0][-1].stop == block.start and groups[-1][1] == missing:
            groups[-1][0].append(block)
        else:
            groups.append(([block], missing))
    return groups


def is_recorded(pool: ExpertPool, visits: Visits, observables: tuple[str, ...], store: RecordingStore) -> bool:
    """Whether `record` would only have to read."""
    names, key = _files(observables_named(observables)), recording_key(pool, visits)
    return not any(store.missing(key, block, names) for block in blocks_of(visits.n))


def to_compute(
    pool: ExpertPool, wanted: Mapping[Visits, tuple[str, ...]], store: RecordingStore
) -> dict[Visits, tuple[str, ...]]:
    """Those of some visits that `record_all` computes, with what to keep of them.

    The others are recorded, or will be read from larger ones of the same kind that are among them and keep as much.
    """

    def served(visits: Visits) -> bool:
        return any(
            other.n > visits.n and other.identity == visits.identity and set(wanted[visits]) <= set(wanted[other])
            for other in wanted
        )

    return {v: names for v, names in wanted.items() if not served(v) and not is_recorded(pool, v, names, store)}


def recording_files(
    pool: ExpertPool, visits: Visits, observables: tuple[str, ...], store: RecordingStore
) -> list[Path]:
    """The files that a recording is read from.

    Raises:
        InputError: if one is missing.
    """
    key, names = recording_key(pool, visits), _files(observables_named(observables))
    return [store.file(key, block, name) for block in blocks_of(visits.n) for name in names]


def _files(kept: tuple[Kept, ...]) -> list[str]:
    return [FINAL, *(k.file for k in kept)]


def _read(pool: ExpertPool, visits: Visits, observables: tuple[str, ...], store: RecordingStore) -> Recording:
    key, names = recording_key(pool, visits), _files(observables_named(observables))
    blocks = [{name: store.read(key, block, name) for name in names} for block in blocks_of(visits.n)]
    for block in blocks:
        for name, parts in block.items():
            if parts.keys() != (FINAL_PARTS if name == FINAL else {"value"}):
                raise InputError(
                    f"{store.folder / key} holds a {name} that is no recording; delete it and record again"
                )
    return join(visits, blocks, key)


def _store_blocks(
    shared: Shared[tuple[ExpertPool, Mapping[str, Make]]],
    visits: Visits,
    wanted: tuple[Kept, ...],
    blocks: Sequence[range],
    store: RecordingStore,
    key: str,
    report: OnProgress,
) -> None:
    # Another process may have stored some since, or this one, before its worker was killed.
    missing = {block: store.missing(key, block, _files(wanted)) for block in blocks}
    wanted = tuple(k for k in wanted if any(k.file in files for files in missing.values()))
    if not any(missing.values()):
        return
    pool, routings = shared.value
    adopt_routings(routings)
    whole = range(blocks[0].start, blocks[-1].stop)
    for name, tensors in compute_block(pool, visits, wanted, whole, report).items():
        for block in blocks:
            if name in missing[block]:
                rows = slice(block.start - whole.start, block.stop - whole.start)
                store.write(key, block, name, {part: value[rows].contiguous() for part, value in tensors.items()})
