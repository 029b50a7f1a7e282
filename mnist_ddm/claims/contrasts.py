"""What one comparison says of the paper: contrasts of cells, and how they are to come out.

Where a table has a paired difference or ratio, the ledger names that; else the interval of a difference is that of the
two cells (`stats/differences.py`).
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from mnist_ddm.claims.ledger import Comparison
from mnist_ddm.claims.select import Operand
from mnist_ddm.stats.differences import difference, log_ratio, p_of_sign, point
from mnist_ddm.stats.intervals import Estimate


class Agreement(Enum):
    """How a contrast agrees with the paper."""

    FOR = "as said"
    AGAINST = "the other way"
    OPEN = "open"


@dataclass(frozen=True)
class Contrast:
    """One comparison of two cells, or of one cell with a limit.

    Attributes:
        label: what is compared.
        agreement: what it says of the paper.
        p: two-sided, from the interval; ``None`` without one.
        shown: the difference, or the ratio, or the cell itself.
        reason: why it is open, or nothing.
    """

    label: str
    agreement: Agreement
    p: float | None
    shown: Estimate
    reason: str = ""


_BOTH = "the interval holds both outcomes"
_NONE = "no interval is computed"


def above(label: str, estimate: Estimate, limit: float = 0.0, shown: Estimate | None = None) -> Contrast:
    """Whether an estimate is above a limit: as said if its whole interval is."""
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return Contrast(label, Agreement.OPEN, None, shown or estimate, _NONE)
    moved = difference(estimate, point(limit))
    agreement = Agreement.FOR if moved.low > 0 else Agreement.AGAINST if moved.high < 0 else Agreement.OPEN
    reason = _BOTH if agreement is Agreement.OPEN else ""
    return Contrast(label, agreement, p_of_sign(moved), shown or estimate, reason)


def below(label: str, estimate: Estimate, limit: float = 0.0, shown: Estimate | None = None) -> Contrast:
    """Whether an estimate is below a limit: as said if its whole interval is."""
    turned = Estimate(-estimate.value, -estimate.high, -estimate.low)
    return above(label, turned, -limit, shown or estimate)


def between(label: str, log_of_ratio: Estimate | None, margin: float, shown: Estimate) -> Contrast:
    """Whether a log ratio is within ``log(1 + margin)`` of 0: as said if its whole interval is."""
    if log_of_ratio is None:
        return Contrast(label, Agreement.OPEN, None, shown, "a ratio needs positive numbers")
    return near(label, log_of_ratio, 0.0, math.log1p(margin), shown)


def near(label: str, estimate: Estimate, centre: float, limit: float, shown: Estimate | None = None) -> Contrast:
    """Whether an estimate is within a limit of a centre, on either side: as said if its whole interval is."""
    shown = shown or estimate
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return Contrast(label, Agreement.OPEN, None, shown, _NONE)
    moved = difference(estimate, point(centre))
    if moved.low >= -limit and moved.high <= limit:
        agreement = Agreement.FOR
    elif moved.low > limit or moved.high < -limit:
        agreement = Agreement.AGAINST
    else:
        agreement = Agreement.OPEN
    sides = [p_of_sign(difference(moved, point(end))) for end in (-limit, limit)]
    against = min(sides) if agreement is Agreement.AGAINST else 1.0
    p = max(sides) if abs(moved.value) <= limit else against
    return Contrast(label, agreement, p, shown, _BOTH if agreement is Agreement.OPEN else "")


Compared = tuple[Contrast, tuple[Operand, ...]]
Expectation = Callable[[Sequence[Operand], float, float], list[Compared]]
"""Of operands, a limit, and a margin or, of `near`, a centre."""


def contrasts(comparison: Comparison, operands: Sequence[Operand], limit: float) -> list[Contrast]:
    """The contrasts that decide a comparison."""
    compared = EXPECTATIONS[comparison.expect](operands, limit, comparison.within or comparison.centre)
    return [_agreeing(contrast, comparison, of) for contrast, of in compared]


def _agreeing(contrast: Contrast, comparison: Comparison, compared: Sequence[Operand]) -> Contrast:
    """A column that decides for another one must not contradict it."""
    if comparison.decided_by is None or len(compared) < 2 or contrast.agreement is Agreement.OPEN:
        return contrast
    a, b = compared[:2]
    if (a.value.value - b.value.value) * (a.deciding.value - b.deciding.value) < 0:
        reason = f"{comparison.columns[0]} and {comparison.decided_by} say opposite things"
        return replace(contrast, agreement=Agreement.OPEN, p=None, reason=reason)
    return replace(contrast, label=f"{contrast.label} (by {comparison.decided_by})")


def _greater(a: Operand, b: Operand) -> Compared:
    return above(f"{a.cell.label} > {b.cell.label}", difference(a.deciding, b.deciding)), (a, b)


def _rising(operands: Sequence[Operand], limit: float, within: float) -> list[Compared]:
    return [_greater(later, earlier) for earlier, later in itertools.pairwise(operands)]


def _falling(operands: Sequence[Operand], limit: float, within: float) -> list[Compared]:
    return [_greater(earlier, later) for earlier, later in itertools.pairwise(operands)]


def _lowest(operands: Sequence[Operand], limit: float, within: float) -> list[Compared]:
    return [_greater(other, operands[0]) for other in operands[1:]]


def _highest(operands: Sequence[Operand], limit: float, within: float) -> list[Compared]:
    return [_greater(operands[0], other) for other in operands[1:]]


def _above(operands: Sequence[Operand], limit: float, within: float) -> list[Compared]:
    return [(above(f"{o.cell.label} > {limit:g}", o.deciding, limit), (o,)) for o in operands]


def _below(operands: Sequence[Operand], limit: float, within: float) -> list[Compared]:
    return [(below(f"{o.cell.label} < {limit:g}", o.deciding, limit), (o,)) for o in operands]


def _alike(operands: Sequence[Operand], limit: float, within: float) -> list[Compared]:
    first = operands[0]
    compared: list[Compared] = []
    for other in operands[1:]:
        label = f"{other.cell.label} within {100 * within:g}% of {first.cell.label}"
        ratio = log_ratio(other.deciding, first.deciding)
        apart = difference(other.deciding, first.deciding)
        compared.append((between(label, ratio, within, apart), (other, first)))
    return compared


def _equals(operands: Sequence[Operand], limit: float, within: float) -> list[Compared]:
    compared: list[Compared] = []
    for o in operands:
        label = f"{o.cell.label} within {100 * within:g}% of {limit:g}"
        compared.append((between(label, log_ratio(o.deciding, point(limit)), within, o.deciding), (o,)))
    return compared


def _near(operands: Sequence[Operand], limit: float, centre: float) -> list[Compared]:
    """A weak association is near its centre on both sides: a strong one of the other sign is not weak."""
    label = f"within {limit:.3g} of {centre:g}"
    return [(near(f"{o.cell.label} {label}", o.deciding, centre, limit), (o,)) for o in operands]


EXPECTATIONS: Mapping[str, Expectation] = {
    "rising": _rising,
    "falling": _falling,
    "lowest": _lowest,
    "highest": _highest,
    "above": _above,
    "below": _below,
    "alike": _alike,
    "equals": _equals,
    "near": _near,
}
"""By the word that `Comparison.expect` may be."""
