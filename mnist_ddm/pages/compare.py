"""Two runs side by side: two systems, two routings, or two versions of the code."""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Final

from msgspec.structs import asdict

from mnist_ddm.claims.judge import Judgement, Verdict, judge_all
from mnist_ddm.claims.ledger import ledger
from mnist_ddm.claims.word import measured_text, verdict_text
from mnist_ddm.errors import InputError
from mnist_ddm.stats.differences import difference
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.study.manifest import Git, Manifest
from mnist_ddm.study.results import Results
from mnist_ddm.tables.table import Column, Row, Schema, Table, Value

_ROUTING: Final = "routing"
_SAID: Final = ("versions", "code", "git", "hardware", "sources")
"""What a manifest says beside the run itself of how it was made."""
_OF_BOTH: Final = "-"
"""Stands in place of B's verdict where A's is of both runs together."""
_LONGEST: Final = 60
"""Letters of a fact that are written out."""
_DIGEST: Final = re.compile(r"[0-9a-f]{40,}")
_OF_A_DIGEST: Final = 12
"""Of a digest, by which nobody mistakes it for another one."""
_FACTS: Final = Schema("facts", (Column("what", "what", "key"), Column("a", "A", "note"), Column("b", "B", "note")))
_VERDICTS: Final = Schema(
    "verdicts",
    (
        Column("claim", "claim", "key"),
        Column("a", "A", "note"),
        Column("b", "B", "note"),
        Column("verdict_a", "A verdict", "note"),
        Column("verdict_b", "B verdict", "note"),
    ),
)


def differing_facts(a: Manifest, b: Manifest) -> Table:
    """What two manifests say differently of how they were made."""
    first, second = (_flat({**asdict(m.run), **{k: getattr(m, k) for k in _SAID}}) for m in (a, b))
    keys = [key for key in dict.fromkeys([*first, *second]) if first.get(key) != second.get(key)]
    rows = tuple({"what": k, "a": first.get(k, "-"), "b": second.get(k, "-")} for k in keys)
    return Table(_FACTS, "What differs between the runs", rows)


def _flat(value: object, prefix: str = "") -> dict[str, str]:
    if isinstance(value, Git):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {k: v for key, part in value.items() for k, v in _flat(part, f"{prefix} {key}".strip()).items()}
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = _DIGEST.sub(lambda found: found[0][:_OF_A_DIGEST], text)
    return {prefix: text if len(text) <= _LONGEST else text[:_LONGEST] + "..."}


def side_by_side(a: Results, b: Results, routings: tuple[str, str] | None = None) -> list[Table]:
    """The tables that both runs have, one row for each measured cell.

    Args:
        a: the first run.
        b: the second run.
        routings: compare the rows of one routing in the first with those of another one in the second.

    Raises:
        InputError: if there is nothing to compare.
    """
    pairs = ((table, b.tables[name]) for name, table in a.tables.items() if name in b.tables)
    tables = [joined for first, second in pairs if (joined := _joined(first, second, routings)).rows]
    if not tables:
        what = f" with the routings {' and '.join(routings)}" if routings else ""
        raise InputError(f"the runs have no table{what} in common")
    return tables


def _joined(first: Table, second: Table, routings: tuple[str, str] | None) -> Table:
    """The measured cells of the rows that both tables have."""
    known = {column.key for column in second.schema.columns}
    common = [column for column in first.schema.columns if column.key in known]
    keys = [column for column in common if column.role == "key" and not (routings and column.key == _ROUTING)]
    measures = [column for column in common if column.role == "measure"]
    schema = Schema(
        first.name,
        (
            *keys,
            Column("measured", "measured", "key", values={m.key: m.heading for m in measures}),
            Column("a", "A"),
            Column("b", "B"),
            Column("difference", "A - B"),
            Column("apart", "apart", "note"),
        ),
    )
    mine, theirs = (_rows(t, r) for t, r in zip((first, second), routings or (None, None), strict=True))
    beside: dict[tuple[Value, ...], Row] = {}
    for row in theirs:
        beside.setdefault(_place(row, keys), row)
    pairs = [(row, beside[place]) for row in mine if (place := _place(row, keys)) in beside]
    rows = tuple(cell for row, other in pairs for cell in _cells(row, other, keys, measures))
    title = first.title if first.title == second.title else f"A: {first.title}; B: {second.title}"
    return Table(schema, title, rows)


def _rows(table: Table, routing: str | None) -> list[Row]:
    return list(table.rows) if routing is None else list(table.select(routing=routing))


def _place(row: Row, keys: Sequence[Column]) -> tuple[Value, ...]:
    return tuple(row.get(key.key) for key in keys)


def _cells(row: Row, other: Row, keys: Sequence[Column], measures: Sequence[Column]) -> list[Row]:
    place = {key.key: row.get(key.key) for key in keys}
    cells: list[Row] = []
    for column in measures:
        x, y = row.get(column.key), other.get(column.key)
        apart = _difference(x, y)
        if apart is not None:
            cells.append({**place, "measured": column.key, "a": x, "b": y, "difference": apart, "apart": _sign(apart)})
    return cells


