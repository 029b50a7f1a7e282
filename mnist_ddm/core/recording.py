"""Recordings: a trajectory is computed once, and an analysis is a pure function of what was recorded.

A recording is a folder named by the hash of what decides its content: the models and the run, without its number of
samples. It holds a folder for each block of samples, and there one file for each observable. So a run that was killed
goes on where it stopped, blocks can be computed in parallel without changing a bit, a smaller run reads the blocks of a
larger one, and one more observable leaves the others as they are.
"""

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from mnist_ddm.core.errors import InputError
from mnist_ddm.core.field import RoutedField
from mnist_ddm.core.files import digest, folder_size, read_json, read_tensors, write_json, write_tensors
from mnist_ddm.core.observables import Kept, observables_named
from mnist_ddm.core.parallel import Report, Shared, one_thread, run_jobs
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.runs import TENTHS, Run

SCHEMA = 3
BLOCK = 250
"""Samples in one block: large enough that each expert's part of it is still an efficient batch."""
_INDEX = "recording.json"
_FINAL = "final"


@dataclass(frozen=True)
class Recording:
    """What was kept of one run.

    Attributes:
        run: what was run.
        times: of the visited states, falling, shape ``(T,)``.
        final: the states at ``t = 0``, shape ``(n, *state_shape)``.
        seeds: of the samples, shape ``(n,)``.
        cluster: which cluster each sample was asked to come from, shape ``(n,)``.
        evaluations: expert evaluations that the routing asked for, for each sample, shape ``(n,)``. What observables
            asked for in addition is not counted.
        observed: for each observable a tensor ``(n, T, ...)``; `NAME@tenths` has the times of `times_of`.
        key: the hash that names the recording.
    """

    run: Run
    times: Tensor
    final: Tensor
    seeds: Tensor
    cluster: Tensor
    evaluations: Tensor
    observed: dict[str, Tensor]
    key: str

    def times_of(self, observable: str) -> Tensor:
        """The times at which an observable was kept, float64, falling."""
        (kept,) = observables_named((observable,))
        return self.times[list(kept.visits(self.run.times, TENTHS))]


def sample(pool: ExpertPool, run: Run, observables: tuple[str, ...] = ()) -> Recording:
    """Run in this process and keep everything in memory.

    Args:
        pool: the system.
        run: what to visit; its result does not depend on how it is split into batches.
        observables: names of what to keep of each visited state.
    """
    wanted = observables_named(observables)
    with one_thread():
        blocks = [_run_block(pool, run, wanted, block, lambda fraction: None) for block in _blocks(run.n)]
    return _join(run, blocks, recording_key(pool, run))


def record(pool: ExpertPool, run: Run, observables: tuple[str, ...], folder: Path, workers: int = 1) -> Recording:
    """The recording of one run; see `record_all`."""
    return record_all(pool, {run: observables}, folder, workers)[run]


def record_all(
    pool: ExpertPool,
    wanted: Mapping[Run, tuple[str, ...]],
    folder: Path,
    workers: int = 1,
    on_progress: Callable[[Run, float], None] = lambda run, fraction: None,
) -> dict[Run, Recording]:
    """The recordings of some runs: what ``folder`` has is read, the rest is computed and stored block by block.

    Args:
        pool: the system; with more than one worker it must be picklable.
        wanted: for each run the names of the observables to keep.
        folder: where recordings are kept; each gets a subfolder named by its hash.
        workers: parallel processes, which share the blocks of all runs. The result does not depend on it.
        on_progress: called with a run and the fraction of it that is done.
    """
    found: list[tuple[float, Run, partial[None]]] = []
    shared = Shared(pool)
    for run, names in to_compute(pool, wanted, folder).items():
        kept, place = observables_named(names), folder / recording_key(pool, run)
        if not (place / _INDEX).exists():
            what = {"schema": SCHEMA, "system": pool.name, **run.identity, "models": dict(pool.fingerprints)}
            write_json(place / _INDEX, what)
        for block in _blocks(run.n):
            if missing := _missing(place, block, kept):
                wanting = tuple(k for k in kept if k.file in missing)
                cost = len(block) * evaluations_each(pool, run, wanting)
                found.append((cost, run, partial(_store_block, shared, run, wanting, block, place)))
    # The longest first, so that no worker is left with a long one at the end while the others wait.
    found.sort(key=lambda job: -job[0])
    jobs, owners = [job for _, _, job in found], [run for _, run, _ in found]
    done = {run: len(_blocks(run.n)) - owners.count(run) for run in wanted}
    progress = [0.0] * len(jobs)

    def report(job: int, fraction: float) -> None:
        progress[job] = max(progress[job], fraction)
        run = owners[job]
        working = sum(p for p, owner in zip(progress, owners, strict=True) if owner == run)
        on_progress(run, (done[run] + working) / len(_blocks(run.n)))

    for run in wanted:
        if run not in owners:
            on_progress(run, 1.0)
    run_jobs(jobs, workers, report)
    return {run: _read(pool, run, names, folder) for run, names in wanted.items()}


