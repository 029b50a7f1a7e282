"""Tables as data frames, for those who have pandas."""

from typing import TYPE_CHECKING

from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.tables.table import Table

if TYPE_CHECKING:
    import pandas


def to_pandas(table: Table) -> "pandas.DataFrame":
    """The table as a data frame: a column with intervals becomes three (`key`, `key_low`, `key_high`).

    Title, headings and notes are in the frame's ``attrs``.

    Raises:
        InputError: if pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise InputError("data frames need pandas: pip install 'mnist-ddm[frames]'") from None
    rows = []
    for row in table.rows:
        flat: dict[str, object] = {}
        for key, value in row.items():
            if isinstance(value, Estimate):
                flat |= {key: value.value, f"{key}_low": value.low, f"{key}_high": value.high}
            else:
                flat[key] = value
        rows.append(flat)
    frame = pandas.DataFrame(rows)
    frame.attrs = {
        "title": table.title,
        "headings": {column.key: column.heading for column in table.columns},
        "notes": list(table.notes),
    }
    return frame
