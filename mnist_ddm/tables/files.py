"""Tables as files: tidy CSV with keys for a header, and JSON that says what the columns are."""

import csv
import io
import math
from pathlib import Path
from typing import Any, final

import msgspec

from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.storage.files import read_json
from mnist_ddm.storage.typed import as_kind
from mnist_ddm.tables.table import Column, Role, Row, Schema, Table, Value

_LARGEST = 256 << 20
"""Bytes of a table; those with a row for each sample are large."""
_NAN = float("nan")


def to_csv(table: Table) -> str:
    """A tidy CSV: one row an observation; a column with intervals becomes three (`key`, `key_low`, `key_high`)."""
    wide = {c.key for c in table.columns if any(isinstance(value, Estimate) for value in table.column(c.key))}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(name for c in table.columns for name in _header(c.key, c.key in wide))
    for row in table.rows:
        writer.writerow(cell for c in table.columns for cell in _cells(row.get(c.key), c.key in wide))
    return buffer.getvalue()


def _header(key: str, wide: bool) -> tuple[str, ...]:
    return (key, f"{key}_low", f"{key}_high") if wide else (key,)


def _cells(value: Value, wide: bool) -> tuple[object, ...]:
    if isinstance(value, Estimate):
        return _plain(value.value), _plain(value.low), _plain(value.high)
    return (_plain(value), "", "") if wide else (_plain(value),)


def _plain(value: str | int | float | None) -> object:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.8g}" if isinstance(value, float) else value


def to_json(table: Table) -> dict[str, Any]:
    """The table as a JSON-like value, which `from_json` reads again."""
    return {
        "name": table.name,
        "title": table.title,
        "columns": [_described(column) for column in table.columns],
        "rows": [{key: _jsonable(value) for key, value in row.items()} for row in table.rows],
        "notes": list(table.notes),
    }


def _described(column: Column) -> dict[str, Any]:
    more = {"unit": column.unit, "values": dict(column.values)}
    return {"key": column.key, "title": column.title, "role": column.role, **{k: v for k, v in more.items() if v}}


def _jsonable(value: Value) -> object:
    if isinstance(value, Estimate):
        return {end: _jsonable(getattr(value, end)) for end in ("value", "low", "high")}
    return None if isinstance(value, float) and math.isnan(value) else value


def read_table(path: Path) -> Table:
    """A table as `to_json` wrote it.

    Raises:
        InputError: if the file is missing or is no table.
    """
    return from_json(read_json(path, _LARGEST), str(path))


def from_json(stored: object, name: str) -> Table:
    """The table that `to_json` made a value of.

    Raises:
        InputError: if the value is none; the message begins with ``name``.
    """
    what = "a table of this program; restore or delete it"
    table = as_kind(stored, _Stored, name, what)
    try:
        columns = tuple(Column(c.key, c.title, c.role, c.unit, c.values, optional=True) for c in table.columns)
        rows: tuple[Row, ...] = tuple({key: _value(value) for key, value in row.items()} for row in table.rows)
        return Table(Schema(table.name, columns), table.title, rows, tuple(table.notes))
    except ValueError as error:
        raise InputError(f"{name} is not {what} ({error})") from None


@final
class _Ends(msgspec.Struct, frozen=True):
    value: float | None
    low: float | None
    high: float | None


@final
class _StoredColumn(msgspec.Struct, frozen=True):
    key: str
    title: str
    role: Role = "measure"
    unit: str = ""
    values: dict[str, str] = {}


@final
class _Stored(msgspec.Struct, frozen=True):
    name: str
    title: str
    columns: list[_StoredColumn]
    rows: list[dict[str, str | bool | int | float | _Ends | None]]
    notes: list[str]


def _value(value: str | int | float | _Ends | None) -> Value:
    if isinstance(value, _Ends):
        return Estimate(*(_NAN if end is None else end for end in (value.value, value.low, value.high)))
    return value
