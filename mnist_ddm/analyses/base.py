"""What an analysis is: what it needs recorded, and a pure function of that to tables and plots."""

import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from mnist_ddm.core.errors import unknown
from mnist_ddm.core.pool import Distance, ExpertPool
from mnist_ddm.core.recording import Recording, Sampling
from mnist_ddm.core.stats import Estimate

Value = str | int | float | Estimate | None


@dataclass(frozen=True)
class Settings:
    """What a user may choose for an analysis.

    Attributes:
        n: samples; ``None`` for the paper's number.
        steps: solver steps; ``None`` for the analysis' own.
        seed: of the run.
        solver: `heun` or `euler`.
        distance: name of a perceptual distance; ``None`` for the system's default.
    """

    n: int | None = None
    steps: int | None = None
    seed: int = 0
    solver: str = "heun"
    distance: str | None = None


@dataclass(frozen=True)
class Need:
    """A recording that an analysis needs.

    Attributes:
        sampling: the run.
        observables: what to keep of it.
    """

    sampling: Sampling
    observables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A tidy table.

    Attributes:
        name: of its file.
        title: a sentence.
        columns: in order; units stand in the names.
        rows: values by column; an `Estimate` carries its interval, ``None`` is printed as a dash.
        notes: rules and remarks that the reader needs.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Value], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Series:
    """One line, set of bars or cloud of points of a plot; ``low`` and ``high`` are a band or error bars."""

    label: str
    x: Sequence[float] | Sequence[str]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


@dataclass(frozen=True)
class Plot:
    """What a plot shows, without how it is drawn.

    Attributes:
        name: of its file.
        kind: `lines`, `bars` or `points`.
        title: what it says.
        x_label: with unit.
        y_label: with unit.
        series: what is drawn.
        falling_x: draw x from high to low, as time runs in sampling.
    """

    name: str
    kind: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    falling_x: bool = False


@dataclass(frozen=True)
class Findings:
    """What an analysis found."""

    tables: tuple[Table, ...]
    plots: tuple[Plot, ...] = ()


class Analysis(ABC):
    """One scientific question."""

    @property
    @abstractmethod
    def id(self) -> str:
        """Its name on the command line."""

    @property
    @abstractmethod
    def question(self) -> str:
        """The question, and where in the paper it is asked."""

    @abstractmethod
    def settings(self, chosen: Settings) -> Settings:
        """The chosen settings with this analysis' defaults filled in."""

    @abstractmethod
    def needs(self, pool: ExpertPool, settings: Settings) -> tuple[Need, ...]:
        """The recordings that it needs.

        Raises:
            InputError: if the system cannot answer the question.
        """

    @abstractmethod
    def analyse(self, pool: ExpertPool, recordings: Mapping[Sampling, Recording], settings: Settings) -> Findings:
        """Answer the question from the recordings."""


def fill(chosen: Settings, n: int, steps: int) -> Settings:
    """Settings with defaults for what was not chosen."""
    return replace(chosen, n=n if chosen.n is None else chosen.n, steps=steps if chosen.steps is None else chosen.steps)


def sampling_of(settings: Settings, routing: str) -> Sampling:
    """The run of a routing under filled settings."""
    assert settings.n is not None
    assert settings.steps is not None
    return Sampling(routing, settings.n, settings.seed, settings.solver, settings.steps)


def chosen_distance(pool: ExpertPool, settings: Settings) -> Distance:
    """The distance that the settings name, or the system's default.

    Raises:
        InputError: if the system has no distance of that name.
    """
    distances = pool.distances
    name = settings.distance or next(iter(distances))
    if name not in distances:
        raise unknown(f"distance of the system {pool.name!r}", name, list(distances))
    return distances[name]


def paper_values(analysis: str, system: str) -> dict[str, Any]:
    """What the paper states for an analysis on a system; empty where it states nothing."""
    found: dict[str, Any] = _paper().get(analysis, {}).get(system, {})
    return found


@cache
def _paper() -> dict[str, Any]:
    return tomllib.loads(files("mnist_ddm.analyses").joinpath("paper.toml").read_text(encoding="utf-8"))
