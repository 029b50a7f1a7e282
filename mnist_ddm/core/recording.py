"""Recordings: a trajectory is computed once, and an analysis is a pure function of what was recorded.

A recording is a folder named by the hash of everything that decides its content: pool, sampling, observables. It
holds one safetensors file for each block of samples, written when the block is finished, so that a run that was
killed goes on where it stopped, and blocks can be computed in parallel without changing a bit.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from mnist_ddm.core.errors import InputError
from mnist_ddm.core.field import EvaluationCount, VelocityField, make_field
from mnist_ddm.core.files import digest, read_json, read_tensors, write_json, write_tensors
from mnist_ddm.core.noise import MAX_SEED, initial_noise, sample_seeds
from mnist_ddm.core.observables import Observable, Visit, observables_named
from mnist_ddm.core.parallel import Report, one_thread, run_jobs
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.routing import Samples
from mnist_ddm.core.solvers import Solver, StepGrid, evaluations, solver_named

SCHEMA = 1
BLOCK = 250
"""Samples in one block: large enough that each expert's part of it is still an efficient batch."""
_INDEX = "recording.json"


@dataclass(frozen=True)
class Sampling:
    """What a sampling run is: which field, from which noise, integrated how.

    Attributes:
        routing: spelling of a routing, or `monolith`.
        n: number of samples.
        seed: of the run; sample ``i`` gets a seed of its own from it.
        solver: `heun` or `euler`.
        steps: N, the number of steps.
        refine: cut each step into this many.

    Raises:
        InputError: if a number is out of range.
    """

    routing: str
    n: int
    seed: int = 0
    solver: str = "heun"
    steps: int = 50
    refine: int = 1

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InputError(f"the number of samples must be at least 1, not {self.n}")
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"the seed must be between 0 and {MAX_SEED}, not {self.seed}")
        solver_named(self.solver)
        StepGrid(self.steps, self.refine)

    @property
    def grid(self) -> StepGrid:
        """The times of the run."""
        return StepGrid(self.steps, self.refine)

    @property
    def evaluations(self) -> int:
        """Velocity evaluations of one trajectory."""
        return evaluations(solver_named(self.solver), self.grid)


@dataclass(frozen=True)
class Recording:
    """What one sampling run kept.

    Attributes:
        sampling: the run.
        times: of the visited states, from 1 down to ``1 / N``, shape ``(T,)``.
        final: the states at ``t = 0``, shape ``(n, *state_shape)``.
        seeds: of the samples, shape ``(n,)``.
        cluster: which cluster each sample was asked to come from, shape ``(n,)``.
        observed: for each observable a tensor ``(n, T, ...)``.
        count: evaluations that the run took.
        key: the hash that names the recording.
    """

    sampling: Sampling
    times: Tensor
    final: Tensor
    seeds: Tensor
    cluster: Tensor
    observed: dict[str, Tensor]
    count: EvaluationCount
    key: str


def trajectory(
    field: VelocityField, solver: Solver, grid: StepGrid, x: Tensor, samples: Samples, *, all_experts: bool = False
) -> Iterator[Visit]:
    """Integrate from ``t = 1`` to ``t = 0`` and yield each visited state with the field's evaluation there.

    The last visit is the final state at ``t = 0``; the field is not evaluated there, and its evaluation repeats the
    last one.

    Args:
        field: what to integrate.
        solver: how.
        grid: the times.
        x: start states ``(B, *state_shape)``.
        samples: whose states they are; its memory is changed along the way.
        all_experts: evaluate all experts at every visited state.
    """
    evaluation = None
    for step in range(grid.size):
        t, t_next, interval = grid.time(step), grid.time(step + 1), grid.interval(step)
        evaluation = field.evaluate(x, _times(t, x), samples, interval, all_experts=all_experts)
        yield Visit(x, t, evaluation)

        def velocity(state: Tensor, time: float, interval: int = interval) -> Tensor:
            return field.evaluate(state, _times(time, state), samples, interval).velocity

        x = solver.step(velocity, x, t, t_next, evaluation.velocity)
    assert evaluation is not None  # a grid has at least one step
    yield Visit(x, 0.0, evaluation)


def _times(t: float, x: Tensor) -> Tensor:
    return torch.full((len(x),), t, dtype=x.dtype, device=x.device)


def start(pool: ExpertPool, seeds: Tensor) -> tuple[Tensor, Samples]:
    """Start states ``(B, *state_shape)`` at ``t = 1`` for the samples of these seeds, and the samples themselves."""
    noise = initial_noise(seeds, pool.state_shape).to(pool.device)
    return noise, Samples(seeds, pool.condition(seeds))


def sample(pool: ExpertPool, sampling: Sampling, observables: tuple[str, ...] = ()) -> Recording:
    """Sample in this process and keep everything in memory.

    Args:
        pool: the system.
        sampling: what to sample; its result does not depend on how it is split into batches.
        observables: names of what to keep of each visited state.
    """
    wanted = observables_named(observables)
    with one_thread():
        blocks = [_sample_block(pool, sampling, wanted, i, lambda fraction: None) for i in _blocks(sampling.n)]
    return _join(sampling, [b[0] for b in blocks], [b[1] for b in blocks], _key(pool, sampling, wanted))


