"""What the paper states beside a comparison, and whether a measured size agrees with it."""

import re
from collections.abc import Sequence

from mnist_ddm.analyses.analysis import Value, stated_value
from mnist_ddm.claims.contrasts import difference
from mnist_ddm.claims.ledger import Claim, Comparison, Reading
from mnist_ddm.claims.select import Operand, key_of
from mnist_ddm.stats.intervals import Estimate

_ROW = "{row}"
_NAMES = {"paris": "Paris", "mnist": "MNIST"}


def proper_name(system: str) -> str:
    """A system as the paper writes it."""
    return _NAMES.get(system, system)


def stated_beside(claim: Claim, reading: Reading, system: str) -> list[str]:
    """The paper's values that a reading names, a text for each system that they are of."""
    found: dict[str, list[str]] = {}
    for comparison in reading.comparisons:
        for path in (*comparison.stated, *([comparison.size] if comparison.size else [])):
            for selector in comparison.rows if _ROW in path else ({},):
                named = path.replace(_ROW, key_of(selector))
                value, of = stated_value(claim.analyses[0], system, named)
                if value is None:
                    continue
                shown = f"{named.replace(':', ' ')} {value if isinstance(value, str) else f'{value:g}'}"
                if shown not in found.setdefault(of, []):
                    found[of].append(shown)
    return [f"{proper_name(of)}: {'; '.join(texts)}" for of, texts in found.items()]


def differing_sizes(claim: Claim, comparison: Comparison, operands: Sequence[Operand], system: str) -> list[str]:
    """Why the sizes are not the paper's; empty if they are, or if the claim has none.

    A size agrees if the interval of its difference from the paper's value holds 0. The paper's value has the interval
    of its standard deviation and n where both are stated, else that of its rounding.
    """
    found: list[str] = []
    for operand in operands if comparison.size else ():
        path = (comparison.size or "").replace(_ROW, operand.key)
        value, of = stated_value(claim.analyses[0], system, path)
        paper = _estimate(claim.analyses[0], system, path, value)
        if paper is None:
            continue
        if of != system:
            return [f"the paper states the size for {proper_name(of)} alone"]
        gap = difference(operand.value, paper)
        if not gap.low <= 0 <= gap.high:
            found.append(f"the size of {operand.cell.label} is not the paper's {value}")
    return found


def _estimate(analysis: str, system: str, path: str, value: Value) -> Estimate | None:
    found = re.fullmatch(r"([-+.\d]+)(?: sd ([.\d]+))?", str(value))
    if not found:
        return None
    mean, spread = float(found[1]), found[2]
    beside = stated_value(analysis, system, f"{path} sd")[0]
    if spread is None and isinstance(beside, int | float):
        spread = str(beside)
    n = stated_value(analysis, system, "n")[0]
    if spread is not None and isinstance(n, int):
        half = 1.96 * float(spread) / n**0.5
    else:
        half = 0.5 * 10.0 ** -len(found[1].partition(".")[2])
    return Estimate(mean, mean - half, mean + half)
