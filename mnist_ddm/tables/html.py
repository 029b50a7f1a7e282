"""Tables as HTML, for notebooks."""

from html import escape

from mnist_ddm.tables.table import Table
from mnist_ddm.tables.terminal import shown_value


def table_html(table: Table) -> str:
    """The table with its title above and its notes below; columns without a value are left out."""
    columns = [c for c in table.columns if any(value is not None for value in table.column(c.key))]
    head = "".join(f"<th>{escape(column.heading)}</th>" for column in columns)
    rows = (
        "".join(f"<td>{escape(shown_value(column.shown(row.get(column.key))))}</td>" for column in columns)
        for row in table.rows
    )
    body = "".join(f"<tr>{cells}</tr>" for cells in rows)
    notes = "".join(f"<p><small>{escape(note)}</small></p>" for note in table.notes)
    caption = f"<caption>{escape(table.title)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"
