"""The cells that a comparison of the ledger names, found in the tables of a run, and the paper's values beside them."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mnist_ddm.analyses.paper import SYSTEMS, stated_value
from mnist_ddm.claims.ledger import ROW, Claim, Comparison, Reading, key_of
from mnist_ddm.stats.differences import difference, point, widened
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.study.results import Results
from mnist_ddm.tables.table import Column, Row, Table, Value

_NAMES = {"paris": "Paris", "mnist": "MNIST"}
_NORMAL = 1.96


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
        deciding: what is compared, at the level of the run: ``value``, or the column that decides for it.
        row: where it stands.
        key: the name of its row, for the paper's values.
    """

    cell: Cell
    value: Estimate
    deciding: Estimate
    row: Row
    key: str


def operands(
    claim: Claim, comparison: Comparison, results: Results, runs: Mapping[str, Results], *, name_columns: bool = False
) -> list[Operand]:
    """The cells of a comparison, in its order.

    Args:
        claim: whose comparison it is.
        comparison: which.
        results: of the run.
        runs: by the system of the paper that they are of, for comparisons of several.
        name_columns: whether labels must say which column a cell is of.

    Raises:
        MissingCell: if one is not there.
    """
    cells = []
    several = [(system, runs[system]) for system in comparison.systems]
    for system, of in several or [(results.system, results)]:
        table = _table(claim, comparison, of)
        for selector in comparison.rows:
            rows = _rows(comparison, selector, table, system)
            for row in rows:
                for column in map(table.schema.__getitem__, _columns(comparison, table, row)):
                    label = _label(comparison, selector, row, rows, table, column, system)
                    if name_columns and not label.startswith(column.title):
                        label = f"{column.title}, {label}"
                    cells.append(_operand(comparison, row, column.key, label, key_of(selector), of.level))
    return cells


def limit_of(claim: Claim, comparison: Comparison, results: Results, cells: Sequence[Operand]) -> float:
    """The number that a comparison's limit is.

    Raises:
        MissingCell: if there is no such number.
    """
    if comparison.limit_column is not None:
        limit = as_estimate(cells[0].row.get(comparison.limit_column), exact=True)
        if limit is None:
            raise MissingCell(f"the table {comparison.table!r} has no {comparison.limit_column} here")
        return limit.value
    if not isinstance(comparison.limit, str):
        return comparison.limit or 0.0
    # What the paper calls weak or rare is part of what it claims, whatever data it is claimed of.
    system = results.in_paper or claim.stated_for[0]
    stated = as_estimate(stated_value(claim.analyses[0], system, comparison.limit)[0], exact=True)
    if stated is None:
        raise MissingCell(f"the paper states no number {comparison.limit!r}")
    return stated.value


def _operand(comparison: Comparison, row: Row, key: str, label: str, row_key: str, level: float) -> Operand:
    value = as_estimate(row.get(key), comparison.exact)
    if value is None:
        raise MissingCell(f"{label}: {key} is not defined here")
    deciding = value
    if comparison.decided_by is not None:
        decided = as_estimate(row.get(comparison.decided_by), exact=False)
        deciding = decided or Estimate(value.value, math.nan, math.nan)
    return Operand(Cell(label, row[key]), value, widened(deciding, level), row, row_key)


def _table(claim: Claim, comparison: Comparison, source: Results) -> Table:
    table = source.tables.get(comparison.table)
    if table is None:
        why = next((source.absent[a] for a in claim.analyses if a in source.absent), None)
        raise MissingCell(why or f"this run of {source.system} has no table {comparison.table!r}")
    return table


def _columns(comparison: Comparison, table: Table, row: Row) -> list[str]:
    """The columns to look at; of all rows those without a value are passed over."""
    present = {column.key for column in table.schema.columns}
    if lacking := [key for key in comparison.columns if key not in present]:
        raise MissingCell(f"the table {comparison.table!r} has no column {lacking[0]!r} for this system")
    return [key for key in comparison.columns if not (comparison.each and row.get(key) is None)]


def _rows(comparison: Comparison, selector: Mapping[str, str], table: Table, system: str) -> list[Row]:
    fitting = [row for row in table.rows if all(_fits(row.get(key), value) for key, value in selector.items())]
    if comparison.each:
        fitting = [row for row in fitting if any(row.get(key) is not None for key in comparison.columns)]
    if not fitting:
        what = "row with " + ", ".join(f"{key} = {value}" for key, value in selector.items()) if selector else "rows"
        raise MissingCell(f"the table {comparison.table!r} has no {what} for {system}")
    return fitting if comparison.each else fitting[:1]


def _fits(value: Value, wanted: str) -> bool:
    if isinstance(value, int | float):
        try:
            return math.isclose(value, float(wanted), abs_tol=1e-9)
        except ValueError:
            return False
    return value == wanted