def record(
    pool: ExpertPool,
    sampling: Sampling,
    observables: tuple[str, ...],
    folder: Path,
    workers: int = 1,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> Recording:
    """The recording of a sampling run: read if it is complete in ``folder``, else computed and stored block by block.

    Args:
        pool: the system; with more than one worker it must be picklable.
        sampling: what to sample.
        observables: names of what to keep of each visited state.
        folder: where recordings are kept; this one gets a subfolder named by its hash.
        workers: parallel processes. The result does not depend on it.
        on_progress: called with the fraction of the run that is done.
    """
    wanted = observables_named(observables)
    key = _key(pool, sampling, wanted)
    place = folder / key
    blocks = _blocks(sampling.n)
    missing = [block for block in blocks if not _block_file(place, block).exists()]
    done = 1 - len(missing) / len(blocks)
    progress = dict.fromkeys(range(len(missing)), 0.0)

    def report(job: int, fraction: float) -> None:
        progress[job] = max(progress[job], fraction)
        on_progress(done + sum(progress.values()) / len(blocks))

    jobs = [partial(_store_block, pool, sampling, wanted, block, place) for block in missing]
    run_jobs(jobs, workers, report)
    if not (place / _INDEX).exists():
        described = {"sampling": asdict(sampling), "observables": list(observables), "models": dict(pool.fingerprints)}
        write_json(place / _INDEX, {"schema": SCHEMA, "system": pool.name, **described})
    on_progress(1.0)
    contents = [read_tensors(_block_file(place, block)) for block in blocks]
    counts = [EvaluationCount(**metadata) for _, metadata in contents]
    return _join(sampling, [tensors for tensors, _ in contents], counts, key)


def is_recorded(pool: ExpertPool, sampling: Sampling, observables: tuple[str, ...], folder: Path) -> bool:
    """Whether `record` would only have to read."""
    place = folder / _key(pool, sampling, observables_named(observables))
    return all(_block_file(place, block).exists() for block in _blocks(sampling.n))


def list_recordings(folder: Path) -> list[tuple[Path, dict[str, object]]]:
    """The complete recordings in a folder: the place of each and what it says of itself."""
    found = []
    for index in sorted(folder.glob(f"*/{_INDEX}")):
        with contextlib.suppress(InputError):
            found.append((index.parent, read_json(index)))
    return found


def _key(pool: ExpertPool, sampling: Sampling, observables: tuple[Observable, ...]) -> str:
    # Bits depend on torch and on the kind of device, so both are part of the name.
    return digest(
        {
            "schema": SCHEMA,
            "models": make_field(pool, sampling.routing).fingerprint,
            "sampling": asdict(sampling),
            "observables": sorted((o.name, o.version) for o in observables),
            "torch": torch.__version__,
            "device": pool.device.type,
        }
    )[:32]


def _blocks(n: int) -> list[range]:
    return [range(i, min(i + BLOCK, n)) for i in range(0, n, BLOCK)]


def _block_file(place: Path, block: range) -> Path:
    return place / f"{block.start:06d}-{block.stop:06d}.safetensors"


def _store_block(
    pool: ExpertPool,
    sampling: Sampling,
    observables: tuple[Observable, ...],
    block: range,
    place: Path,
    report: Report,
) -> None:
    tensors, count = _sample_block(pool, sampling, observables, block, report)
    write_tensors(_block_file(place, block), tensors, asdict(count))


@torch.inference_mode()
def _sample_block(
    pool: ExpertPool, sampling: Sampling, observables: tuple[Observable, ...], block: range, report: Report
) -> tuple[dict[str, Tensor], EvaluationCount]:
    field = make_field(pool, sampling.routing)
    x, samples = start(pool, sample_seeds(sampling.seed, len(block), block.start))
    all_experts = any(o.needs_experts for o in observables)
    kept: dict[str, list[Tensor]] = {o.name: [] for o in observables}
    size = sampling.grid.size
    final = x
    visits = trajectory(field, solver_named(sampling.solver), sampling.grid, x, samples, all_experts=all_experts)
    for step, visit in enumerate(visits):
        if step == size:
            final = visit.x
            break
        for observable in observables:
            kept[observable.name].append(observable.function(visit).cpu())
        report((step + 1) / size)
    tensors = {f"observed.{name}": torch.stack(values, dim=1) for name, values in kept.items()}
    tensors |= {"final": final.cpu(), "seeds": samples.seeds, "cluster": samples.condition.cluster.cpu()}
    return tensors, field.count


def _join(sampling: Sampling, blocks: list[dict[str, Tensor]], counts: list[EvaluationCount], key: str) -> Recording:
    joined = {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}
    prefix = "observed."
    return Recording(
        sampling=sampling,
        times=torch.tensor([sampling.grid.time(i) for i in range(sampling.grid.size)], dtype=torch.float64),
        final=joined["final"],
        seeds=joined["seeds"],
        cluster=joined["cluster"],
        observed={name.removeprefix(prefix): value for name, value in joined.items() if name.startswith(prefix)},
        count=EvaluationCount(sum(c.experts for c in counts), sum(c.router for c in counts)),
        key=key,
    )
