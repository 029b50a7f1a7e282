"""Verdicts as text: a table for the terminal and for files, and what is said beside it."""

from collections.abc import Sequence

from mnist_ddm.analyses.base import Table, Value
from mnist_ddm.report.tables import shown_value
from mnist_ddm.report.verdicts import LEVEL, Judgement, ReadingVerdict, tested

_SHOWN = 6
"""Cells that are written out; of more the first two and the last."""


def wide_table(judgements: Sequence[Judgement]) -> Table:
    """The verdicts as a table, for the terminal and for files."""
    rows: list[dict[str, Value]] = []
    for j in judgements:
        first = j.readings[0] if j.readings else None
        rows.append(
            {
                "claim": j.claim.id,
                "place": j.claim.place,
                "expected": expected_text(j),
                "measured": measured_text(first) if first else "-",
                "samples": j.samples or "-",
                "verdict": j.verdict.value,
                "holds after Holm": {None: "-", True: "yes", False: "no"}[j.survives],
                "why": j.reason or "-",
            }
        )
    return Table("claims", "The paper's claims, one by one", tuple(rows[0]), tuple(rows), (holm_note(judgements),))


def holm_note(judgements: Sequence[Judgement]) -> str:
    """How many claims were tested, and what that means for the verdicts."""
    m = tested(judgements)
    failing = [j.claim.id for j in judgements if j.survives is False]
    if m == 0:
        return "No claim was tested against an interval."
    names = f" These do not: {', '.join(failing)}." if failing else ""
    return (
        f"{m} claims were tested at 95%, so about {LEVEL * m:.1f} of them would be decided wrongly by chance if all "
        f"were about nothing. 'holds after Holm' says which verdicts also hold at 5% for all of them together (Holm's "
        f"correction; p-values from the intervals).{names}"
    )


def expected_text(judgement: Judgement) -> str:
    """What the paper says, with its values."""
    first = judgement.readings[0] if judgement.readings else None
    beside = "; ".join(first.stated) if first else ""
    return f"{judgement.claim.statement} [{beside}]" if beside else judgement.claim.statement


def measured_text(reading: ReadingVerdict) -> str:
    """What was measured; of many cells the first and the last."""
    shown = [f"{cell.label}: {shown_value(cell.value)}" for cell in reading.cells]
    if len(shown) > _SHOWN:
        shown = [*shown[:2], f"... ({len(shown)} cells) ...", shown[-1]]
    return "; ".join(shown) or "-"
