"""The claims ledger: every statement of the paper as data, joined to the table that measures it.

`claims.toml` says what is claimed, where, and which cells of which table decide it, all by key; the paper's own numbers
are in `analyses/paper.toml`, and the ledger refers to them by path. Loading it resolves every table, column, row and
path against what the analyses declare, so a key that does not exist is an error here and never a verdict.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from mnist_ddm.analyses.paper import SYSTEMS, stated_value
from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.errors import unknown
from mnist_ddm.tables.table import Column, Schema

ROW = "{row}"
"""In a path of the paper's values: the last key value of the row that it stands beside."""

_ORDERED = ("rising", "falling", "lowest", "highest")
"""Those that compare cells with each other."""
_EXPECT = (*_ORDERED, "above", "below", "alike", "equals", "near", "sized")

_TWO_SIDED = ("alike", "equals", "near")
_LIMITED = ("above", "below", "equals", "near")
"""Those that hold each cell against a limit."""


class LedgerError(ValueError):
    """The ledger names something that no analysis measures, or the paper does not state."""


@dataclass(frozen=True)
class Comparison:
    """Cells of a table, and how the paper says that they compare.

    Attributes:
        expect: `rising`, `falling`, `lowest`, `highest` (the first against each other one), `below`, `above` (each
            against the limit), `alike` (ratios to the first), `equals` (the ratio to the limit), `near` (within the
            limit of the centre, on either side), or `sized` (nothing but what ``size`` says).
        table: where the cells are.
        columns: keys; one for all rows, or several of one row.
        rows: which rows, by column key and value. The first row that fits counts.
        each: all rows that fit count, not only the first.
        systems: the same cell in the runs of these systems, instead of several cells of one run.
        limit: a number, or the path of one of the paper's values.
        limit_column: the column of the same row that holds the limit, instead of ``limit``.
        within: how far a ratio may be from 1, for `alike` and `equals`.
        centre: what each cell is to be near to, at most ``limit`` away on either side, for `near`.
        smallest: the smallest effect of interest, in the units of the cells: a difference, or a distance from the
            limit, that is smaller does not matter. 0 if none is said.
        smallest_of: a column of the same row whose number ``smallest`` is a share of.
        smallest_ratio: instead, for comparisons of cells: how far their ratio may be from 1 and not matter.
        times: for orders: a cell is to be at least so many times the one before it.
        decided_by: a column of the same rows whose intervals decide, where the measured one has none.
        stated: paths of the paper's values that belong beside; ``{row}`` is the name of each row.
        size: path of the values that must be met for more than the direction; ``{row}`` as above.
        allowed: how far the other way still is as said, in the units of the cells, for claims that something is no
            better than something else.
        exact: the numbers are no estimates: a p-value or a count.
        p_value: the numbers are p-values: one above the limit is no evidence against the claim, since too few samples
            have it as well, and leaves it open.
        optional: left out where the system has no such cells, such as those of a monolith.
    """

    expect: str
    table: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...] = ({},)
    each: bool = False
    systems: tuple[str, ...] = ()
    limit: float | str | None = None
    limit_column: str | None = None
    within: float | None = None
    centre: float = 0.0
    smallest: float = 0.0
    smallest_of: str | None = None
    smallest_ratio: float = 0.0
    times: float = 1.0
    decided_by: str | None = None
    stated: tuple[str, ...] = ()
    size: str | None = None
    allowed: float = 0.0
    exact: bool = False
    p_value: bool = False
    optional: bool = False

    @property
    def paths(self) -> list[str]:
        """All paths of the paper's values that it names, one for each row where a path names the row."""
        paths = [*self.stated, *([self.size] if self.size else [])]
        named = [path.replace(ROW, key_of(row)) for path in paths for row in (self.rows if ROW in path else ({},))]
        return [*named, *([self.limit] if isinstance(self.limit, str) else [])]


