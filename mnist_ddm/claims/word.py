"""Verdicts as text: tables for the terminal, for files and for the documentation, and what is said beside them."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence

from mnist_ddm.claims.judge import LEVEL, Judgement, ReadingVerdict, Verdict, number_tested
from mnist_ddm.claims.select import Cell, proper_name
from mnist_ddm.tables.table import Column, Row, Schema, Table, Value
from mnist_ddm.tables.terminal import shown_value

_SHOWN, _FEW = 6, 3
"""Cells that are written out, in files and on a terminal."""
_REACH = 1_000_000
"""More samples than anybody will draw: how many more is no information."""
_HOLM: Mapping[bool | None, str] = {None: "-", True: "yes", False: "no"}


_HERE = "this run"
_FULL = Schema(
    "verdicts",
    (
        Column("claim", "claim", "key"),
        Column("reading", "reading", "key"),
        Column("source", "of", "key"),
        Column("cell", "cell", "key"),
        Column("value", "value"),
        Column("verdict", "verdict"),
        Column("verdict_of_reading", "verdict of the reading"),
        Column("place", "place", "note"),
        Column("statement", "statement", "note"),
        Column("stated_for", "stated for", "note"),
        Column("why", "why", "note"),
        Column("holds_after_holm", "holds after Holm", "note"),
        Column("n_least", "fewest samples", "note"),
        Column("n_most", "most samples", "note"),
        Column("n_needed", "n that would decide it", "note"),
        Column("trainings_needed", "trainings that would decide it", "note", optional=True),
    ),
)
_SHORT = Schema(
    "verdicts",
    (
        Column("claim", "claim", "key"),
        Column("expected", "expected", "note"),
        Column("measured", "measured"),
        Column("verdict", "verdict"),
    ),
)


def full_table(judgements: Sequence[Judgement]) -> Table:
    """Everything that is said of each claim: a row for each number, measured or stated by the paper."""
    rows: list[Row] = []
    for j in judgements:
        said: dict[str, Value] = {
            "claim": j.claim.id,
            "place": j.claim.place,
            "statement": j.claim.statement,
            "stated_for": ", ".join(j.claim.stated_for),
            "verdict": j.verdict.value,
            "why": j.reason or None,
            "holds_after_holm": _HOLM[j.survives],
            "n_least": min(j.sizes, default=None),
            "n_most": max(j.sizes, default=None),
            "n_needed": _in_reach(j.needed),
            "trainings_needed": _in_reach(j.trainings_needed),
        }
        unread: Row = {"reading": None, "verdict_of_reading": None, **_NO_NUMBER}
        rows += [{**said, **row} for reading in j.readings for row in _of_reading(reading)] or [{**said, **unread}]
    return Table(_FULL, "The paper's claims, number by number", tuple(rows), (holm_note(judgements),))


_NO_NUMBER: Row = {"source": None, "cell": None, "value": None}


def _of_reading(reading: ReadingVerdict) -> list[Row]:
    """Each number that a reading rests on, or one row without."""
    numbers: list[Row] = [{"source": _HERE, "cell": cell.label, "value": cell.value} for cell in reading.cells]
    for stated in reading.stated:
        place = f"{proper_name(stated.of)} in the paper"
        spread = re.fullmatch(r"([-+.\d]+) sd ([.\d]+)", str(stated.value))
        values = {"": float(spread[1]), " sd": float(spread[2])} if spread else {"": stated.value}
        numbers += [{"source": place, "cell": stated.label + of, "value": value} for of, value in values.items()]
    what: Row = {"reading": reading.reading.name, "verdict_of_reading": reading.verdict.value}
    return [{**what, **number} for number in numbers or [_NO_NUMBER]]


def stated_text(reading: ReadingVerdict) -> str:
    """What the paper states beside, as text."""
    by_system: dict[str, list[str]] = {}
    for stated in reading.stated:
        shown = stated.value if isinstance(stated.value, str) else f"{stated.value:g}"
        by_system.setdefault(stated.of, []).append(f"{stated.label} {shown}")
    return "; ".join(f"{proper_name(of)}: {'; '.join(texts)}" for of, texts in by_system.items())


def short_table(judgements: Sequence[Judgement]) -> Table:
    """One row for each claim."""
    rows: list[dict[str, Value]] = [
        {
            "claim": j.claim.id,
            "expected": j.claim.statement,
            "measured": f"{measured_text(j.readings[0], _FEW)} ({j.samples})" if j.readings else "-",
            "verdict": j.verdict.value if j.verdict is Verdict.NONE else verdict_text(j),
        }
        for j in judgements
    ]
    notes = [holm_note(judgements)]
    if silent := next((j.reason for j in judgements if j.verdict is Verdict.NONE), None):
        notes.append(f"no verdict: {silent}")
    title = "Verdicts (the report has the paper's values and other readings beside)"
    return Table(_SHORT, title, tuple(rows), tuple(notes))


def verdict_text(judgement: Judgement) -> str:
    """The verdict, with the reason where it says nothing by itself, and a mark where Holm's correction undoes it."""
    j = judgement
    if j.verdict in (Verdict.ABSENT, Verdict.NONE):
        return f"{j.verdict.value} ({j.reason})"
    if j.verdict is Verdict.OPEN:
        return f"{j.verdict.value}{needed_text(j)}"
    return f"{j.verdict.value} (not after Holm)" if j.survives is False else j.verdict.value


