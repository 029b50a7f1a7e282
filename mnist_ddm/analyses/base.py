"""What an analysis is: what it needs recorded, and a pure function of that to tables and plots."""

import contextlib
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from mnist_ddm.core.errors import InputError, unknown
from mnist_ddm.core.field import make_field
from mnist_ddm.core.pool import Distance, ExpertPool, Features
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.runs import Run, Sampling
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
        features: name of the features of Frechet distances; ``None`` for the system's default.
        quality_n: samples of the runs whose Frechet distances other analyses join; ``None`` for the usual numbers.
        quality_steps: solver steps of those runs; ``None`` for 25.
    """

    n: int | None = None
    steps: int | None = None
    seed: int = 0
    solver: str = "heun"
    distance: str | None = None
    features: str | None = None
    quality_n: int | None = None
    quality_steps: int | None = None


@dataclass(frozen=True)
class Need:
    """A recording that an analysis needs.

    Attributes:
        run: what to run.
        observables: what to keep of it.
        optional: only if it is recorded already.
    """

    run: Run
    observables: tuple[str, ...] = ()
    optional: bool = False


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
    """One line, set of bars, cloud of points or row of a map.

    ``low`` and ``high`` are a band or error bars, ``names`` are written beside points.
    """

    label: str
    x: Sequence[float] | Sequence[str]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    names: Sequence[str] | None = None


@dataclass(frozen=True)
class Plot:
    """What a plot shows, without how it is drawn.

    Attributes:
        name: of its file.
        kind: `lines`, `bars`, `points`, `named points`, or `map`: one row for each series, one column for each x, the
            colour by log y around 1.
        title: what it says.
        x_label: with unit.
        y_label: with unit.
        series: what is drawn.
        falling_x: draw x from high to low, as time runs in sampling.
        logarithmic: both axes.
    """

    name: str
    kind: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    falling_x: bool = False
    logarithmic: bool = False


@dataclass(frozen=True)
class Findings:
    """What an analysis found.

    Attributes:
        tables: the answers.
        plots: the same to look at.
        artefacts: tensors that the answers rest on, by file name and tensor name, such as reference statistics.
    """

    tables: tuple[Table, ...]
    plots: tuple[Plot, ...] = ()
    artefacts: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)


class Analysis(ABC):
    """One scientific question."""

    @property
    @abstractmethod
    def id(self) -> str:
        """Its name on the command line."""

    @property
    @abstractmethod
    def group(self) -> str:
        """The group that it belongs to, such as `alignment`."""

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
    def analyse(self, pool: ExpertPool, recordings: Mapping[Run, Recording], settings: Settings) -> Findings:
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
        InputError: if the system has no distance of that name, or cannot compute it now (a file is missing).
    """
    distances = pool.distances
    name = settings.distance or next(iter(distances))
    if name not in distances:
        raise unknown(f"distance of the system {pool.name!r}", name, list(distances))
    image = _any_image(pool)
    distances[name](image, image)
    return distances[name]


def chosen_features(pool: ExpertPool, settings: Settings) -> Features:
    """The features of Frechet distances that the settings name, or the system's default.

    Raises:
        InputError: if the system has no features of that name, or cannot compute them now (a file is missing).
    """
    features = pool.frechet_features
    name = settings.features or next(iter(features))
    if name not in features:
        raise unknown(f"features of the system {pool.name!r}", name, list(features))
    features[name](_any_image(pool))
    return features[name]


def _any_image(pool: ExpertPool) -> Tensor:
    """One image to try a metric on, so that what is missing is said before hours of sampling."""
    with torch.inference_mode():
        return pool.decode(torch.zeros(1, *pool.state_shape, device=pool.device))


def has_real_states(pool: ExpertPool) -> bool:
    """Whether the system has real states to compare with; one without data has none."""
    with contextlib.suppress(InputError):
        return len(pool.real_states(1)[0]) > 0
    return False


def fitting(pool: ExpertPool, names: Sequence[str]) -> list[str]:
    """Those fields that the pool can have: no more experts than there are, and a monolith only if there is one."""
    found = []
    for name in names:
        with contextlib.suppress(InputError):
            make_field(pool, name)
            found.append(name)
    return found


def p_value(p: float) -> Value:
    """A p-value for a table: one that is too small for a float is not 0."""
    return p if p != 0 else "< 1e-300"


PARIS = "paris"
"""The paper's main system."""


def paper_values(analysis: str, system: str) -> dict[str, Any]:
    """What the paper states for an analysis on a system, or else on Paris, its main system; `place` says which.

    Beside the values of another system, orders and directions compare, and sizes do not.
    """
    stated = _paper()[analysis]
    if system in stated:
        own: dict[str, Any] = stated[system]
        return own
    paris: dict[str, Any] = stated[PARIS]
    return {**paris, "place": f"{paris['place']}, on Paris"}


def stated_value(analysis: str, system: str, path: str) -> tuple[Value, str]:
    """One value that the paper states for an analysis, and the system of which it does.

    Args:
        analysis: its name.
        system: whose value is wanted; where the paper has none, that of Paris, its main system.
        path: the keys to the value, with colons between, such as ``top2:Delta_refine``.

    Returns:
        The value, or ``None`` if the paper states none, and the system.
    """
    for of in dict.fromkeys((system, PARIS)):
        found: Any = _paper().get(analysis, {}).get(of)
        for key in path.split(":"):
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, str | int | float):
            return found, of
    return None, PARIS


@cache
def _paper() -> dict[str, Any]:
    return tomllib.loads(files("mnist_ddm.analyses").joinpath("paper.toml").read_text(encoding="utf-8"))
