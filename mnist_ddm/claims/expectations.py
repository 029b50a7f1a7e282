"""What the ledger may expect of some cells, and the contrasts that test it."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mnist_ddm.claims.contrasts import Contrast, Outcome, above, below, between, difference, log_ratio, point
from mnist_ddm.claims.ledger import Comparison
from mnist_ddm.claims.select import Operand

Found = list[tuple[Contrast, tuple[Operand, ...]]]
Expectation = Callable[[Sequence[Operand], float, float], Found]
"""Of operands, a limit and a margin."""


def contrasts(comparison: Comparison, operands: Sequence[Operand], limit: float) -> list[Contrast]:
    """The contrasts that decide a comparison."""
    found = EXPECTATIONS[comparison.expect](operands, limit, comparison.within or 0.0)
    return [_agreeing(contrast, comparison, compared) for contrast, compared in found]


def _agreeing(contrast: Contrast, comparison: Comparison, compared: Sequence[Operand]) -> Contrast:
    """A column that decides for another one must not contradict it."""
    if comparison.decided_by is None or len(compared) < 2 or contrast.outcome is Outcome.OPEN:
        return contrast
    a, b = compared[:2]
    if (a.value.value - b.value.value) * (a.deciding.value - b.deciding.value) < 0:
        reason = f"{comparison.columns[0]} and {comparison.decided_by} say opposite things"
        return replace(contrast, outcome=Outcome.OPEN, p=None, reason=reason)
    return replace(contrast, label=f"{contrast.label} (by {comparison.decided_by})")


def _greater(a: Operand, b: Operand) -> tuple[Contrast, tuple[Operand, ...]]:
    return above(f"{a.cell.label} > {b.cell.label}", difference(a.deciding, b.deciding)), (a, b)


def _rising(operands: Sequence[Operand], limit: float, within: float) -> Found:
    return [_greater(later, earlier) for earlier, later in itertools.pairwise(operands)]


def _falling(operands: Sequence[Operand], limit: float, within: float) -> Found:
    return [_greater(earlier, later) for earlier, later in itertools.pairwise(operands)]


def _lowest(operands: Sequence[Operand], limit: float, within: float) -> Found:
    return [_greater(other, operands[0]) for other in operands[1:]]


def _highest(operands: Sequence[Operand], limit: float, within: float) -> Found:
    return [_greater(operands[0], other) for other in operands[1:]]


def _above(operands: Sequence[Operand], limit: float, within: float) -> Found:
    return [(above(f"{o.cell.label} > {limit:g}", o.deciding, limit), (o,)) for o in operands]


def _below(operands: Sequence[Operand], limit: float, within: float) -> Found:
    return [(below(f"{o.cell.label} < {limit:g}", o.deciding, limit), (o,)) for o in operands]


def _alike(operands: Sequence[Operand], limit: float, within: float) -> Found:
    first = operands[0]
    found: Found = []
    for other in operands[1:]:
        label = f"{other.cell.label} within {100 * within:g}% of {first.cell.label}"
        ratio = log_ratio(other.deciding, first.deciding)
        found.append((between(label, ratio, within, difference(other.deciding, first.deciding)), (other, first)))
    return found


def _equals(operands: Sequence[Operand], limit: float, within: float) -> Found:
    found: Found = []
    for o in operands:
        label = f"{o.cell.label} within {100 * within:g}% of {limit:g}"
        found.append((between(label, log_ratio(o.deciding, point(limit)), within, o.deciding), (o,)))
    return found


EXPECTATIONS: Mapping[str, Expectation] = {
    "rising": _rising,
    "falling": _falling,
    "lowest": _lowest,
    "highest": _highest,
    "above": _above,
    "below": _below,
    "alike": _alike,
    "equals": _equals,
}
"""By the word that `Comparison.expect` may be."""
