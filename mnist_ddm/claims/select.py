"""The cells that a comparison of the ledger names, found in the tables of a run."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mnist_ddm.analyses.analysis import Value, stated_value
from mnist_ddm.claims.contrasts import point
from mnist_ddm.claims.ledger import Claim, Comparison
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.study.results import Results, key_columns

Row = Mapping[str, Value]


class MissingCell(Exception):  # noqa: N818 (no error: it becomes a verdict)
    """A cell that is not there; the message says why."""


@dataclass(frozen=True)
class Cell:
    """A measured cell and what it is of."""

    label: str
    value: Value


@dataclass(frozen=True)
class Operand:
    """One side of a comparison.

    Attributes:
        cell: as the table has it.
        value: the same as an estimate; its ends are NaN where there is no interval.
        deciding: what is compared: ``value``, or the column that decides for it.
        key: the name of its row, for the paper's values.
    """

    cell: Cell
    value: Estimate
    deciding: Estimate
    key: str


def operands(
    claim: Claim, comparison: Comparison, results: Results, runs: Mapping[str, Results], *, name_columns: bool = False
) -> list[Operand]:
    """The cells of a comparison, in its order.

    Args:
        claim: whose comparison it is.
        comparison: which.
        results: of the run.
        runs: by system, for comparisons of several.
        name_columns: whether labels must say which column a cell is of.

    Raises:
        MissingCell: if one is not there.
    """
    found = []
    for system in comparison.systems or (results.system,):
        source = runs[system]
        for selector in comparison.rows:
            rows = _rows(claim, comparison, selector, source)
            for row in rows:
                for column in comparison.columns:
                    name = filled(column, source)
                    if comparison.each and row.get(name) is None:
                        continue
                    keys = key_columns(source.tables[comparison.table])
                    label = _label(comparison, selector, row, rows, keys, name, system)
                    if name_columns and not label.startswith(name):
                        label = f"{name}, {label}"
                    found.append(_operand(comparison, row, name, label, key_of(selector), source))
    return found


def key_of(selector: Mapping[str, str]) -> str:
    """The name of a row for the paper's values: the last that the selector says."""
    return list(selector.values())[-1] if selector else ""


def limit_of(claim: Claim, comparison: Comparison, results: Results) -> float:
    """The number that a comparison's limit is.

    Raises:
        MissingCell: if the system has no such number.
    """
    limit = comparison.limit
    if not isinstance(limit, str):
        return limit or 0.0
    if limit.startswith("{"):
        return float(filled(limit, results))
    value = as_estimate(stated_value(claim.analyses[0], results.system, limit)[0], exact=True)
    if value is None:
        raise MissingCell(f"the paper states no number {limit!r}")
    return value.value


def _operand(comparison: Comparison, row: Row, column: str, label: str, key: str, source: Results) -> Operand:
    if column not in row:
        raise MissingCell(f"the table {comparison.table!r} has no column {column!r} for this system")
    value = as_estimate(row[column], comparison.exact)
    if value is None:
        raise MissingCell(f"{label}: {column} is not defined here")
    deciding = value
    if comparison.decided_by is not None:
        decided = as_estimate(row.get(filled(comparison.decided_by, source)), exact=False)
        deciding = decided or Estimate(value.value, float("nan"), float("nan"))
    return Operand(Cell(label, row[column]), value, deciding, key)


def _rows(claim: Claim, comparison: Comparison, selector: Mapping[str, str], source: Results) -> list[Row]:
    table = source.tables.get(comparison.table)
    if table is None:
        why = next((source.absent[a] for a in claim.analyses if a in source.absent), None)
        raise MissingCell(why or f"this run of {source.system} has no table {comparison.table!r}")
    wanted = {column: filled(text, source) for column, text in selector.items()}
    fitting = [row for row in table.rows if all(_fits(row.get(c), pattern) for c, pattern in wanted.items())]
    if comparison.each:
        fitting = [row for row in fitting if any(row.get(filled(c, source)) is not None for c in comparison.columns)]
    if not fitting:
        what = ", ".join(wanted.values()) or "rows"
        raise MissingCell(f"the table {comparison.table!r} has no {what} for {source.system}")
    return list(fitting) if comparison.each else fitting[:1]


def _fits(value: Value, pattern: str) -> bool:
    text = short(value)
    if pattern.startswith("!"):
        return not fnmatch.fnmatchcase(text, pattern[1:])
    return text == pattern or fnmatch.fnmatchcase(text, pattern)


def filled(text: str, source: Results) -> str:
    """The text with the names that the run gives; an unknown one means that the system has no such thing.

    Raises:
        MissingCell: if a name is unknown.
    """
    try:
        return text.format_map(source.names)
    except KeyError as error:
        raise MissingCell(f"{source.system} has no {error.args[0].replace('_', ' ')}") from None


def _label(
    comparison: Comparison,
    selector: Mapping[str, str],
    row: Row,
    rows: Sequence[Row],
    keys: Sequence[str],
    column: str,
    system: str,
) -> str:
    """What tells this cell from the others of the comparison."""
    if comparison.systems:
        return f"{column}, {system}"
    named = [column] if len(comparison.columns) > 1 or comparison.each else []
    if comparison.each:
        varying = [c for c in keys if len({str(r.get(c)) for r in rows}) > 1]
        return ", ".join([*named, *(f"{c} {short(row[c])}" for c in varying)])
    varying = [c for c in selector if len({s.get(c) for s in comparison.rows}) > 1] or list(selector)[-1:]
    return ", ".join([*named, *(short(row[c]) for c in varying)]) or column


def short(value: Value) -> str:
    """A cell as the text that selectors are matched with."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def as_estimate(value: Value, exact: bool) -> Estimate | None:
    """A cell as an estimate; without an interval its ends are NaN, unless it is exact. ``None`` for no number."""
    if isinstance(value, Estimate):
        return None if value.value != value.value else value
    if isinstance(value, str):
        found = re.fullmatch(r"<?\s*([-+]?[.\d]+(?:[eE][-+]?\d+)?)", value)
        value = float(found[1]) if found else None
    if value is None or value != value:
        return None
    return point(float(value)) if exact else Estimate(float(value), float("nan"), float("nan"))
