"""What an analysis is: what it needs recorded, and a pure function of that to tables and plots."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, final

from torch import Tensor

from mnist_ddm.analyses.settings import Settings
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import unknown
from mnist_ddm.figures.plot import Plot
from mnist_ddm.tables.table import Schema, Table

if TYPE_CHECKING:
    import pandas
    import polars

Own = TypeVar("Own", bound=Settings)
"""The settings of an analysis."""

SCALES = ("small", "medium", "full")
"""The sizes of a study; `full` has the paper's numbers."""


@dataclass(frozen=True)
class Need:
    """A recording that an analysis needs.

    Attributes:
        visits: what to visit.
        observables: what to keep of each visited state.
        optional: only if it is recorded already.
    """

    visits: Visits
    observables: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Answer:
    """What an analysis says.

    Attributes:
        tables: the answers.
        plots: the same to look at.
        artefacts: tensors that the answers rest on, by file name and tensor name, such as reference statistics.
    """

    tables: tuple[Table, ...]
    plots: tuple[Plot, ...] = ()
    artefacts: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)

    def table(self, name: str = "") -> Table:
        """The table of a name, or the first, which is the answer in short.

        Raises:
            InputError: if there is none; the message lists those that there are.
        """
        for table in self.tables:
            if name in ("", table.name):
                return table
        raise unknown("table", name, [table.name for table in self.tables])

    def to_pandas(self, name: str = "") -> "pandas.DataFrame":
        """A table by its name, such as `quality-within-classes`, or the first as a pandas data frame.

        Raises:
            InputError: if there is no such table (the message lists those that there are), or pandas is not installed.
        """
        return self.table(name).to_pandas()

    def to_polars(self, name: str = "") -> "polars.DataFrame":
        """A table by its name, such as `quality-within-classes`, or the first as a polars data frame.

        Raises:
            InputError: if there is no such table (the message lists those that there are), or polars is not installed.
        """
        return self.table(name).to_polars()

    def __repr__(self) -> str:
        names = ", ".join(f"{table.name} ({len(table.rows)} rows)" for table in self.tables)
        return f"<Answer of {names or 'no tables'}, {len(self.plots)} plots>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return "".join(table._repr_html_() for table in self.tables)


@final
@dataclass(frozen=True)
class Sizes(Generic[Own]):
    """The settings of an analysis at each of `SCALES`."""

    small: Own
    medium: Own
    full: Own

    def at(self, scale: str) -> Own:
        """The settings at a scale.

        Raises:
            AttributeError: if there is no such scale.
        """
        own: Own = getattr(self, scale)
        return own


class Analysis(ABC, Generic[Own]):
    """One scientific question.

    Attributes:
        id: its name on the command line.
        group: the group that it belongs to, such as `alignment`.
        question: the question, and where in the paper it is asked.
        tables: what its tables hold; the claims ledger is checked against them.
        sizes: its settings at each of `SCALES`.
        compares: whether it compares routings and takes those that a user chooses (`TrajectorySettings.routings`).
        own_tables: what it adds where a user has chosen routings, for an analysis whose tables have fixed ones.
        fixed: if it takes none, why not, in a few words.
    """

    id: ClassVar[str]
    group: ClassVar[str]
    question: ClassVar[str]
    tables: ClassVar[tuple[Schema, ...]]
    sizes: ClassVar[Sizes[Any]]
    compares: ClassVar[bool] = False
    own_tables: ClassVar[tuple[Schema, ...]] = ()
    fixed: ClassVar[str] = "what is compared there is no choice of routings"

    def __init_subclass__(cls) -> None:
        """Refuse an analysis that leaves one of its attributes out."""
        lacking = [name for name in ("id", "group", "question", "tables", "sizes") if not hasattr(cls, name)]
        if lacking:
            raise TypeError(f"the analysis {cls.__name__} must say its {', '.join(lacking)}")

    @abstractmethod
    def needs(self, pool: ExpertPool, settings: Own) -> tuple[Need, ...]:
        """The recordings that it needs.

        Raises:
            InputError: if the system cannot answer the question.
        """

    @abstractmethod
    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: Own) -> Answer:
        """Answer the question from the recordings."""