@dataclass(frozen=True)
class Reading:
    """One way to read a claim; all its comparisons must come out as said.

    Attributes:
        name: what is read how.
        comparisons: at least one.
        construction: why it could not come out otherwise, or nothing.
        stands_in: it gives the verdict where no reading before it has intervals.
    """

    name: str
    comparisons: tuple[Comparison, ...]
    construction: str = ""
    stands_in: bool = False


@dataclass(frozen=True)
class Claim:
    """One statement of the paper.

    Attributes:
        id: its name on the command line.
        place: in the paper.
        statement: in a sentence.
        stated_for: the systems of which the paper says it.
        analyses: that measure it; the paper's values are those of the first.
        readings: the first is the one that matches the paper's own numbers, and the verdict is that of it, or of one
            that stands in for it.
        note: what a reader must know, such as a contradiction in the paper.
        untestable: why no reading can be given, or nothing.
        headline: it is one of the statements of the paper's abstract.
        alignment: it says that experts are chosen by what they were trained on, so a system in which that cannot be,
            such as experts of random parts of the data, must never reproduce it.
        only_there: it is of numbers that no other system can share, so it is not held against another one.
    """

    id: str
    place: str
    statement: str
    stated_for: tuple[str, ...]
    analyses: tuple[str, ...]
    readings: tuple[Reading, ...]
    note: str = ""
    untestable: str = ""
    only_there: bool = False
    headline: bool = False
    alignment: bool = False

    @property
    def systems(self) -> tuple[str, ...]:
        """The systems whose runs it compares; none for a claim about one run."""
        return tuple(dict.fromkeys(s for r in self.readings for c in r.comparisons for s in c.systems))


@dataclass(frozen=True)
class Ledger:
    """All claims, and what is true of the paper's numbers as a whole.

    Attributes:
        claims: by name.
        warnings: to be said wherever the claims are shown.
    """

    claims: Mapping[str, Claim]
    warnings: tuple[str, ...] = field(default=())


def key_of(row: Mapping[str, str]) -> str:
    """The name of a row for the paper's values: the last that the selector says."""
    return list(row.values())[-1] if row else ""


@cache
def ledger() -> Ledger:
    """The claims that ship.

    Raises:
        LedgerError: if one names a table, column, row or value that does not exist.
    """
    stored = tomllib.loads(files("mnist_ddm.claims").joinpath("claims.toml").read_text(encoding="utf-8"))
    return read_ledger(stored)


def read_ledger(stored: Mapping[str, Any]) -> Ledger:
    """A ledger as TOML has it, resolved.

    Raises:
        LedgerError: as `ledger`.
    """
    claims = [_claim(entry) for entry in stored["claim"]]
    for claim in claims:
        _resolve(claim)
    return Ledger({claim.id: claim for claim in claims}, tuple(stored["warnings"]))


def claim_named(name: str) -> Claim:
    """The claim of that name.

    Raises:
        InputError: if there is none; the message lists those that exist.
    """
    if name not in ledger().claims:
        raise unknown("claim", name, list(ledger().claims), "a run's verdicts.csv has all")
    return ledger().claims[name]


def _claim(entry: Mapping[str, Any]) -> Claim:
    plain = {k: v for k, v in entry.items() if k not in ("reading", "stated_for", "analyses")}
    readings = tuple(_reading(r) for r in entry.get("reading", ()))
    return Claim(**plain, stated_for=tuple(entry["stated_for"]), analyses=tuple(entry["analyses"]), readings=readings)


def _reading(entry: Mapping[str, Any]) -> Reading:
    plain = {k: v for k, v in entry.items() if k != "compare"}
    return Reading(**plain, comparisons=tuple(_comparison(c) for c in entry["compare"]))


def _comparison(entry: Mapping[str, Any]) -> Comparison:
    given = dict(entry)
    column, row = given.pop("column", None), given.pop("row", None)
    columns = tuple(given.pop("columns", ())) or (column,)
    rows = tuple(given.pop("rows", ())) or (row or {},)
    lists: dict[str, Any] = {k: tuple(given.pop(k)) for k in ("systems", "stated") if k in given}
    return Comparison(**given, **lists, columns=columns, rows=rows)


