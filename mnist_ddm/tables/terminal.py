"""Tables on the terminal."""

import math

from rich.markup import escape
from rich.table import Table as RichTable

from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.tables.table import Column, Table, Value


def to_rich(table: Table, width: int = 100) -> list[RichTable]:
    """The table for a terminal of ``width`` characters, the title above and the notes below.

    A table that is too wide is cut into several that repeat the keys, which say what a row is. Columns without any
    value are left out.
    """
    told = [c for c in table.columns if any(value is not None for value in table.column(c.key))]
    keys = [c for c in told if c.role == "key"] or told[:1]
    pieces = _pieces(table, keys, [c for c in told if c not in keys], width)
    shown = [_rich(table, [*keys, *columns]) for columns in pieces]
    shown[0].title = plain(table.title)
    shown[-1].caption = "\n".join(map(plain, table.notes))
    return shown


def _rich(table: Table, columns: list[Column]) -> RichTable:
    piece = RichTable(title_justify="left", caption_justify="left", padding=(0, 1))
    for column in columns:
        numeric = any(isinstance(value, int | float | Estimate) for value in table.column(column.key))
        piece.add_column(plain(column.heading), justify="right" if numeric else "left", overflow="fold")
    for row in table.rows:
        piece.add_row(*(plain(shown_value(column.shown(row.get(column.key)))) for column in columns))
    return piece


def _pieces(table: Table, keys: list[Column], others: list[Column], width: int) -> list[list[Column]]:
    """The other columns in groups that fit beside the keys."""
    pieces: list[list[Column]] = [[]]
    taken = first = sum(_width(table, key) for key in keys) + 1
    for column in others:
        if pieces[-1] and taken + _width(table, column) > width:
            pieces.append([])
            taken = first
        pieces[-1].append(column)
        taken += _width(table, column)
    return pieces


def _width(table: Table, column: Column) -> int:
    """Characters that a column takes, its frame and padding included; headings may wrap between words."""
    cells = [shown_value(column.shown(value)) for value in table.column(column.key)]
    return 3 + max(len(text) for text in [*column.heading.split(), *cells])


def plain(text: str) -> str:
    """A text from a file for a table of rich: shown as it is, and nothing in it is taken for markup or a command."""
    return escape("".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text))


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
