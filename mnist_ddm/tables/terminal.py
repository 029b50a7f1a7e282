"""Tables on the terminal."""

import math

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.tables.printable import printable
from mnist_ddm.tables.table import Column, Table, Value

_PROSE = 20
"""Characters below which a column of words is not narrowed, if its words would allow it."""
_ORDER = ("measure", "paper", "note")
"""Which columns go first into a narrow terminal."""


def to_rich(table: Table, width: int = 100, file: str = "") -> Group:
    """The table for a terminal of ``width`` characters, the title above and the notes below.

    One table stays one table: of a wide one the keys are shown, which say what a row is, and the columns that fit by
    their side, what was measured first; a note names the others and ``file``, which has them. Where not even one
    fits, each row becomes a list. Columns without any value are left out.

    Args:
        table: to be shown.
        width: of the terminal, in characters.
        file: with the whole table, for the note; none if it is empty.
    """
    told = [c for c in table.columns if any(value is not None for value in table.column(c.key))]
    keys = [c for c in told if c.role == "key"] or told[:1]
    others = [c for c in told if c not in keys]
    shown = _fitting(table, keys, others, width)
    listed = len(shown) == len(keys) and bool(others)
    body: RenderableType = _list(table, keys, others) if listed else _rich(table, shown, width)
    left = [] if listed else [c.heading for c in others if c not in shown]
    where = f" ({file} has all)" if file else ""
    notes = [*table.notes, *([f"not shown here: {'; '.join(left)}{where}"] if left else [])]
    return Group(Text(printable(table.title), "bold"), body, *(Text(printable(note), "dim") for note in notes))


def _rich(table: Table, columns: list[Column], width: int) -> RichTable:
    widths = _widths(table, columns, width)
    shown = RichTable(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column, size in zip(columns, widths, strict=True):
        right = any(isinstance(value, int | float | Estimate) for value in table.column(column.key))
        shown.add_column(Text(printable(column.heading)), justify="right" if right else "left", width=size)
    for row in table.rows:
        shown.add_row(
            *(Text(_cell(column, row.get(column.key), size)) for column, size in zip(columns, widths, strict=True))
        )
    return shown


def _list(table: Table, keys: list[Column], others: list[Column]) -> Group:
    """Each row as a few lines, for terminals that are too narrow for a table."""
    lines: list[Text] = []
    for row in table.rows:
        lines.append(Text(", ".join(_cell(key, row.get(key.key)) for key in keys), "bold"))
        lines += [
            Text(f"  {printable(c.heading)}: {_cell(c, row.get(c.key))}") for c in others if row.get(c.key) is not None
        ]
    return Group(*lines)


def _cell(column: Column, value: Value, width: int | None = None) -> str:
    """A cell's text; in a narrow column an interval stands below its value."""
    text = printable(shown_value(column.shown(value)))
    if isinstance(value, Estimate) and width is not None and len(text) > width:
        return text.replace(" ", "\n", 1)
    return text


def _fitting(table: Table, keys: list[Column], others: list[Column], width: int) -> list[Column]:
    """The keys, and of the other columns those that fit beside them, in the order of the table."""
    left = width - sum(_narrowest(table, key) + _GAP for key in keys) + _GAP
    chosen = set()
    for column in sorted(others, key=lambda c: (c.minor or c.key.endswith("_sd"), _ORDER.index(c.role))):
        if (size := _narrowest(table, column) + _GAP) <= left:
            chosen.add(column.key)
            left -= size
    return [*keys, *(c for c in others if c.key in chosen)]


def _widths(table: Table, columns: list[Column], width: int) -> list[int]:
    """What each column gets: the least that breaks no word, and more where there is room, the least wanting first."""
    widths = [_narrowest(table, c) for c in columns]
    wanted = [max(map(len, _texts(table, c))) for c in columns]
    left = width - sum(widths) - _GAP * (len(columns) - 1)
    for i in sorted(range(len(columns)), key=lambda i: wanted[i] - widths[i]):
        more = max(0, min(wanted[i] - widths[i], left))
        widths[i] += more
        left -= more
    return widths


_GAP = 2
"""Characters between two columns."""


def _texts(table: Table, column: Column) -> list[str]:
    return [printable(column.heading), *(_cell(column, value) for value in table.column(column.key))]


def _narrowest(table: Table, column: Column) -> int:
    """Characters that a column takes at least, so that no word, number or interval is broken."""
    parts = [len(word) for word in printable(column.heading).split()]
    for value in table.column(column.key):
        text = _cell(column, value)
        pieces = text.split(" ", 1) if isinstance(value, Estimate) else text.split()
        parts += map(len, pieces)
        if isinstance(value, str):
            parts.append(min(len(text), _PROSE))
    return max(parts, default=1)


def plain(text: str) -> str:
    """A text from a file for a table of rich: shown as it is, and nothing in it is taken for markup or a command."""
    return escape(printable(text))


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
