"""Settings of analyses: how many samples, how they are drawn, and what they are compared by."""

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, final

from mnist_ddm.analyses.systems import fitting
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.visits import Noising, Sampling


@dataclass(frozen=True, kw_only=True)
class Settings(ABC):
    """What every analysis is told.

    Attributes:
        n: number of samples.
        seed: of everything random.
    """

    n: int
    seed: int = 0

    def choosing(self, **choices: Any) -> Self:
        """The same with those of some choices that these settings have."""
        own = {field.name for field in fields(self)}
        chosen: dict[str, Any] = {name: value for name, value in choices.items() if name in own}
        if isinstance(chosen.get("routings"), list):  # a list cannot be hashed
            chosen["routings"] = tuple(chosen["routings"])
        return replace(self, **chosen)


@final
@dataclass(frozen=True, kw_only=True)
class NoisingSettings(Settings):
    """For an analysis of noised held-out states."""

    def noising(self, routing: str) -> Noising:
        """The visits of a routing to noised held-out states."""
        return Noising(routing, self.n, self.seed)


@dataclass(frozen=True, kw_only=True)
class TrajectorySettings(Settings):
    """What every analysis of trajectories is told.

    Attributes:
        steps: N, the number of solver steps.
        solver: `heun`, `euler` or `ab2`; `heun@churn=2` with noise.
        routings: to compare, where an analysis compares routings; empty for its own choice.
    """

    steps: int = 50
    solver: str = "heun"
    routings: tuple[str, ...] = ()

    def compared(self, pool: ExpertPool, usual: Sequence[str], *references: str) -> list[str]:
        """The routings to compare on a system: those that were chosen, or the usual ones that it can have.

        Args:
            pool: the system.
            usual: what the analysis compares if nobody chose.
            references: what the others are held against, which is measured whatever was chosen.
        """
        return fitting(pool, list(dict.fromkeys([*(self.routings or usual), *references])))

    def sampling(self, routing: str) -> Sampling:
        """The trajectories of a routing."""
        return Sampling(routing, self.n, self.seed, self.solver, self.steps)


@final
@dataclass(frozen=True, kw_only=True)
class SamplingSettings(TrajectorySettings):
    """For an analysis of trajectories."""


@final
@dataclass(frozen=True, kw_only=True)
class RefinementSettings(TrajectorySettings):
    r"""For an analysis of :math:`\Delta_{refine}`, which is a perceptual distance.

    Attributes:
        distance: name of a distance of the system; empty for its default.
    """

    distance: str = ""


@final
@dataclass(frozen=True, kw_only=True)
class JoinedSettings(TrajectorySettings):
    r"""For an analysis that puts Frechet distances of stored samples beside :math:`\Delta_{refine}`.

    Attributes:
        distance: name of a distance of the system; empty for its default.
        features: name of features of the system; empty for its default.
        quality_n: samples of the recordings whose Frechet distances are joined; 0 for the usual numbers.
        quality_steps: solver steps of those recordings.
    """

    distance: str = ""
    features: str = ""
    quality_n: int = 0
    quality_steps: int = 25
