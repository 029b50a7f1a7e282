"""Tables of which a terminal gets the beginning."""

from dataclasses import replace

from rich.console import Console, Group
from rich.text import Text

from mnist_ddm.tables.table import Table
from mnist_ddm.tables.terminal import to_rich


def shortened(console: Console, table: Table, lines: int) -> Group:
    """A table's first rows, as many as fit in about so many lines, and how many more there are."""
    shown = len(table.rows)
    while shown > 1 and _height(console, table, shown) > lines:
        shown = min(shown - 1, lines) if shown > lines else shown - 1
    if shown == 0:
        return Group(Text(f"{table.title}.", "bold"))
    rest = len(table.rows) - shown
    return Group(to_rich(_head(table, shown), console.width), *([Text(f"... and {rest} more", "dim")] if rest else []))


def _height(console: Console, table: Table, rows: int) -> int:
    return len(console.render_lines(to_rich(_head(table, rows), console.width)))


def _head(table: Table, rows: int) -> Table:
    return replace(table, rows=table.rows[:rows])