def _read(pool: ExpertPool, run: Run, observables: tuple[str, ...], folder: Path) -> Recording:
    key = recording_key(pool, run)
    names = [_FINAL, *(kept.file for kept in observables_named(observables))]
    return _join(run, [_read_block(folder / key, block, names) for block in _blocks(run.n)], key)


def evaluations_each(pool: ExpertPool, run: Run, kept: Sequence[Kept]) -> float:
    """About how many expert evaluations one sample takes, at the most; a Jacobian product counts as one."""
    field = run.field(pool)
    routed = field.routing.most_experts(pool.n_experts) if isinstance(field, RoutedField) else 1
    everywhere = len({i for k in kept if k.observable.needs_experts for i in k.visits(run.times, TENTHS)})
    extra = sum(k.observable.cost * len(k.visits(run.times, TENTHS)) for k in kept)
    choosing = field.routing.cost(pool.n_experts) if isinstance(field, RoutedField) else 0
    return everywhere * pool.n_experts + (run.evaluations - everywhere + extra) * routed + run.evaluations * choosing


def rows_of_an_expert(pool: ExpertPool, run: Run) -> float:
    """About how many rows an expert gets at once, at least 1: few of them make an evaluation dear."""
    field, n = run.field(pool), min(run.n, BLOCK)
    share = field.routing.most_experts(pool.n_experts) / pool.n_experts if isinstance(field, RoutedField) else 1.0
    return max(1.0, n * share)


def observable_sizes(pool: ExpertPool, wanted: Mapping[Run, Sequence[Kept]]) -> dict[str, int]:
    """How many numbers each wanted observable keeps of one visit of one sample, found by looking at one."""
    sizes: dict[str, int] = {}
    # Each observable is looked at once, in the cheapest run that has it.
    for run, kept in sorted(wanted.items(), key=lambda item: evaluations_each(pool, item[0], ())):
        if new := [k.observable for k in kept if k.observable.name not in sizes]:
            everything = range(1) if any(o.needs_experts for o in new) else ()
            with one_thread(), torch.no_grad():
                visit = next(iter(run.visits(run.field(pool), range(1), everything)))
                sizes |= {o.name: o.start()(visit).numel() for o in new}
    return sizes


def is_recorded(pool: ExpertPool, run: Run, observables: tuple[str, ...], folder: Path) -> bool:
    """Whether `record` would only have to read."""
    wanted, place = observables_named(observables), folder / recording_key(pool, run)
    return not any(_missing(place, block, wanted) for block in _blocks(run.n))


def to_compute(pool: ExpertPool, wanted: Mapping[Run, tuple[str, ...]], folder: Path) -> dict[Run, tuple[str, ...]]:
    """Those of some runs that `record_all` computes, with what to keep of them.

    The others are recorded, or will be read from a larger one of the same kind that is among them and keeps as much.
    """

    def served(run: Run) -> bool:
        return any(
            other.n > run.n and other.identity == run.identity and set(wanted[run]) <= set(wanted[other])
            for other in wanted
        )

    return {r: names for r, names in wanted.items() if not served(r) and not is_recorded(pool, r, names, folder)}


def recording_files(pool: ExpertPool, run: Run, observables: tuple[str, ...], folder: Path) -> list[Path]:
    """The files that a recording is read from.

    Raises:
        InputError: if one is missing.
    """
    place, found = folder / recording_key(pool, run), []
    for block in _blocks(run.n):
        for name in (_FINAL, *(kept.file for kept in observables_named(observables))):
            file = _stored(place, block, name)
            if file is None:
                raise InputError(f"{_file(place, block, name)} does not exist")
            found.append(file)
    return found


@dataclass(frozen=True)
class StoredRecording:
    """A recording on disk.

    Attributes:
        place: its folder.
        described: what it says of itself.
        samples: how many samples are complete.
        observables: what is kept of them.
        size: in bytes.
    """

    place: Path
    described: dict[str, object]
    samples: int
    observables: tuple[str, ...]
    size: int