def _difference(x: Value, y: Value) -> float | Estimate | None:
    """Of two numbers; with an interval if both have one."""
    if isinstance(x, Estimate) and isinstance(y, Estimate):
        return difference(x, y)
    values = [v.value if isinstance(v, Estimate) else v for v in (x, y)]
    numbers = [float(v) for v in values if isinstance(v, int | float)]
    return numbers[0] - numbers[1] if len(numbers) == 2 else None


def _sign(apart: float | Estimate) -> str:
    if not isinstance(apart, Estimate) or apart.low != apart.low:
        return "no interval"
    return "yes" if apart.low > 0 or apart.high < 0 else "no"


def verdicts_side_by_side(a: Results, b: Results) -> Table:
    """The verdict of every claim in both runs, and of the claims about two systems in both together."""
    claims = list(ledger().claims.values())
    rows = tuple(_verdicts(x, y) for x, y in zip(judge_all(claims, a, b), judge_all(claims, b, a), strict=True))
    return Table(_VERDICTS, "The claims in both runs", rows)


def _verdicts(a: Judgement, b: Judgement) -> Row:
    first, second = (measured_text(j.readings[0]) if j.readings else "-" for j in (a, b))
    if a.claim.systems:
        told = {"a": f"both: {first}", "b": "-", "verdict_a": verdict_text(a), "verdict_b": _OF_BOTH}
    else:
        told = {"a": first, "b": second, "verdict_a": verdict_text(a), "verdict_b": verdict_text(b)}
    return {"claim": a.claim.id, **told}


_APART: Final = Schema(
    "apart",
    (
        Column("cell", "cell", "key"),
        Column("a", "A"),
        Column("b", "B"),
        Column("difference", "A - B"),
        Column("apart", "beyond both intervals", "note"),
        Column("table", "table", "note"),
    ),
)
_UNTOLD: Final = (Verdict.ABSENT.value, Verdict.NONE.value)
"""What is said of a claim on which a run says nothing."""


def apart(tables: Sequence[Table]) -> Table:
    """Of tables of `side_by_side` the cells whose difference excludes 0, or has no interval and is not 0.

    Those with an interval come first. Of both kinds the first of every table come first, then the second ones: a reader
    sees something of each.
    """
    found = [[_told(table, row) for row in table.rows if _is_apart(row)] for table in tables]
    mixed = [row for nth in zip_longest(*found) for row in nth if row is not None]
    known = [row for row in mixed if row["apart"] == "yes"]
    rows = (*known, *(row for row in mixed if row["apart"] != "yes"))
    count = sum(len(table.rows) for table in tables)
    open_ended = len(rows) - len(known)
    kinds = f" ({len(known)} beyond both intervals, {open_ended} without an interval)" if open_ended else ""
    notes = ("No interval: the difference may be chance.",) if open_ended else ()
    return Table(_APART, f"Cells that differ: {len(rows)} of {count}{kinds}", rows, notes)


def incomparable(a: Results, b: Results, tables: Sequence[Table]) -> list[str]:
    """The names of the tables that both runs have and `side_by_side` does not: no row of both has a measured number."""
    compared = {table.name for table in tables}
    return [name for name in a.tables if name in b.tables and name not in compared]


def _is_apart(row: Row) -> bool:
    difference = row["difference"]
    if row["apart"] != "no interval":
        return row["apart"] == "yes"
    number = difference.value if isinstance(difference, Estimate) else difference
    return isinstance(number, int | float) and not math.isnan(number) and number != 0


def _told(table: Table, row: Row) -> Row:
    *keys, measured = (c for c in table.schema.columns if c.role == "key")
    place = [f"{c.shown(v)}" for c in keys if (v := row.get(c.key)) is not None]
    cell = ", ".join([*place, str(measured.shown(row["measured"]))])
    return {"cell": cell, "table": table.name, **{key: row[key] for key in ("a", "b", "difference", "apart")}}


def differing_verdicts(verdicts: Table) -> Table:
    """Of the table of `verdicts_side_by_side` the claims whose verdicts differ, without the reasons."""
    schema = Schema("verdicts", tuple(c for c in verdicts.schema.columns if c.key not in ("a", "b")))
    said = [
        {"claim": row["claim"], **{key: str(row[key]).split(" (")[0] for key in ("verdict_a", "verdict_b")}}
        for row in verdicts.rows
    ]
    judged = [r for r in said if not {r["verdict_a"], r["verdict_b"]} <= {*_UNTOLD, _OF_BOTH}]
    if not judged:
        return Table(schema, "The runs judge no claim of the paper", ())
    rows = tuple(row for row in judged if row["verdict_a"] != row["verdict_b"] != _OF_BOTH)
    return Table(schema, f"Verdicts that differ: {len(rows)} of {len(judged)} claims that either run judges", rows)


def notes_of(tables: Sequence[Table]) -> str:
    """What the column of differences is."""
    return (
        "A - B: difference with its 95% interval from the two (method of variance estimates recovery), as if the runs "
        "were independent; 'apart': whether it excludes 0. No correction for the number of rows "
        f"({sum(len(t.rows) for t in tables)})."
    )