def _label(
    comparison: Comparison,
    selector: Mapping[str, str],
    row: Row,
    rows: Sequence[Row],
    table: Table,
    column: Column,
    system: str,
) -> str:
    """What tells this cell from the others of the comparison."""
    if comparison.systems:
        return f"{column.title}, {system}"
    named = [column.title] if len(comparison.columns) > 1 or comparison.each else []
    if comparison.each:
        keys = [key for key in table.schema.keys if len({str(r.get(key.key)) for r in rows}) > 1]
        return ", ".join([*named, *(f"{key.title} {_short(key.shown(row.get(key.key)))}" for key in keys)])
    varying = [key for key in selector if len({s.get(key) for s in comparison.rows}) > 1] or list(selector)[-1:]
    shown = (_subject(table.schema[key], row.get(key)) for key in varying)
    return ", ".join([*named, *shown]) or column.title


def _subject(key: Column, value: Value) -> str:
    """A key's value so that a reader knows what it is: a number with the name of its key."""
    text = _short(key.shown(value))
    return f"{key.title} {text}" if re.fullmatch(r"[-+]?[.\d]+(e[-+]?\d+)?", text) else text


def _short(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def as_estimate(value: Value, exact: bool) -> Estimate | None:
    """A cell as an estimate; without an interval its ends are NaN, unless it is exact. ``None`` for no number."""
    if isinstance(value, Estimate):
        return None if math.isnan(value.value) else value
    if isinstance(value, str):
        number = re.fullmatch(r"<?\s*([-+]?[.\d]+(?:[eE][-+]?\d+)?)", value)
        value = float(number[1]) if number else None
    if value is None or math.isnan(value):
        return None
    return point(float(value)) if exact else Estimate(float(value), math.nan, math.nan)


def number_in(value: Value) -> float | None:
    """The number that a cell holds, if any."""
    estimate = as_estimate(value, exact=True)
    return None if estimate is None else estimate.value


def proper_name(system: str) -> str:
    """A system as the paper writes it."""
    return _NAMES.get(system, system)


@dataclass(frozen=True)
class Stated:
    """A value that the paper states.

    Attributes:
        of: the system of the paper that it is of, `mnist` or `paris`.
        label: what it is.
        value: as the paper prints it.
    """

    of: str
    label: str
    value: str | int | float


def stated_beside(claim: Claim, reading: Reading, system: str) -> list[Stated]:
    """The paper's values that a reading names, those of one system together."""
    beside: dict[str, list[Stated]] = {}
    for comparison in reading.comparisons:
        for path in (*comparison.stated, *([comparison.size] if comparison.size else [])):
            for selector in comparison.rows if ROW in path else ({},):
                named = path.replace(ROW, key_of(selector))
                value, of = stated_value(claim.analyses[0], system, named)
                if value is None or isinstance(value, Estimate):
                    continue
                stated = Stated(of, named.replace(":", " "), value)
                if stated not in beside.setdefault(of, []):
                    beside[of].append(stated)
    return [stated for those in beside.values() for stated in those]


def differing_sizes(claim: Claim, comparison: Comparison, cells: Sequence[Operand], system: str) -> list[str]:
    """Why the sizes are not the paper's; empty if they are, or if the claim has none.

    A size agrees if the interval of its difference from the paper's value holds 0. The paper's value has the interval
    of its standard deviation and n where both are stated, else that of its rounding. ``system`` is that of the paper
    whose data were measured, or empty.
    """
    reasons: list[str] = []
    if comparison.size and system not in SYSTEMS:
        return [f"the paper states the size for {' and '.join(map(proper_name, claim.stated_for))} alone"]
    for operand in cells if comparison.size else ():
        path = (comparison.size or "").replace(ROW, operand.key)
        value, of = stated_value(claim.analyses[0], system, path)
        paper = _stated_estimate(claim.analyses[0], system, path, value)
        if paper is None:
            continue
        if of != system:
            return [f"the paper states the size for {proper_name(of)} alone"]
        gap = difference(operand.value, paper)
        if not gap.low <= 0 <= gap.high:
            reasons.append(f"the size of {operand.cell.label} is not the paper's {value}")
    return reasons


def _stated_estimate(analysis: str, system: str, path: str, value: Value) -> Estimate | None:
    number = re.fullmatch(r"([-+.\d]+)(?: sd ([.\d]+))?", str(value))
    if not number:
        return None
    mean, spread = float(number[1]), number[2]
    beside = stated_value(analysis, system, f"{path} sd")[0]
    if spread is None and isinstance(beside, int | float):
        spread = str(beside)
    n = stated_value(analysis, system, "n")[0]
    if spread is not None and isinstance(n, int):
        half = _NORMAL * float(spread) / n**0.5
    else:
        half = 0.5 * 10.0 ** -len(number[1].partition(".")[2])
    return Estimate(mean, mean - half, mean + half)
