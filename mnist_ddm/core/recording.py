"""Recordings: a trajectory is computed once, and an analysis is a pure function of what was recorded.

A recording is computed in blocks of samples, each a pure function of the models, the visits and its samples' numbers.
Where blocks are kept, and who computes them, is decided elsewhere (`study/record.py`); `sample` keeps all in memory.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mnist_ddm.compute.parallel import OnProgress, one_thread
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.observables import Kept, observables_named
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.shown import facts_html, to_xarray
from mnist_ddm.core.visits import TENTHS, Visits
from mnist_ddm.errors import NotFiniteError
from mnist_ddm.storage.files import digest

if TYPE_CHECKING:
    import xarray

SCHEMA = 4
"""To be raised when the same visits would be computed otherwise, so that stored recordings are not taken for them."""
BLOCK = 250
"""So many samples are computed and stored together: enough that each expert's part is still an efficient batch."""
FINAL = "final"
"""The name of what every recording keeps."""
FINAL_PARTS = frozenset(("final", "seeds", "cluster", "evaluations"))
"""Its tensors."""

Block = Mapping[str, Mapping[str, Tensor]]
"""What was kept of a block: `FINAL`, and for each observable's file its values."""


@dataclass(frozen=True, repr=False)
class Recording:
    """What was kept of some visits.

    Attributes:
        visits: what was visited.
        times: of the visited states, falling, shape ``(T,)``.
        final: the states at ``t = 0``, shape ``(n, *state_shape)``.
        seeds: of the samples, shape ``(n,)``.
        cluster: which cluster each sample was asked to come from, shape ``(n,)``.
        evaluations: expert evaluations that the routing asked for, for each sample, shape ``(n,)``. What observables
            asked for in addition is not counted.
        observed: for each observable a tensor ``(n, T, ...)``; `NAME@tenths` has the times of `times_of`.
        key: the hash that names the recording.
    """

    visits: Visits
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
        return self.times[list(kept.visits(self.visits.times, TENTHS))]

    def to_xarray(self) -> "xarray.Dataset":
        """The recording as a data set of labelled arrays; see `shown.to_xarray`.

        Raises:
            InputError: if xarray is not installed.
        """
        return to_xarray(self)

    def __repr__(self) -> str:
        """One line, without the tensors."""
        kept = ", ".join([FINAL, *self.observed])
        return f"<Recording {self.visits.label}: {kept}; {self.key[:8]}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        shapes = {name: tuple(value.shape) for name, value in {"final": self.final, **self.observed}.items()}
        return facts_html(f"recording: {self.visits.label}, n = {self.visits.n}", shapes)


def sample(pool: ExpertPool, visits: Visits, observables: tuple[str, ...] = ()) -> Recording:
    """Visit in this process and keep everything in memory.

    Args:
        pool: the system.
        visits: what to visit; the result does not depend on how it is split into batches.
        observables: names of what to keep of each visited state.
    """
    wanted = observables_named(observables)
    with one_thread():
        blocks = [compute_block(pool, visits, wanted, block, lambda fraction: None) for block in blocks_of(visits.n)]
    return join(visits, blocks, recording_key(pool, visits))


def blocks_of(n: int) -> list[range]:
    """The samples ``0 .. n - 1`` in blocks."""
    return [range(i, min(i + BLOCK, n)) for i in range(0, n, BLOCK)]


def recording_key(pool: ExpertPool, visits: Visits) -> str:
    """The hash that names the recording of some visits to a pool, whatever the number of samples."""
    # Bits depend on torch and on the kind of device, so both are part of the name.
    return digest(
        {
            "schema": SCHEMA,
            "models": visits.field(pool).fingerprint,
            "visits": visits.identity,
            "torch": torch.__version__,
            "device": pool.device.type,
        }
    )[:32]


@torch.no_grad()  # and not inference mode: what observables differentiate must be allowed into a graph
def compute_block(
    pool: ExpertPool, visits: Visits, wanted: Sequence[Kept], block: range, report: OnProgress
) -> dict[str, dict[str, Tensor]]:
    """What is kept of a block of samples."""
    keep = {kept: kept.visits(visits.times, TENTHS) for kept in wanted}
    all_experts = {i for kept, numbers in keep.items() if kept.observable.needs_experts for i in numbers}
    values: dict[str, list[Tensor]] = {kept.file: [] for kept in wanted}
    functions: dict[Kept, Callable[..., Tensor]] = {kept: kept.observable.start() for kept in wanted}
    last = None
    with _numbered(visits, block):
        for i, visit in enumerate(visits.walk(visits.field(pool), block, all_experts)):
            last = visit
            for kept, numbers in keep.items():
                if i in numbers:
                    values[kept.file].append(functions[kept](visit).cpu())
            report(min(1.0, (i + 1) / len(visits.times)))
    assert last is not None
    computed = {name: {"value": torch.stack(parts, dim=1)} for name, parts in values.items()}
    samples = last.samples
    computed[FINAL] = {
        "final": last.x.cpu(),
        "seeds": samples.seeds,
        "cluster": samples.condition.cluster.cpu(),
        "evaluations": last.calls.long(),
    }
    return computed


@contextlib.contextmanager
def _numbered(visits: Visits, block: range) -> Iterator[None]:
    """Say the number of the sample for which a system fails: a field knows seeds alone."""
    try:
        yield
    except NotFiniteError as error:
        seeds = sample_seeds(visits.seed, len(block), block.start).tolist()
        if error.seed not in seeds:
            raise
        raise NotFiniteError(f"sample {block[seeds.index(error.seed)]}: {error}", error.seed) from error


def join(visits: Visits, blocks: Sequence[Block], key: str) -> Recording:
    """The recording that some blocks make together."""
    joined = {
        name: {part: torch.cat([block[name][part] for block in blocks]) for part in blocks[0][name]}
        for name in blocks[0]
    }
    final = joined.pop(FINAL)
    observed = {name.rsplit(".", 1)[0]: parts["value"] for name, parts in joined.items()}
    times = torch.tensor(visits.times, dtype=torch.float64)
    return Recording(visits=visits, times=times, observed=observed, key=key, **final)
