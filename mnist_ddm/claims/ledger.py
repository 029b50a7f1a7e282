"""The claims ledger: every statement of the paper as data, joined to the table that measures it.

`claims.toml` says what is claimed, where, and which cells of which table decide it; the paper's own numbers are in
`analyses/paper.toml`, and the ledger refers to them. `verdicts.py` turns both and a run's tables into verdicts.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from mnist_ddm.errors import unknown


@dataclass(frozen=True)
class Comparison:
    """Cells of a table, and how the paper says that they compare.

    Text may hold names in braces, such as ``{distance}``, which every run fills in for its system.

    Attributes:
        expect: `rising`, `falling`, `lowest`, `highest` (the first against each other one), `below`, `above` (each
            against ``limit``), `alike` (ratios to the first), or `equals` (the ratio to ``limit``).
        table: where the cells are.
        columns: one for all rows, or several of one row.
        rows: which rows, by column and text; a text may be a pattern, and a leading ``!`` turns it round. The first row
            that fits counts.
        each: all rows that fit count, not only the first.
        systems: the same cell in the runs of these systems, instead of several cells of one run.
        limit: a number, the path of one of the paper's values, or a name in braces.
        within: how far a ratio may be from 1, for `alike` and `equals`.
        decided_by: a column of the same rows whose intervals decide, where the measured one has none.
        stated: paths of the paper's values that belong beside; ``{row}`` is the name of each row.
        size: path of the values that must be met for more than the direction; ``{row}`` as above.
        exact: the numbers are no estimates: a p-value or a count.
        optional: left out where the system has no such cells, such as those of a monolith.
    """

    expect: str
    table: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...] = ({},)
    each: bool = False
    systems: tuple[str, ...] = ()
    limit: float | str | None = None
    within: float | None = None
    decided_by: str | None = None
    stated: tuple[str, ...] = ()
    size: str | None = None
    exact: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Reading:
    """One way to read a claim; all its comparisons must come out as said.

    Attributes:
        name: what is read how.
        comparisons: at least one.
        construction: why it could not come out otherwise, or nothing.
    """

    name: str
    comparisons: tuple[Comparison, ...]
    construction: str = ""


@dataclass(frozen=True)
class Claim:
    """One statement of the paper.

    Attributes:
        id: its name on the command line.
        place: in the paper.
        statement: in a sentence.
        stated_for: the systems of which the paper says it.
        analyses: that measure it; the paper's values are those of the first.
        readings: the first is the one that matches the paper's own numbers, and the verdict is that of it.
        note: what a reader must know, such as a contradiction in the paper.
        untestable: why no reading can be given, or nothing.
        headline: it is one of the statements of the paper's abstract.
        only_there: it is of numbers that no other system can share, so it is not held against another one.
    """

    id: str
    place: str
    statement: str
    stated_for: tuple[str, ...]
    analyses: tuple[str, ...]
    readings: tuple[Reading, ...]
    note: str = ""
    untestable: str = ""
    only_there: bool = False
    headline: bool = False

    @property
    def systems(self) -> tuple[str, ...]:
        """The systems whose runs it compares; none for a claim about one run."""
        return tuple(dict.fromkeys(s for r in self.readings for c in r.comparisons for s in c.systems))


@dataclass(frozen=True)
class Ledger:
    """All claims, and what is true of the paper's numbers as a whole.

    Attributes:
        claims: by name.
        warnings: to be said wherever the claims are shown.
    """

    claims: Mapping[str, Claim]
    warnings: tuple[str, ...] = field(default=())


@cache
def ledger() -> Ledger:
    """The claims that ship."""
    found = tomllib.loads(files("mnist_ddm.claims").joinpath("claims.toml").read_text(encoding="utf-8"))
    claims = [_claim(entry) for entry in found["claim"]]
    return Ledger({claim.id: claim for claim in claims}, tuple(found["warnings"]))


def claim_named(name: str) -> Claim:
    """The claim of that name.

    Raises:
        InputError: if there is none; the message lists those that exist.
    """
    if name not in ledger().claims:
        raise unknown("claim", name, list(ledger().claims))
    return ledger().claims[name]


def _claim(entry: Mapping[str, Any]) -> Claim:
    plain = {k: v for k, v in entry.items() if k not in ("reading", "stated_for", "analyses")}
    readings = tuple(_reading(r) for r in entry.get("reading", ()))
    return Claim(**plain, stated_for=tuple(entry["stated_for"]), analyses=tuple(entry["analyses"]), readings=readings)


def _reading(entry: Mapping[str, Any]) -> Reading:
    plain = {k: v for k, v in entry.items() if k != "compare"}
    return Reading(**plain, comparisons=tuple(_comparison(c) for c in entry["compare"]))


def _comparison(entry: Mapping[str, Any]) -> Comparison:
    given = dict(entry)
    column, row = given.pop("column", None), given.pop("row", None)
    columns = tuple(given.pop("columns", ())) or (column,)
    rows = tuple(given.pop("rows", ())) or (row or {},)
    lists: dict[str, Any] = {k: tuple(given.pop(k)) for k in ("systems", "stated") if k in given}
    return Comparison(**given, **lists, columns=columns, rows=rows)
