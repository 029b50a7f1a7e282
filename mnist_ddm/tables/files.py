"""Tables as files: tidy CSV with keys for a header, and JSON that says what the columns are."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.storage.files import read_json
from mnist_ddm.tables.table import Column, Row, Schema, Table, Value

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
        return {k: _jsonable(v) for k, v in vars(value).items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def read_table(path: Path) -> Table:
    """A table as `to_json` wrote it.

    Raises:
        InputError: if the file is missing or is no table.
    """
    stored = read_json(path)
    try:
        return from_json(stored)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path} is not a table of this program ({error!r}); restore or delete it") from error


def from_json(stored: Mapping[str, Any]) -> Table:
    """The table that `to_json` made a value of.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: if the value is none.
    """
    columns = tuple(Column(**{**column, "optional": True}) for column in stored["columns"])
    rows: tuple[Row, ...] = tuple({str(k): _value(v) for k, v in row.items()} for row in stored["rows"])
    schema = Schema(str(stored["name"]), columns)
    return Table(schema, str(stored["title"]), rows, tuple(map(str, stored["notes"])))


def _value(value: object) -> Value:
    if isinstance(value, dict):
        ends = (value[key] for key in ("value", "low", "high"))
        return Estimate(*(_NAN if end is None else float(end) for end in ends))
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"a cell holds {value!r}")
