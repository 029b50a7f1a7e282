"""Two runs side by side: two systems, two routings, or two versions of the code."""

from collections.abc import Mapping, Sequence
from typing import Any

from mnist_ddm.analyses.analysis import Table, Value
from mnist_ddm.claims.contrasts import difference
from mnist_ddm.claims.judge import judge_all
from mnist_ddm.claims.ledger import ledger
from mnist_ddm.claims.word import measured_text, verdict_text
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.study.results import Results, key_columns

_ROUTING = "routing"
_SAID = ("versions", "code", "git", "hardware", "sources")


def differing_facts(a: Mapping[str, Any], b: Mapping[str, Any]) -> Table:
    """What two manifests say differently of how they were made."""
    flat = [_flat({**m["run"], **{k: m.get(k) for k in _SAID}}) for m in (a, b)]
    keys = [key for key in dict.fromkeys([*flat[0], *flat[1]]) if flat[0].get(key) != flat[1].get(key)]
    rows: list[dict[str, Value]] = [{"what": k, "A": flat[0].get(k, "-"), "B": flat[1].get(k, "-")} for k in keys]
    return Table("facts", "What differs between the runs", ("what", "A", "B"), tuple(rows))


def _flat(value: object, prefix: str = "") -> dict[str, str]:
    if isinstance(value, Mapping):
        return {k: v for key, part in value.items() for k, v in _flat(part, f"{prefix} {key}".strip()).items()}
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return {prefix: text if len(text) <= _LONGEST else text[:_LONGEST] + "..."}


_LONGEST = 60


def side_by_side(a: Results, b: Results, routings: tuple[str, str] | None = None) -> list[Table]:
    """The tables that both runs have, one row for each measured cell.

    Args:
        a: the first run.
        b: the second run.
        routings: compare the rows of one routing in the first with those of another one in the second.

    Raises:
        InputError: if there is nothing to compare.
    """
    found = []
    for name, table in a.tables.items():
        if name in b.tables and (rows := _cells(table, b.tables[name], routings)):
            title = table.title.split(", n = ")[0].split("; paper")[0]
            found.append(Table(name, title, tuple(rows[0]), tuple(rows)))
    if not found:
        what = f" with the routings {' and '.join(routings)}" if routings else ""
        raise InputError(f"the runs have no table{what} in common")
    return found


def _cells(first: Table, second: Table, routings: tuple[str, str] | None) -> list[dict[str, Value]]:
    rows_a, rows_b = list(first.rows), list(second.rows)
    if routings is not None:
        rows_a, rows_b = (
            [r for r in rows if r.get(_ROUTING) == name] for rows, name in zip((rows_a, rows_b), routings, strict=True)
        )
    keys = [k for k in key_columns(first) if not (routings is not None and k == _ROUTING)]
    others = {tuple(row.get(k) for k in keys): row for row in rows_b}
    found: list[dict[str, Value]] = []
    for row in rows_a:
        other = others.get(tuple(row.get(k) for k in keys))
        if other is None:
            continue
        for column in first.columns:
            if column in keys or column == _ROUTING or not _measured(column, row.get(column), other.get(column)):
                continue
            x, y = row[column], other[column]
            apart = _apart(x, y)
            found.append(
                {**{k: row[k] for k in keys}, "column": column, "A": x, "B": y, "A - B": apart, "apart": _sign(apart)}
            )
    return found


def _measured(column: str, x: Value, y: Value) -> bool:
    told = not column.startswith("paper") and not column.endswith(" sd") and column != "n"
    return told and all(isinstance(v, float | Estimate) for v in (x, y))


def _apart(x: Value, y: Value) -> Value:
    if isinstance(x, Estimate) and isinstance(y, Estimate):
        return difference(x, y)
    return x - y if isinstance(x, float) and isinstance(y, float) else None


def _sign(apart: Value) -> str:
    if not isinstance(apart, Estimate) or apart.low != apart.low:
        return "no interval"
    return "yes" if apart.low > 0 or apart.high < 0 else "no"


def verdicts_side_by_side(a: Results, b: Results) -> Table:
    """The verdict of every claim in both runs, and of the claims about two systems in both together."""
    claims = list(ledger().claims.values())
    rows: list[dict[str, Value]] = []
    for x, y in zip(judge_all(claims, a, b), judge_all(claims, b, a), strict=True):
        if x.claim.systems:
            measured = measured_text(x.readings[0]) if x.readings else "-"
            rows.append(
                {
                    "claim": x.claim.id,
                    "A": f"both: {measured}",
                    "B": "-",
                    "A verdict": verdict_text(x),
                    "B verdict": "-",
                }
            )
            continue
        texts = [measured_text(j.readings[0]) if j.readings else "-" for j in (x, y)]
        row: dict[str, Value] = {"claim": x.claim.id, "A": texts[0], "B": texts[1]}
        rows.append({**row, "A verdict": verdict_text(x), "B verdict": verdict_text(y)})
    return Table("verdicts", "The claims in both runs", tuple(rows[0]), tuple(rows))


def notes_of(tables: Sequence[Table]) -> str:
    """What the column of differences is."""
    return (
        "A - B: difference with its 95% interval from the two (method of variance estimates recovery), as if the runs "
        "were independent; 'apart': whether it excludes 0. No correction for the number of rows "
        f"({sum(len(t.rows) for t in tables)})."
    )
