"""Plans: the recordings that some analyses need together, so that each trajectory is computed once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from mnist_ddm.analyses.analysis import Need
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.visits import Visits
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.cost import bytes_of, expert_evaluations, seconds_of
from mnist_ddm.study.record import is_recorded, to_compute


@dataclass(frozen=True)
class Plan:
    """Recordings of one system, and what making those that are missing takes.

    Attributes:
        pool: the system.
        wanted: for each kind of visits the names of the observables to keep.
        store: where recordings are kept.
    """

    pool: ExpertPool
    wanted: Mapping[Visits, tuple[str, ...]]
    store: RecordingStore

    @cached_property
    def missing(self) -> Mapping[Visits, tuple[str, ...]]:
        """Those that are to be computed; the others are recorded, or read from a larger one of these."""
        return to_compute(self.pool, self.wanted, self.store)

    @property
    def evaluations(self) -> int:
        """About how many samples will go through an expert, at the most; a Jacobian product counts as one."""
        return expert_evaluations(self.pool, self.missing)

    @property
    def bytes(self) -> int:
        """About how much disk it takes."""
        return bytes_of(self.pool, self.missing)

    def seconds(self, workers: int = 1) -> float:
        """About how long it takes, timed here and now."""
        return seconds_of(self.pool, self.missing) / workers


def joined(pool: ExpertPool, needs: Iterable[Need], store: RecordingStore) -> Plan:
    """The plan of some needs; optional ones only if the store has them.

    Raises:
        InputError: if the system cannot have what one asks for.
    """
    wanted: dict[Visits, tuple[str, ...]] = {}
    for need in needs:
        if need.optional and not is_recorded(pool, need.visits, need.observables, store):
            continue
        need.visits.field(pool)
        wanted[need.visits] = tuple(sorted({*wanted.get(need.visits, ()), *need.observables}))
    return Plan(pool, wanted, store)
