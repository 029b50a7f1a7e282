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
from mnist_ddm.claims.select import Operand, number_in
from mnist_ddm.stats.differences import difference, log_ratio, p_of_sign, point
from mnist_ddm.stats.intervals import LEVEL, Estimate
from mnist_ddm.stats.quantiles import normal_quantile, normal_share


class Agreement(Enum):
    """How a contrast agrees with the paper."""

    FOR = "as said"
    AGAINST = "the other way"
    ALIKE = "no difference that matters"
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
        small: it is as said, and smaller than what matters.
        oriented: of a difference, or a distance from a limit: the same turned so that above 0 is as said.
        affirms: half the interval, in distances of the estimate from each thing that must be excluded for it to be as
            said; none if it is, infinite if it lies on the other side, ``None`` if that cannot be told.
        refutes: the same for it to be the other way or no difference that matters.
        leans: whether the estimate by itself is as said, whatever its interval; ``None`` if that cannot be told.
    """

    label: str
    agreement: Agreement
    p: float | None
    shown: Estimate
    reason: str = ""
    small: bool = False
    oriented: Estimate | None = None
    affirms: tuple[float, ...] | None = None
    refutes: tuple[float, ...] | None = None
    leans: bool | None = None


_BOTH = "the interval holds both outcomes"
_NOT_SHOWN = "so many samples do not show it"
NO_INTERVAL = "no interval is computed"
_POSITIVE = "a ratio needs positive numbers"
POWER = 0.8
"""What is likely enough: four times of five."""


def growth_to(ratios: Sequence[float], level: float = 1 - LEVEL, comparisons: int = 1) -> float:
    r"""How many times the samples would exclude several things at once four times of five, if things are as they seem.

    The g at which :math:`\sum_i \Phi(z_m - \sqrt g\, z / r_i)` is 1 - `POWER`, z and :math:`z_m` the quantiles of the
    level alone and shared by m comparisons: exact for one thing, for the two sides of an interval, and never too small.

    Args:
        ratios: half the interval now, in distances from each thing that is to be excluded.
        level: error rate of the interval.
        comparisons: that share the level (Bonferroni).
    """
    if not ratios or max(ratios) == 0:
        return 0.0
    if math.isinf(max(ratios)):
        return math.inf
    alone, shared = (normal_quantile(1 - level / (2 * m)) for m in (1, comparisons))

    def misses(root: float) -> float:
        return sum(normal_share(shared - root * alone / ratio) for ratio in ratios if ratio > 0)

    low, high = 0.0, max(ratios) * (shared + normal_quantile(1 - (1 - POWER) / len(ratios))) / alone
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if misses(middle) > 1 - POWER else (low, middle)
    return high**2


def above(
    label: str, estimate: Estimate, limit: float = 0.0, shown: Estimate | None = None, smallest: float = 0.0
) -> Contrast:
    """Whether an estimate is above a limit: as said if its whole interval is.

    If the whole interval is within ``smallest`` of the limit, the difference is too small to matter; unless it is as
    said, which is then noted.
    """
    shown, leans = shown or estimate, estimate.value > limit
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return Contrast(label, Agreement.OPEN, None, shown, NO_INTERVAL, leans=leans)
    moved = difference(estimate, point(limit))
    inside = smallest > 0 and -smallest <= moved.low and moved.high <= smallest
    affirms, refutes = _ratios(moved, abs(moved.value)), _within(moved, smallest)
    if moved.value <= 0 and affirms is not None and refutes is not None:
        affirms, refutes = (math.inf,), min(affirms, refutes, key=growth_to)
    agreement, p, reason = Agreement.OPEN, p_of_sign(moved), _BOTH
    if moved.low > 0:
        agreement, reason, affirms = Agreement.FOR, "", ()
    elif inside:
        sides = [p_of_sign(difference(moved, point(end))) for end in (-smallest, smallest)]
        agreement, p, reason = Agreement.ALIKE, max(sides), ""
    elif moved.high < 0:
        agreement, reason = Agreement.AGAINST, ""
    small = inside and agreement is Agreement.FOR
    return Contrast(
        label, agreement, p, shown, reason, small, oriented=moved, affirms=affirms, refutes=refutes, leans=leans
    )


def _ratios(estimate: Estimate, *distances: float) -> tuple[float, ...] | None:
    """Half the interval in such distances; ``None`` if it has no end."""
    half = max(estimate.high - estimate.value, estimate.value - estimate.low)
    if math.isinf(half):
        return None
    return tuple(half / distance if distance > 0 else math.inf for distance in distances)


def _within(estimate: Estimate, limit: float) -> tuple[float, ...] | None:
    """The same of what must be excluded on both sides for it to be within a limit of 0."""
    return _ratios(estimate, limit - abs(estimate.value), limit + abs(estimate.value))


def below(
    label: str, estimate: Estimate, limit: float = 0.0, shown: Estimate | None = None, smallest: float = 0.0
) -> Contrast:
    """Whether an estimate is below a limit: as said if its whole interval is; otherwise as `above`."""
    turned = Estimate(-estimate.value, -estimate.high, -estimate.low, estimate.freedom)
    return above(label, turned, -limit, shown or estimate, smallest)


def between(label: str, log_of_ratio: Estimate | None, margin: float, shown: Estimate) -> Contrast:
    """Whether a log ratio is within ``log(1 + margin)`` of 0: as said if its whole interval is."""
    if log_of_ratio is None:
        return Contrast(label, Agreement.OPEN, None, shown, _POSITIVE)
    return near(label, log_of_ratio, 0.0, math.log1p(margin), shown)


def near(label: str, estimate: Estimate, centre: float, limit: float, shown: Estimate | None = None) -> Contrast:
    """Whether an estimate is within a limit of a centre, on either side: as said if its whole interval is."""
    shown, leans = shown or estimate, abs(estimate.value - centre) <= limit
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return Contrast(label, Agreement.OPEN, None, shown, NO_INTERVAL, leans=leans)
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
    affirms, refutes = _within(moved, limit), _ratios(moved, abs(moved.value) - limit)
    if agreement is Agreement.FOR:
        affirms = ()
    reason = _BOTH if agreement is Agreement.OPEN else ""
    return Contrast(label, agreement, p, shown, reason, affirms=affirms, refutes=refutes, leans=leans)


Compared = tuple[Contrast, tuple[Operand, ...]]
Expectation = Callable[[Sequence[Operand], float, Comparison], list[Compared]]
"""Of operands and a limit."""


def contrasts(comparison: Comparison, operands: Sequence[Operand], limit: float) -> list[Contrast]:
    """The contrasts that decide a comparison."""
    compared = EXPECTATIONS[comparison.expect](operands, limit, comparison)
    return [_agreeing(contrast, comparison, of) for contrast, of in compared]


def _agreeing(contrast: Contrast, comparison: Comparison, compared: Sequence[Operand]) -> Contrast:
    """A column that decides for another one must not contradict it."""
    if comparison.decided_by is None or len(compared) < 2 or contrast.agreement is Agreement.OPEN:
        return contrast
    a, b = compared[:2]
    if (a.value.value - b.value.value) * (a.deciding.value - b.deciding.value) < 0:
        reason = f"{a.cell.measure} and {a.decider} say opposite things"
        return replace(contrast, agreement=Agreement.OPEN, p=None, reason=reason, affirms=None, refutes=None)
    return replace(contrast, label=f"{contrast.label} (by {a.decider})")


def _smallest(comparison: Comparison, operand: Operand) -> float:
    """The smallest effect of interest, in the units of a cell."""
    if comparison.smallest_of is None:
        return comparison.smallest
    return comparison.smallest * abs(number_in(operand.row.get(comparison.smallest_of)) or 0.0)


def _second(a: Operand, b: Operand) -> str:
    """The second of two cells: of the same measure it is told by what it is of, of the same thing by its measure."""
    if a.cell.measure == b.cell.measure:
        return b.cell.of or b.cell.label
    return b.cell.measure if a.cell.of == b.cell.of else b.cell.label


def _greater(a: Operand, b: Operand, comparison: Comparison) -> Compared:
    label, apart = f"{a.cell.label} > {_second(a, b)}", difference(a.deciding, b.deciding)
    if comparison.allowed:
        return above(f"{label} - {comparison.allowed:g}", apart, -comparison.allowed), (a, b)
    if comparison.times != 1:
        ratio, most = log_ratio(a.deciding, b.deciding), label.replace(" > ", f" > {comparison.times:g} times ", 1)
        if ratio is None:
            return Contrast(most, Agreement.OPEN, None, apart, _POSITIVE), (a, b)
        return above(most, ratio, math.log(comparison.times), apart), (a, b)
    if comparison.smallest_ratio:
        ratio = log_ratio(a.deciding, b.deciding)
        if ratio is not None and not math.isinf(ratio.low):
            return above(label, ratio, 0.0, apart, math.log1p(comparison.smallest_ratio)), (a, b)
    return above(label, apart, smallest=_smallest(comparison, b)), (a, b)


def _rising(operands: Sequence[Operand], limit: float, comparison: Comparison) -> list[Compared]:
    return [_greater(later, earlier, comparison) for earlier, later in itertools.pairwise(operands)]


def _falling(operands: Sequence[Operand], limit: float, comparison: Comparison) -> list[Compared]:
    return [_greater(earlier, later, comparison) for earlier, later in itertools.pairwise(operands)]


def _lowest(operands: Sequence[Operand], limit: float, comparison: Comparison) -> list[Compared]:
    return [_greater(other, operands[0], comparison) for other in operands[1:]]


def _highest(operands: Sequence[Operand], limit: float, comparison: Comparison) -> list[Compared]:
    return [_greater(operands[0], other, comparison) for other in operands[1:]]


def _above(operands: Sequence[Operand], limit: float, comparison: Comparison) -> list[Compared]:
    return [
        (above(f"{o.cell.label} > {limit:g}", o.deciding, limit, smallest=_smallest(comparison, o)), (o,))
        for o in operands
    ]


def _below(operands: Sequence[Operand], limit: float, comparison: Comparison) -> list[Compared]:
    compared: list[Compared] = []
    for o in operands:
        contrast = below(f"{o.cell.label} < {limit:g}", o.deciding, limit, smallest=_smallest(comparison, o))
        if comparison.p_value and contrast.agreement is not Agreement.FOR:
            contrast = replace(
                contrast, agreement=Agreement.OPEN, p=None, reason=_NOT_SHOWN, affirms=None, refutes=None
            )
        compared.append((contrast, (o,)))
    return compared


def _alike(operands: Sequence[Operand], limit: float, comparison: Comparison) -> list[Compared]:
    first, within = operands[0], comparison.within or 0.0
    compared: list[Compared] = []
    for other in operands[1:]:
        label = f"{other.cell.label} within {100 * within:g}% of {_second(other, first)}"
        ratio = log_ratio(other.deciding, first.deciding)
        apart = difference(other.deciding, first.deciding)
        compared.append((between(label, ratio, within, apart), (other, first)))
    return compared


def _equals(operands: Sequence[Operand], limit: float, comparison: Comparison) -> list[Compared]:
    within = comparison.within or 0.0
    compared: list[Compared] = []
    for o in operands:
        label = f"{o.cell.label} within {100 * within:g}% of {limit:g}"
        compared.append((between(label, log_ratio(o.deciding, point(limit)), within, o.deciding), (o,)))
    return compared


def _sized(operands: Sequence[Operand], limit: float, comparison: Comparison) -> list[Compared]:
    """Nothing is compared but the size with the paper's (`select.differing_sizes`)."""
    return []


def _near(operands: Sequence[Operand], limit: float, comparison: Comparison) -> list[Compared]:
    """A weak association is near its centre on both sides: a strong one of the other sign is not weak."""
    label = f"within {limit:.3g} of {comparison.centre:g}"
    return [(near(f"{o.cell.label} {label}", o.deciding, comparison.centre, limit), (o,)) for o in operands]


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
    "sized": _sized,
}
"""By the word that `Comparison.expect` may be."""
