"""Columns that many tables share."""

from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.routing import parse_routing
from mnist_ddm.errors import InputError
from mnist_ddm.tables.table import Column


def is_field(name: str) -> bool:
    """Whether a name spells a routing or the monolith."""
    try:
        return name == MONOLITH or bool(parse_routing(name))
    except InputError:
        return False


def is_number(text: str) -> bool:
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


ROUTING = Column("routing", "routing", "key", accepts=is_field)
TIME = Column("t", "t", "key", accepts=is_number)
N = Column("n", "n", "note")
FID = Column("fid", "FID")


def with_sd(column: Column) -> tuple[Column, Column]:
    """A measure, and beside it its standard deviation over samples."""
    return column, Column(f"{column.key}_sd", f"{column.title} sd", "note", column.unit)


def of_paper(key: str, title: str, unit: str = "") -> Column:
    """What the paper states for a measure."""
    return Column(f"paper_{key}", f"paper {title}", "paper", unit, optional=True)


def p_value(p: float) -> str | float:
    """A p-value for a table: one that is too small for a float is not 0."""
    return p if p != 0 else "< 1e-300"