def list_recordings(folder: Path) -> list[StoredRecording]:
    """The recordings in a folder."""
    found = []
    for index in sorted(folder.glob(f"*/{_INDEX}")):
        with contextlib.suppress(InputError):
            place, described = index.parent, read_json(index)
            files = list(place.glob("*-*/*.safetensors"))
            complete = [f.parent.name.split("-") for f in files if f.stem == _FINAL]
            names = sorted({f.stem.rsplit(".", 1)[0] for f in files if f.stem != _FINAL})
            stop = max((int(end) for _, end in complete), default=0)
            found.append(StoredRecording(place, described, stop, tuple(names), folder_size(place)))
    return found


def delete_recordings(folder: Path) -> int:
    """Delete all recordings in a folder, those of older schemas included; returns the bytes freed."""
    places = [index.parent for index in folder.glob(f"*/{_INDEX}")]
    freed = sum(folder_size(place) for place in places)
    for place in places:
        shutil.rmtree(place)
    return freed


def recording_key(pool: ExpertPool, run: Run) -> str:
    """The hash that names the recording of a run on a pool."""
    # Bits depend on torch and on the kind of device, so both are part of the name.
    return digest(
        {
            "schema": SCHEMA,
            "models": run.field(pool).fingerprint,
            "run": run.identity,
            "torch": torch.__version__,
            "device": pool.device.type,
        }
    )[:32]


def _blocks(n: int) -> list[range]:
    return [range(i, min(i + BLOCK, n)) for i in range(0, n, BLOCK)]


def _file(place: Path, block: range, name: str) -> Path:
    return place / f"{block.start:06d}-{block.stop:06d}" / f"{name}.safetensors"


def _stored(place: Path, block: range, name: str) -> Path | None:
    """The file that holds the block: its own, or the smallest that a larger run stored."""
    for folder in sorted(place.glob(f"{block.start:06d}-*")):
        file = folder / f"{name}.safetensors"
        if int(folder.name.split("-")[1]) >= block.stop and file.exists():
            return file
    return None


def _missing(place: Path, block: range, wanted: tuple[Kept, ...]) -> list[str]:
    return [name for name in (_FINAL, *(kept.file for kept in wanted)) if _stored(place, block, name) is None]


def _store_block(
    pool: Shared[ExpertPool], run: Run, wanted: tuple[Kept, ...], block: range, place: Path, report: Report
) -> None:
    for name, tensors in _run_block(pool.value, run, wanted, block, report).items():
        write_tensors(_file(place, block, name), tensors)


def _read_block(place: Path, block: range, names: list[str]) -> dict[str, dict[str, Tensor]]:
    found = {}
    for name in names:
        tensors, _ = read_tensors(_stored(place, block, name) or _file(place, block, name))
        found[name] = {key: value[: len(block)] for key, value in tensors.items()}
    return found


@torch.no_grad()  # and not inference mode: what observables differentiate must be allowed into a graph
def _run_block(
    pool: ExpertPool, run: Run, wanted: tuple[Kept, ...], block: range, report: Report
) -> dict[str, dict[str, Tensor]]:
    """For each file its tensors."""
    keep = {kept: kept.visits(run.times, TENTHS) for kept in wanted}
    all_experts = {i for kept, visits in keep.items() if kept.observable.needs_experts for i in visits}
    values: dict[str, list[Tensor]] = {kept.file: [] for kept in wanted}
    functions = {kept: kept.observable.start() for kept in wanted}
    last = None
    for i, visit in enumerate(run.visits(run.field(pool), block, all_experts)):
        last = visit
        for kept, visits in keep.items():
            if i in visits:
                values[kept.file].append(functions[kept](visit).cpu())
        report(min(1.0, (i + 1) / len(run.times)))
    assert last is not None
    found = {name: {"value": torch.stack(parts, dim=1)} for name, parts in values.items()}
    samples = last.samples
    found[_FINAL] = {
        "final": last.x.cpu(),
        "seeds": samples.seeds,
        "cluster": samples.condition.cluster.cpu(),
        "evaluations": last.calls.long(),
    }
    return found


def _join(run: Run, blocks: list[dict[str, dict[str, Tensor]]], key: str) -> Recording:
    joined = {
        name: {part: torch.cat([block[name][part] for block in blocks]) for part in blocks[0][name]}
        for name in blocks[0]
    }
    final = joined.pop(_FINAL)
    observed = {name.rsplit(".", 1)[0]: parts["value"] for name, parts in joined.items()}
    times = torch.tensor(run.times, dtype=torch.float64)
    return Recording(run=run, times=times, observed=observed, key=key, **final)
