"""The cells that a comparison of the ledger names, found in the tables of a run, and the paper's values beside them."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from mnist_ddm.analyses.paper import SYSTEMS, in_words, stated_value
from mnist_ddm.claims.ledger import ROW, Claim, Comparison, Reading, key_of
from mnist_ddm.stats.differences import difference, point, widened
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.study.results import Results
from mnist_ddm.tables.table import Column, Row, Schema, Table, Value

_NAMES = {"paris": "Paris", "mnist": "MNIST"}
_NORMAL = 1.96
SAID_BY_ROWS = "quality"
"""The analysis whose rows say of how many samples each is; elsewhere all are of those of the analysis."""
_DRAWN = (SAID_BY_ROWS, f"{SAID_BY_ROWS}-differences")
_GENERIC = "measured"
"""The title of a column of which the row says what was measured."""
_AGAINST = "against"
"""The last word of the title of a key that says what is compared with."""


Level = Callable[[Estimate], Estimate]
"""From a cell's estimate to the same at the level of the run."""


class MissingCell(Exception):  # noqa: N818 (no error: it becomes a verdict)
    """A cell that is not there; the message says why."""


@dataclass(frozen=True)
class Cell:
    """A measured cell.

    Attributes:
        measure: what was measured, with its unit; empty if what it is of says so.
        of: what it was measured of; empty if there is nothing to tell apart.
        value: as the table has it.
    """

    measure: str
    of: str
    value: Value

    @property
    def label(self) -> str:
        """What it is, by itself."""
        return ", ".join(filter(None, (self.measure, self.of)))


@dataclass(frozen=True)
class Operand:
    """One side of a comparison.

    Attributes:
        cell: as the table has it.
        value: the same as an estimate; its ends are NaN where there is no interval.
        deciding: what is compared, at the level of the run: ``value``, or the column that decides for it.
        row: where it stands.
        key: the name of its row, for the paper's values.
        decider: the title of the column that decides for it, or nothing.
        n: the number of samples of its row, where rows of one table differ in it.
    """

    cell: Cell
    value: Estimate
    deciding: Estimate
    row: Row
    key: str
    decider: str = ""
    n: int | None = None


def operands(claim: Claim, comparison: Comparison, results: Results, runs: Mapping[str, Results]) -> list[Operand]:
    """The cells of a comparison, in its order.

    Args:
        claim: whose comparison it is.
        comparison: which.
        results: of the run.
        runs: by the system of the paper that they are of, for comparisons of several.

    Raises:
        MissingCell: if one is not there.
    """
    cells = []
    several = [(system, runs[system]) for system in comparison.systems]
    for system, of in several or [(results.system, results)]:
        table, level = _table(claim, comparison, of), partial(_at_level, of.level, _freedom(claim, of))
        for selector in comparison.rows:
            rows = _rows(comparison, selector, table, system)
            for row in rows:
                subject = _subject(table.schema, selector, row, rows)
                if several:
                    subject = ", ".join(filter(None, (subject, proper_name(system))))
                cells += [
                    _operand(comparison, row, table.schema[key], table.schema, subject, key_of(selector), level)
                    for key in _columns(comparison, table, row)
                ]
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


def _freedom(claim: Claim, results: Results) -> float:
    """Degrees of freedom of what a run says of a claim: of its trainings if they are several, else of its samples."""
    counted = [results.samples[a] for a in claim.analyses if a in results.samples]
    units = results.trainings if results.trainings > 1 else min(counted, default=math.inf)
    return max(units - 1, 1)


def _operand(
    comparison: Comparison, row: Row, column: Column, schema: Schema, subject: str, row_key: str, level: Level
) -> Operand:
    cell = Cell("" if column.title == _GENERIC and subject else column.heading, subject, row.get(column.key))
    value = as_estimate(cell.value, comparison.exact)
    if value is None:
        raise MissingCell(f"there is no number for: {cell.label}")
    deciding, decider = value, ""
    if comparison.decided_by is not None:
        decided = as_estimate(row.get(comparison.decided_by), exact=False)
        deciding, decider = decided or Estimate(value.value, math.nan, math.nan), schema[comparison.decided_by].title
    return Operand(cell, value, level(deciding), row, row_key, decider, _drawn(schema.name, row, column.key))


def _drawn(table: str, row: Row, column: str) -> int | None:
    """The number of samples that a cell of `_DRAWN` is of."""
    n = row.get(f"n_{column}", row.get("n")) if table in _DRAWN else None
    return n if isinstance(n, int) else None


def _at_level(level: float, freedom: float, estimate: Estimate) -> Estimate:
    return widened(replace(estimate, freedom=freedom), level)


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
    where = ", ".join(f"{key} = {value}" for key, value in selector.items())
    if not fitting:
        what = f"row with {where}" if selector else "rows"
        raise MissingCell(f"the table {comparison.table!r} has no {what} for {system}")
    if not comparison.each:
        return fitting[:1]
    known = [row for row in fitting if any(row.get(key) is not None for key in comparison.columns)]
    if not known:
        wanted = " and no ".join(table.schema[key].title for key in comparison.columns)
        raise MissingCell(f"the table {comparison.table!r} gives no {wanted}" + (f" where {where}" if where else ""))
    return known


def _fits(value: Value, wanted: str) -> bool:
    if isinstance(value, int | float):
        try:
            return math.isclose(value, float(wanted), abs_tol=1e-9)
        except ValueError:
            return False
    return value == wanted


def _subject(schema: Schema, selector: Mapping[str, str], row: Row, rows: Sequence[Row]) -> str:
    """What a cell was measured of: the keys that its row was chosen by, and those that tell it from the other rows."""
    apart = {key.key for key in schema.keys if len({str(r.get(key.key)) for r in rows}) > 1}
    return ", ".join(_told(key, row.get(key.key)) for key in schema.keys if key.key in apart or key.key in selector)


def _told(key: Column, value: Value) -> str:
    """A key's value so that a reader knows what it is: a number, a yes or the second of two with the key's title."""
    text = _short(key.shown(value))
    bare = (
        re.fullmatch(r"[-+]?[.\d]+(e[-+]?\d+)?", text)
        or set(key.values) == {"yes", "no"}
        or key.title.endswith(_AGAINST)
    )
    return f"{key.title} {text}" if bare else text


def _short(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def as_estimate(value: Value, exact: bool) -> Estimate | None:
    """A cell as an estimate; without an interval its ends are NaN, unless it is exact. ``None`` for no number."""
    if isinstance(value, Estimate):
        return None if math.isnan(value.value) else value
    if isinstance(value, str):
        number = re.fullmatch(r"<?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)", value)
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
                stated = Stated(of, in_words(claim.analyses[0], of, named), value)
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
        if math.isnan(gap.low) or math.isnan(gap.high):
            reasons.append(f"the size of {operand.cell.label} has no interval to hold the paper's {value}")
        elif not gap.low <= 0 <= gap.high:
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