def _because(judgement: Judgement) -> str:
    """Which comparisons decided against a claim, or made it a matter of direction; nothing of other verdicts."""
    if judgement.verdict not in (Verdict.NOT, Verdict.DIRECTION, Verdict.EQUIVALENT) or not judgement.reason:
        return ""
    parts = judgement.reason.split("; ")
    more = f"; ... ({len(parts)} in all)" if len(parts) > _FEW else ""
    return f": {'; '.join(parts[:_FEW])}{more}"


def needed_text(judgement: Judgement) -> str:
    """What an open claim would take, in brackets; nothing if that cannot be told."""
    needed, trainings = judgement.needed, judgement.trainings_needed
    if needed is None and trainings is None:
        return ""
    if math.isinf(needed or trainings or 0.0):
        return " (no n decides it)"
    if trainings is not None:
        return f" ({rounded_up(trainings):,} such trainings would do)"
    assert needed is not None
    if needed > _REACH:
        return f" (it would take more than {_REACH:,} samples)"
    return f" (n = {rounded_up(needed):,} would do)"


def _in_reach(needed: float | None) -> int | None:
    return rounded_up(needed) if needed is not None and needed <= _REACH else None


def rounded_up(number: float) -> int:
    """A whole number with two digits that count, not below the number."""
    step = int(10 ** max(0, math.floor(math.log10(number)) - 1))
    return math.ceil(number / step) * step


def counts(judgements: Sequence[Judgement]) -> dict[Verdict, int]:
    """How many claims have each verdict, in the order of the verdicts; only those that occur."""
    numbers = {v: sum(j.verdict is v for j in judgements) for v in Verdict}
    return {v: n for v, n in numbers.items() if n}


def counts_line(judgements: Sequence[Judgement]) -> str:
    """The counts in a line."""
    return f"{len(judgements)} claims: " + ", ".join(f"{n} {v.value}" for v, n in counts(judgements).items())


def holm_note(judgements: Sequence[Judgement]) -> str:
    """How many claims were tested, and what that means for the verdicts."""
    m = number_tested(judgements)
    if m == 0:
        return "No claim was held against an interval."
    failing = [j.claim.id for j in judgements if j.survives is False]
    names = f" Verdicts that do not hold after it: {', '.join(failing)}." if failing else ""
    return (
        f"{m} claims were held against 95% intervals; of so many about {LEVEL * m:.1f} would be decided by chance "
        "if there were nothing to find. 'Holds after Holm' says which verdicts stand at 5% for all of them together "
        f"(Holm's correction; p-values from the intervals). Other readings stand beside and are not counted.{names}"
    )


def measured_text(reading: ReadingVerdict, most: int = _SHOWN) -> str:
    """What was measured, as text, each measure named once; of more than ``most`` cells the first ones and the last."""
    cells, left_out = reading.cells, len(reading.cells) > most
    texts = []
    for measure, group in by_measure([*cells[: most - 1], cells[-1]] if left_out else cells):
        shown = [f"{cell.of} {shown_value(cell.value)}".strip() for cell in group]
        if left_out and group[-1] is cells[-1]:
            shown.insert(-1, f"... ({len(cells)} cells)")
        texts.append(f"{measure}: " * bool(measure) + "; ".join(shown))
    return "; ".join(texts) or "-"


def by_measure(cells: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    """Cells that follow each other and are of one measure together, with its name."""
    return [(measure, list(group)) for measure, group in itertools.groupby(cells, lambda cell: cell.measure)]


def markdown(judgements: Sequence[Judgement], what: str) -> str:
    """The verdicts as a table for a Markdown file."""
    lines = [
        what,
        "",
        counts_line(judgements) + ".",
        "",
        "| claim | where | measured, 95% interval | verdict |",
        "|---|---|---|---|",
    ]
    for j in judgements:
        measured = measured_text(j.readings[0]) if j.readings else "-"
        cells = (j.claim.statement, j.claim.place, measured, verdict_text(j) + _because(j))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, "", holm_note(judgements)])
