"""The marks with which a page quotes numbers of files.

A number of a file stands in a page between marks,
`<!--= FOLDER/TABLE :: ROWS :: COLUMN :: FORMAT -->0.12<!--/-->`: FORMAT is Python's, with `value`, `low`, `high`, and
ROWS is one of

    KEY=VALUE; KEY=VALUE                                  the one row that has these values
    KEY=VALUE minus KEY=VALUE, KEY=VALUE over KEY=VALUE   the difference or the ratio of two rows
    least KEY=VALUE, most KEY=VALUE                       of several rows the one with the least, the largest value
    count KEY=VALUE                                       how many rows have these values, and one in the column
    distinct KEY=VALUE                                    how many different values of the column such rows have

where `all` in place of `KEY=VALUE` is every row. FOLDER may be `card:CHECKPOINT`. In JSON that is no table each object
is a row, with its path under the key `at`: `benchmarks/grading :: at=. :: students`, `card:paris-mini :: at=figures`.

A number of no file, such as one of the paper, stands between `<!--: WHERE IT IS FROM -->` and `<!--/-->`. In every
document each number with a decimal point, each interval and percentage, `5 of 9`, `3 cases in 4`, `a factor of 7`, `7x`
and `7 times` stand between marks, in code, behind `t = ` (or another setting), in the first column of a table, which
names its rows, in one headed `paper`, or in one of the blocks that `record.py` writes.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mnist_ddm.storage.files import read_json

_PART = r"((?:(?!-->).)+?)"
_NUMBER = re.compile(rf"(<!--= {_PART} :: {_PART} :: {_PART} :: {_PART} -->)(.*?)(<!--/-->)", re.S)
_ELSEWHERE = re.compile(  # what a page of results may hold beside numbers of files; a mark stays a mark when it wraps
    r"<!--[=:] .*?<!--/-->|^<!-- (runs|verdicts|two|coverage|judge) -->$.*?^<!-- (?:end of |/)\1 -->$"
    r"|^```.*?^```$|`[^`]*`|\]\([^)]*\)|\$[^$]*\$"
    r"|\b[tTnhkMV] = (?:[\d.]+(?:, | and | to )?)+|\b(?:arXiv[ :]|Python |Sections? |Crate |BY-SA |torch )[\d.]+"
    r"|\b95% (?:interval|confidence)|\"95%\"",
    re.S | re.M,
)
_TYPED = re.compile(
    r"\[-?\d[^\]]*\]|\d+\.\d+|\b\d+ ?%|\b\d[\d,]* of (?:the )?\d+|\b\d+(?: [a-z]+)? in (?:every )?\d+"
    r"|\bfactor of \d+|\b\d+(?:x| times)\b"
)


def quoted(text: str, root: Path) -> str:
    """A page with every number between marks as its file has it now."""

    def again(mark: re.Match[str]) -> str:
        return mark[1] + number(root, *(" ".join(part.split()) for part in mark.group(2, 3, 4, 5))) + mark[7]

    return _NUMBER.sub(again, text)


def _rows_of(root: Path, place: str) -> list[Mapping[str, Any]]:
    """The rows of the table that a mark names."""
    if place.startswith("card:"):
        checkpoint, _, name = place.removeprefix("card:").partition("/")
        told = read_json(root / "checkpoints" / checkpoint / "card.json")
        told = told["figures"][name] if name else told
    else:
        folder, _, name = place.rpartition("/")
        place_of = root / "docs" / "results" / folder
        table = place_of / "results" / f"{name}.json"
        told = read_json(table if table.exists() else place_of / f"{name}.json")
    return told["rows"] if "rows" in told else list(_objects(told, "."))


def _objects(told: Mapping[str, Any], at: str) -> Iterator[Mapping[str, Any]]:
    """An object and all within it, each as a row that says where it is."""
    yield {"at": at} | {key: value for key, value in told.items() if not isinstance(value, dict | list)}
    for key, value in told.items():
        if isinstance(value, dict):
            yield from _objects(value, key if at == "." else f"{at}/{key}")


def number(root: Path, place: str, selected: str, column: str, form: str) -> str:
    """What a mark stands for.

    Args:
        root: of the project.
        place: folder and table.
        selected: which rows.
        column: its key.
        form: of the number.

    Raises:
        ValueError: if there is no such cell, or more than one.
    """
    what, _, rest = selected.partition(" ")
    if what in ("least", "most", "count", "distinct"):
        cells = _cells(root, place, rest, column)
        if not cells:
            raise ValueError(f"{place} has no row with {rest} and a cell in column {column!r}")
        if what == "count":
            return form.format(value=len(cells))
        if what == "distinct":
            return form.format(value=len({cell["value"] for cell in cells}))
        return form.format(**(min if what == "least" else max)(cells, key=lambda cell: cell["value"]))
    first, how, second = re.fullmatch(r"(.*?)(?: (minus|over) (.*))?", selected).groups()
    cell = _cell(root, place, first, column)
    if how is None:
        return form.format(**cell)
    one, other = cell["value"], _cell(root, place, second, column)["value"]
    return form.format(value=one - other if how == "minus" else one / other)


def _cell(root: Path, place: str, selected: str, column: str) -> Mapping[str, Any]:
    """That of the one row that is meant."""
    found = _cells(root, place, selected, column)
    if len(found) != 1:
        raise ValueError(
            f"{place} has {len(found)} rows with {selected} and a cell in column {column!r}, and one is wanted"
        )
    return found[0]


def _cells(root: Path, place: str, selected: str, column: str) -> list[Mapping[str, Any]]:
    """Those of a column, of the rows that have certain values."""
    keys = {} if selected == "all" else dict(pair.split("=", 1) for pair in selected.split("; "))
    rows = (row for row in _rows_of(root, place) if all(str(row.get(key)) == value for key, value in keys.items()))
    cells = (row[column] for row in rows if row.get(column) is not None)
    return [cell if isinstance(cell, dict) else {"value": cell} for cell in cells]


def typed(text: str) -> list[str]:
    """The numbers of a page of results that stand for themselves: with a decimal point, or an interval."""
    found: list[str] = []
    skip: set[int] = set()
    for line in _ELSEWHERE.sub("", text).splitlines():
        cells = line.strip().strip("|").split("|") if line.startswith("|") else [line]
        if not line.startswith("|"):
            skip = set()
        elif not skip:
            skip = {i for i, cell in enumerate(cells) if "paper" in cell} | {0}
        found += [one for i, cell in enumerate(cells) if i not in skip for one in _TYPED.findall(cell)]
    return found
