"""Tables with a schema: what a column is called, means and is for stands in one place, and readers select by key."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mnist_ddm.stats.intervals import Estimate

if TYPE_CHECKING:
    import pandas
    import polars

Value = str | int | float | Estimate | None
Row = Mapping[str, Value]
Role = Literal["key", "measure", "paper", "note"]


@dataclass(frozen=True)
class Kind:
    """What numbers are, whatever they are of: which there can be, and how those of several runs are put together.

    Attributes:
        low: the least that there can be.
        high: the most.
        averages: whether their mean says anything; that of p-values does not.
        as_logarithms: several are put together as logarithms, as ratios are: twice and half make once.
    """

    low: float = -math.inf
    high: float = math.inf
    averages: bool = True
    as_logarithms: bool = False

    def kept(self, estimate: Estimate) -> Estimate:
        """The estimate with its ends where there can be numbers; NaN stays."""
        return Estimate(estimate.value, *(min(max(end, self.low), self.high) for end in (estimate.low, estimate.high)))


NUMBER, FRACTION, PERCENT, CORRELATION = Kind(), Kind(0, 1), Kind(0, 100), Kind(-1, 1)
P_VALUE = Kind(0, 1, averages=False)
RATIO = Kind(0, as_logarithms=True)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: its name in files, in the claims ledger and in code; lower case, with underscores.
        title: its heading for people.
        role: `key` says what a row is, `measure` was measured, `paper` is what the paper states beside, and `note` is
            anything else that a reader may want, such as a number of samples or a standard deviation.
        unit: of its values, such as `deg` or `%`; empty for none.
        values: of a key, the values that there may be, each with its words for people; empty if they are open.
        accepts: of a key with open values, whether there may be a value.
        optional: a system or a setting may leave it out.
        minor: it goes last into a narrow terminal.
        kind: of its numbers.
        kinds: of a key that says what a row measured, the kind of the row's measures where it is not their column's, by
            the key's value.
    """

    key: str
    title: str
    role: Role = "measure"
    unit: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    accepts: Callable[[str], bool] | None = None
    optional: bool = False
    minor: bool = False
    kind: Kind = NUMBER
    kinds: Mapping[str, Kind] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def allows(self, value: str) -> bool:
        """Whether a key's value may be in the table."""
        if self.values:
            return value in self.values
        return self.accepts is None or self.accepts(value)

    def shown(self, value: Value) -> Value:
        """A value in words for people."""
        return self.values.get(value, value) if isinstance(value, str) else value


@dataclass(frozen=True)
class Schema:
    """What a table holds, whatever was measured.

    Attributes:
        name: of the table and of its files.
        columns: in order; the keys tell rows apart.

    Raises:
        ValueError: if two columns have one key.
    """

    name: str
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        if len({c.key for c in self.columns}) < len(self.columns):
            raise ValueError(f"the table {self.name!r} has two columns of one key")

    def __getitem__(self, key: str) -> Column:
        """The column of a key.

        Raises:
            KeyError: if there is none; the message lists those that there are.
        """
        for column in self.columns:
            if column.key == key:
                return column
        known = ", ".join(c.key for c in self.columns)
        raise KeyError(f"the table {self.name!r} has no column {key!r}; there are: {known}")

    @property
    def keys(self) -> tuple[Column, ...]:
        """The columns that say what a row is."""
        return tuple(c for c in self.columns if c.role == "key")

    def kind(self, key: str, row: Row) -> Kind:
        """Of the number in a cell: what a key of its row says of measures, else what the cell's column says.

        Raises:
            KeyError: if there is no such column.
        """
        column = self[key]
        said = (name.kinds.get(str(row.get(name.key))) for name in self.keys if column.role == "measure")
        return next((kind for kind in said if kind is not None), column.kind)


@dataclass(frozen=True)
class Table:
    """A tidy table: one row an observation.

    Attributes:
        schema: what its columns are.
        title: a sentence.
        rows: values by column; an `Estimate` carries its interval, ``None`` is printed as a dash.
        notes: rules and remarks that the reader needs.

    Raises:
        ValueError: if a row has a column that the schema does not have, or lacks one that is not optional.
    """

    schema: Schema
    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = {c.key for c in self.schema.columns}
        needed = {c.key for c in self.schema.columns if not c.optional}
        for row in self.rows:
            if not needed <= row.keys() <= known:
                wrong = ", ".join(sorted((row.keys() - known) | (needed - row.keys())))
                raise ValueError(f"a row of {self.name!r} lacks columns or has unknown ones: {wrong}")

    @property
    def name(self) -> str:
        """Of the table and of its files."""
        return self.schema.name

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of the schema that some row has."""
        present = {key for row in self.rows for key in row}
        return tuple(c for c in self.schema.columns if c.key in present)

    def select(self, **keys: Value) -> Iterator[Row]:
        """The rows with these values."""
        return (row for row in self.rows if all(row.get(key) == value for key, value in keys.items()))

    def row(self, **keys: Value) -> Row:
        """The first row with these values.

        Raises:
            KeyError: if there is none.
        """
        for row in self.select(**keys):
            return row
        raise KeyError(f"the table {self.name!r} has no row with {keys}")

    def column(self, key: str) -> list[Value]:
        """The values of a column, from the first row to the last."""
        return [row.get(key) for row in self.rows]

    def to_pandas(self) -> "pandas.DataFrame":
        """The table as a pandas data frame; see `frames.to_pandas`.

        Raises:
            InputError: if pandas is not installed.
        """
        from mnist_ddm.tables.frames import to_pandas

        return to_pandas(self)

    def to_polars(self) -> "polars.DataFrame":
        """The table as a polars data frame; see `frames.to_polars`.

        Raises:
            InputError: if polars is not installed.
        """
        from mnist_ddm.tables.frames import to_polars

        return to_polars(self)

    def __repr__(self) -> str:
        return f"<Table {self.name}: {len(self.rows)} rows of {', '.join(c.key for c in self.columns) or 'nothing'}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from mnist_ddm.tables.html import table_html

        return table_html(self)
