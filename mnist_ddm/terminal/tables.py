"""Tables of which a terminal gets the beginning."""

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console, Group, RenderableType
from rich.text import Text

from mnist_ddm.tables.table import Table
from mnist_ddm.tables.terminal import to_rich


def sharing(console: Console, tables: Sequence[Table], lines: int) -> list[Group]:
    """The beginnings of some tables, of which each gets its part of so many lines, and what those before it left."""
    shown: list[Group] = []
    for i, table in enumerate(tables):
        shown.append(_shortened(console, table, lines // (len(tables) - i)))
        lines -= height(console, shown[-1])
    return shown


def height(console: Console, shown: RenderableType) -> int:
    """Lines that something takes on a terminal."""
    return len(console.render_lines(shown))


def _shortened(console: Console, table: Table, lines: int) -> Group:
    """A table's first rows, as many as fit into so many lines and one at the least, and how many more there are."""
    if not table.rows:
        return Group(Text(f"{table.title}.", "bold"))
    count = len(table.rows)
    while count > 1 and height(console, _head(console, table, count)) > lines:
        count = min(count - 1, max(lines, 1))  # a row is a line at the least
    return _head(console, table, count)


def _head(console: Console, table: Table, count: int) -> Group:
    rest = len(table.rows) - count
    shown = to_rich(replace(table, rows=table.rows[:count]), console.width)
    return Group(shown, *([Text(f"... and {rest} more", "dim")] if rest else []))
