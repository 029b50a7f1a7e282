"""Tables as data frames, for those who have pandas or polars."""

from typing import TYPE_CHECKING

from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.tables.table import Table

if TYPE_CHECKING:
    import pandas
    import polars


def flat_rows(table: Table) -> list[dict[str, str | int | float | None]]:
    """The rows with one number a cell: a value with an interval becomes three (`key`, `key_low`, `key_high`)."""
    rows = []
    for row in table.rows:
        flat: dict[str, str | int | float | None] = {}
        for key, value in row.items():
            if isinstance(value, Estimate):
                flat |= {key: value.value, f"{key}_low": value.low, f"{key}_high": value.high}
            else:
                flat[key] = value
        rows.append(flat)
    return rows


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
    frame = pandas.DataFrame(flat_rows(table))
    frame.attrs = {
        "title": table.title,
        "headings": {column.key: column.heading for column in table.columns},
        "notes": list(table.notes),
    }
    return frame


def to_polars(table: Table) -> "polars.DataFrame":
    """The table as a polars data frame, with columns as `to_pandas`.

    Columns that hold both numbers and words, such as a p-value below what a float can be, become words.

    Raises:
        InputError: if polars is not installed.
    """
    try:
        import polars
    except ImportError:
        raise InputError("polars data frames need polars: pip install 'mnist-ddm[polars]'") from None
    rows = flat_rows(table)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return polars.DataFrame({key: _alike([row.get(key) for row in rows]) for key in keys}, strict=False)


def _alike(values: list[str | int | float | None]) -> list[str | None] | list[int | None] | list[float | None]:
    """The values of a column in one type."""
    known = [value for value in values if value is not None]
    if any(isinstance(value, str) for value in known):
        return [None if value is None else str(value) for value in values]
    if all(isinstance(value, int) for value in known):
        return [None if value is None else int(value) for value in values]
    return [None if value is None else float(value) for value in values]
