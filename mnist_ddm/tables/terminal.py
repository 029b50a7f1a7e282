"""Tables on the terminal, as tidy CSV and as JSON."""

import csv
import io
import itertools
import math

from rich.table import Table as RichTable

from mnist_ddm.analyses.analysis import Table, Value
from mnist_ddm.stats.intervals import Estimate


def to_csv(table: Table) -> str:
    """A tidy CSV: one row an observation; a column with intervals becomes three (`NAME`, `NAME low`, `NAME high`)."""
    wide = [c for c in table.columns if any(isinstance(row[c], Estimate) for row in table.rows)]
    header = [name for c in table.columns for name in ((c, f"{c} low", f"{c} high") if c in wide else (c,))]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for row in table.rows:
        cells: list[object] = []
        for c in table.columns:
            value = row[c]
            if isinstance(value, Estimate):
                cells += [_plain(value.value), _plain(value.low), _plain(value.high)]
            else:
                cells += [_plain(value), "", ""] if c in wide else [_plain(value)]
        writer.writerow(cells)
    return buffer.getvalue()


def to_json(table: Table) -> dict[str, object]:
    """The table as a JSON-like value."""
    rows = [{c: _jsonable(row[c]) for c in table.columns} for row in table.rows]
    return {"name": table.name, "title": table.title, "rows": rows, "notes": list(table.notes)}


def to_rich(table: Table, width: int = 100) -> list[RichTable]:
    """The table for a terminal of ``width`` characters, the title above and the notes below.

    A table that is too wide is cut into several that repeat the first columns, those that say what a row is. Columns
    without any value are left out.
    """
    told = [c for c in table.columns if any(row[c] is not None for row in table.rows)]
    numeric = {c: any(isinstance(row[c], int | float | Estimate) for row in table.rows) for c in told}
    keys = list(itertools.takewhile(lambda c: not numeric[c], told)) or told[:1]
    pieces = _pieces(table, keys, [c for c in told if c not in keys], width)
    found = []
    for columns in pieces:
        shown = RichTable(title_justify="left", caption_justify="left", padding=(0, 1))
        for column in [*keys, *columns]:
            shown.add_column(column, justify="right" if numeric[column] else "left", overflow="fold")
        for row in table.rows:
            shown.add_row(*(shown_value(row[column]) for column in [*keys, *columns]))
        found.append(shown)
    found[0].title = table.title
    found[-1].caption = "\n".join(table.notes)
    return found


def _pieces(table: Table, keys: list[str], others: list[str], width: int) -> list[list[str]]:
    """The other columns in groups that fit beside the keys."""
    pieces: list[list[str]] = [[]]
    taken = first = sum(_width(table, key) for key in keys) + 1
    for column in others:
        if pieces[-1] and taken + _width(table, column) > width:
            pieces.append([])
            taken = first
        pieces[-1].append(column)
        taken += _width(table, column)
    return pieces


def _width(table: Table, column: str) -> int:
    """Characters that a column takes, its frame and padding included; headings may wrap between words."""
    cells = [shown_value(row[column]) for row in table.rows]
    return 3 + max(len(text) for text in [*column.split(), *cells])


def shown_value(value: Value) -> str:
    """A value for people: three to four significant digits, an interval in brackets, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, Estimate):
        if math.isnan(value.low):
            return shown_value(value.value)
        return f"{_digits(value.value)} [{_digits(value.low)}, {_digits(value.high)}]"
    if isinstance(value, float):
        return _digits(value)
    return str(value)


def _digits(value: float) -> str:
    if math.isnan(value):
        return "not defined"
    if value != 0 and abs(value) < 1e-3:
        return f"{value:.1e}"
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.4g}"


def _plain(value: Value) -> object:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.8g}" if isinstance(value, float) else value


def _jsonable(value: Value) -> object:
    if isinstance(value, Estimate):
        return {k: _jsonable(v) for k, v in vars(value).items()}
    return None if isinstance(value, float) and math.isnan(value) else value
