"""Tables as Markdown."""

from mnist_ddm.tables.table import Table
from mnist_ddm.tables.terminal import shown_value


def table_markdown(table: Table) -> str:
    """The table with its title above and its notes below; columns without a value are left out."""
    columns = [c for c in table.columns if any(value is not None for value in table.column(c.key))]
    lines = [[column.heading for column in columns], ["---"] * len(columns)]
    lines += [[shown_value(column.shown(row.get(column.key))) for column in columns] for row in table.rows]
    rows = ("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)
    return "\n\n".join([f"{table.title}.", "\n".join(rows), *table.notes])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