def _resolve(claim: Claim) -> None:
    """Refuse a claim that names what does not exist."""
    if missing := [name for name in claim.analyses if name not in ANALYSES]:
        raise LedgerError(f"{claim.id}: there is no analysis {missing[0]!r}")
    if bool(claim.readings) == bool(claim.untestable):
        raise LedgerError(f"{claim.id}: it needs readings, or a reason why it has none")
    schemas = {schema.name: schema for name in claim.analyses for schema in ANALYSES[name].tables}
    for comparison in (c for reading in claim.readings for c in reading.comparisons):
        if comparison.table not in schemas:
            raise LedgerError(f"{claim.id}: {', '.join(claim.analyses)} have no table {comparison.table!r}")
        try:
            resolve(comparison, schemas[comparison.table])
        except (KeyError, ValueError) as error:
            raise LedgerError(f"{claim.id}: {error.args[0]}") from error
        for path in comparison.paths:
            if all(stated_value(claim.analyses[0], system, path)[0] is None for system in SYSTEMS):
                raise LedgerError(f"{claim.id}: the paper states no value {path!r} for {claim.analyses[0]}")


def resolve(comparison: Comparison, schema: Schema) -> None:
    """Make sure that a comparison names cells that a table can have.

    Raises:
        KeyError: if there is no such column.
        ValueError: if a column is of the wrong kind, or there is no such row.
    """
    if comparison.expect not in _EXPECT:
        raise ValueError(f"{comparison.expect!r} is no expectation; there are: {', '.join(_EXPECT)}")
    wanted = (*comparison.columns, *([comparison.decided_by] if comparison.decided_by else []))
    for column in map(schema.__getitem__, wanted):
        if column.role != "measure" and not comparison.exact:
            raise ValueError(f"{schema.name} {column.key} is a {column.role}, not a measure")
    for beside in (comparison.limit_column, comparison.smallest_of):
        if beside is not None:
            schema[beside]
    if (comparison.smallest or comparison.smallest_ratio) and comparison.expect in _TWO_SIDED:
        raise ValueError(f"{comparison.expect!r} has a margin already, and no smallest effect")
    plain_order = comparison.expect in _ORDERED and not comparison.smallest and not comparison.smallest_ratio
    for name, given in (("allowed", bool(comparison.allowed)), ("times", comparison.times != 1)):
        if given and not plain_order:
            raise ValueError(f"{name!r} is of an order that has no smallest effect")
    if comparison.p_value and not (comparison.exact and comparison.expect == "below"):
        raise ValueError("a p-value is exact and below a limit")
    for row in comparison.rows:
        for key, value in row.items():
            _resolve_selector(schema, schema[key], value)
    single = len(comparison.rows) * len(comparison.columns) * max(1, len(comparison.systems)) == 1
    if single and not comparison.each and comparison.expect not in _LIMITED:
        raise ValueError(f"{comparison.expect!r} needs more than one cell of {schema.name}")
    if comparison.expect in ("alike", "equals") and comparison.within is None:
        raise ValueError(f"{comparison.expect!r} needs a margin `within`")
    if comparison.expect == "sized" and not comparison.size:
        raise ValueError("'sized' needs a `size`")
    limited = comparison.limit is not None or comparison.limit_column is not None
    if comparison.expect in _LIMITED and not limited:
        raise ValueError(f"{comparison.expect!r} needs a limit")


def _resolve_selector(schema: Schema, column: Column, value: str) -> None:
    if column.role not in ("key", "note"):
        raise ValueError(f"{schema.name} {column.key} says nothing of which row it is")
    if not column.allows(value):
        raise ValueError(f"{schema.name} can have no row whose {column.key} is {value!r}")
