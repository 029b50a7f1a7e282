"""Verdicts: what a run's tables say of each claim. A pure function of the ledger and the tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from mnist_ddm.claims.contrasts import NO_INTERVAL, Agreement, Contrast, contrasts, growth_to
from mnist_ddm.claims.ledger import Claim, Reading, claim_named, ledger
from mnist_ddm.claims.select import (
    SAID_BY_ROWS,
    Cell,
    MissingCell,
    Stated,
    differing_sizes,
    limit_of,
    operands,
    proper_name,
    stated_beside,
)
from mnist_ddm.stats.corrections import holm
from mnist_ddm.study.results import Results, read_manifest, read_results

LEVEL = 0.05
"""Of the tests, and of Holm's correction over all claims."""


class Verdict(Enum):
    """What can be said of a claim."""

    REPRODUCED = "reproduced"
    DIRECTION = "direction only"
    NOT = "not reproduced"
    EQUIVALENT = "equivalent"
    OPEN = "undecided by the interval"
    CONSTRUCTION = "true by construction"
    ABSENT = "not run"
    NONE = "no verdict"


MEANINGS: Mapping[Verdict, str] = {
    Verdict.REPRODUCED: "every comparison came out as the paper says, with a 95% interval that excludes the opposite; "
    "and where the claim has a size, it agrees with the paper's for the same system",
    Verdict.DIRECTION: "every comparison came out as the paper says, but the size differs, or is below the smallest "
    "effect of interest, or the paper states it for another system only",
    Verdict.NOT: "a comparison came out the other way, with an interval that excludes what the paper says; of several "
    "comparisons one must do so at 5% for all of them together; or some came out as said, and in another there is no "
    "difference that matters",
    Verdict.EQUIVALENT: "what should differ does not by an amount that matters, and nothing came out as said: the "
    "interval lies within the smallest effect of interest on both sides of no difference (two one-sided tests)",
    Verdict.OPEN: "a 95% interval holds what the paper says and its opposite, or there is no interval",
    Verdict.CONSTRUCTION: "it could not come out otherwise",
    Verdict.ABSENT: "it was not measured; the reason stands beside",
    Verdict.NONE: "the scale is too small to say anything of the paper",
}


_REFUTING: Mapping[Verdict, tuple[Agreement, ...]] = {
    Verdict.NOT: (Agreement.AGAINST, Agreement.ALIKE),
    Verdict.EQUIVALENT: (Agreement.ALIKE,),
}
"""Verdicts that one comparison of several is enough for, and what it says then."""
_AFFIRMED = (Verdict.REPRODUCED, Verdict.DIRECTION)


@dataclass(frozen=True)
class ReadingVerdict:
    """What the tables say of one reading.

    Attributes:
        reading: which.
        verdict: of it.
        reason: why, in a sentence; may be empty.
        cells: what was measured.
        stated: what the paper states beside, those of one system together.
        contrasts: the comparisons.
        sizes: the numbers of samples of the rows that were looked at, where they say them.
        level: error rate of the intervals that decide.
    """

    reading: Reading
    verdict: Verdict
    reason: str
    cells: tuple[Cell, ...] = ()
    stated: tuple[Stated, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    sizes: tuple[int, ...] = ()
    level: float = LEVEL

    @property
    def p(self) -> float | None:
        """Of the verdict: all comparisons must come out as said, or one of them the other way."""
        if self.verdict in _REFUTING:
            refuting = [c.p or 0.0 for c in self.contrasts if c.agreement in _REFUTING[self.verdict]]
            return min(1.0, len(self.contrasts) * min(refuting))
        decided = [c.p for c in self.contrasts if c.p is not None]
        return max(decided) if decided and len(decided) == len(self.contrasts) else None

    @property
    def growth(self) -> float | None:
        """How many times the samples would decide it four times of five; ``None`` if that cannot be told.

        Either all comparisons come out as said, or one of them the other way at the level that they share. Infinite if
        neither would whatever the number, as things seem.
        """
        affirms, refutes = ([getattr(c, way) for c in self.contrasts] for way in ("affirms", "refutes"))
        ways = [growth_to(ratios, self.level, len(self.contrasts)) for ratios in refutes if ratios is not None]
        if affirms and None not in affirms:
            ways.append(growth_to([ratio for ratios in affirms for ratio in ratios], self.level))
        least = min(ways, default=None)
        unknown = None in affirms or None in refutes
        return None if least is None or (math.isinf(least) and unknown) else least


@dataclass(frozen=True)
class Judgement:
    """The verdict of a claim.

    Attributes:
        claim: which.
        verdict: that of the deciding reading.
        reason: why, in a sentence; may be empty.
        readings: all of them, the deciding one first.
        samples: the numbers of samples of what measured it, and the seed.
        needed: if it is open, the number of samples that would decide it four times of five, if things are as they
            seem; infinite if none does, ``None`` if that cannot be told.
        trainings_needed: the same of a run of several trainings: how many of them, each with as many samples, would.
        survives: whether the verdict also holds with Holm's correction over all claims; ``None`` if it does not apply.
        sizes: the numbers of samples alone.
    """

    claim: Claim
    verdict: Verdict
    reason: str
    readings: tuple[ReadingVerdict, ...]
    samples: str
    needed: float | None = None
    trainings_needed: float | None = None
    survives: bool | None = None
    sizes: tuple[int, ...] = ()


def judge_all(claims: Sequence[Claim], results: Results, beside: Results | None = None) -> list[Judgement]:
    """The verdict of each claim, corrected for their number.

    Args:
        claims: which.
        results: of the run.
        beside: of a run of another system, for claims about two.
    """
    judgements = [judge(claim, results, beside) for claim in claims]
    tested = [(i, p) for i, j in enumerate(judgements) if (p := _p(j)) is not None]
    for (i, _), holds in zip(tested, holm([p for _, p in tested], LEVEL), strict=True):
        if judgements[i].verdict in (Verdict.REPRODUCED, Verdict.DIRECTION, Verdict.NOT, Verdict.EQUIVALENT):
            judgements[i] = replace(judgements[i], survives=holds)
    return judgements


def judge_run(folder: Path, beside: Path | None = None) -> list[Judgement]:
    """The verdicts of a finished run, of the claims that it was asked for.

    Args:
        folder: of the run.
        beside: that of a run of another system of the paper, for claims about two.

    Raises:
        InputError: if the folder holds no finished run, or a table cannot be read.
    """
    folder = Path(folder)
    claims = [claim_named(name) for name in read_manifest(folder).claims or ledger().claims]
    return judge_all(claims, read_results(folder), None if beside is None else read_results(beside))


def number_tested(judgements: Sequence[Judgement]) -> int:
    """How many claims an interval was held against."""
    return sum(_p(j) is not None for j in judgements)


def _p(judgement: Judgement) -> float | None:
    if judgement.verdict in (Verdict.CONSTRUCTION, Verdict.ABSENT, Verdict.NONE) or not judgement.readings:
        return None
    return judgement.readings[0].p


def judge(claim: Claim, results: Results, beside: Results | None = None) -> Judgement:
    """The verdict of one claim; `judge_all` adds the correction for many."""
    runs = {r.in_paper or r.system: r for r in (results, beside) if r is not None}
    if claim.untestable:
        return Judgement(claim, Verdict.ABSENT, claim.untestable, (), "")
    if claim.only_there and results.in_paper not in claim.stated_for:
        named = " and ".join(map(proper_name, claim.stated_for))
        return Judgement(
            claim, Verdict.ABSENT, f"these are numbers of {named}, which no other system can share", (), ""
        )
    if lacking := [s for s in claim.systems if s not in runs]:
        reason = f"it compares {' with '.join(claim.systems)} and needs a run of {' and of '.join(lacking)} beside"
        return Judgement(claim, Verdict.ABSENT, reason, (), "")
    readings = _deciding_first([_judge_reading(claim, reading, results, runs) for reading in claim.readings])
    first = readings[0]
    sized = [(r, n) for r in runs.values() for n in _sizes(claim, first, r)]
    counted = sorted({_counted(r, n) for r, n in sized})
    samples = ", ".join([*counted, *dict.fromkeys(f"seed {r.seed}" for r in runs.values())]) if counted else ""
    sizes = tuple(n for _, n in sized)
    if first.verdict is not Verdict.ABSENT and not all(r.makes_claims for r in runs.values()):
        reason = f"the scale {results.scale!r} has too few samples for any claim about the paper"
        readings = tuple(replace(r, verdict=Verdict.NONE, reason="") for r in readings)
        return Judgement(claim, Verdict.NONE, reason, readings, samples, sizes=sizes)
    growth = first.growth if first.verdict is Verdict.OPEN else None
    needed = trainings_needed = None
    if growth is not None and sizes:
        trainings = min(r.trainings for r in runs.values())
        if trainings == 1:
            needed = min(sizes) * max(1.0, growth)
        else:  # it may be trainings that are lacking, not samples
            trainings_needed = trainings * max(1.0, growth)
    return Judgement(claim, first.verdict, first.reason, readings, samples, needed, trainings_needed, sizes=sizes)


def _sizes(claim: Claim, deciding: ReadingVerdict, run: Results) -> list[int]:
    """The numbers of samples that a claim rests on: of the rows that were looked at, else of the analyses."""
    unsaid = [a for a in claim.analyses if a in run.samples and not (deciding.sizes and a == SAID_BY_ROWS)]
    return [*deciding.sizes, *(run.samples[a] for a in unsaid)]


def _counted(run: Results, n: int) -> str:
    return f"n = {n}" if run.trainings == 1 else f"{run.trainings} trainings, n = {n} each"


def _deciding_first(readings: Sequence[ReadingVerdict]) -> tuple[ReadingVerdict, ...]:
    """The first reading, unless it is open for want of intervals and one that may stand in for it has them.

    What stands in must not say another thing than the estimates that it stands in for: most samples may have the
    smaller error, and a few the larger mean.
    """
    first = deciding = readings[0]
    standing_in = [r for r in readings if r.reading.stands_in and r.verdict is not Verdict.ABSENT]
    if not _has_intervals(deciding) and deciding.verdict not in _REFUTING:
        measured = standing_in[0] if deciding.verdict is Verdict.ABSENT and standing_in else deciding
        deciding = next(filter(_has_intervals, standing_in), measured)
    rest = tuple(r for r in readings if r is not deciding)
    if deciding is not first and _contradicts(deciding, first):
        why = f"without an interval, {first.reading.name} says another thing than {deciding.reading.name}"
        unknown = tuple(replace(c, affirms=None, refutes=None) for c in deciding.contrasts)  # more samples of what?
        both = tuple(dict.fromkeys((*first.cells, *deciding.cells)))
        deciding = replace(deciding, verdict=Verdict.OPEN, reason=why, contrasts=unknown, cells=both)
    return (deciding, *rest)


def _contradicts(reading: ReadingVerdict, stood_in_for: ReadingVerdict) -> bool:
    """Whether a verdict is not that of the estimates for which it stands in, as far as those can be told."""
    leanings = [c.leans for c in stood_in_for.contrasts]
    if None in leanings or not leanings:
        return False
    return all(leanings) if reading.verdict is Verdict.NOT else reading.verdict in _AFFIRMED and not all(leanings)


def _has_intervals(reading: ReadingVerdict) -> bool:
    return reading.verdict is not Verdict.ABSENT and all(c.reason != NO_INTERVAL for c in reading.contrasts)


def _judge_reading(claim: Claim, reading: Reading, results: Results, runs: Mapping[str, Results]) -> ReadingVerdict:
    cells: list[Cell] = []
    decided: list[Contrast] = []
    sizes: list[str] = []
    measured_by: list[int] = []
    stated = stated_beside(claim, reading, results.in_paper)
    for comparison in reading.comparisons:
        try:
            compared = operands(claim, comparison, results, runs)
            # A limit that stands in a row is that of its row's cells.
            apart = [[o] for o in compared] if comparison.limit_column else [compared]
            for those in apart:
                decided += contrasts(comparison, those, limit_of(claim, comparison, results, those))
        except MissingCell as missing:
            if comparison.optional and decided:
                continue
            return ReadingVerdict(reading, Verdict.ABSENT, str(missing), tuple(cells), tuple(stated))
        cells += [c for c in dict.fromkeys(operand.cell for operand in compared) if c not in cells]
        measured_by += [operand.n for operand in compared if operand.n is not None]
        sizes += differing_sizes(claim, comparison, compared, results.in_paper)
    verdict, reason = _combined(reading, decided, list(dict.fromkeys(sizes)))
    ends = tuple(sorted({min(measured_by), max(measured_by)})) if measured_by else ()
    return ReadingVerdict(
        reading, verdict, reason, tuple(cells), tuple(stated), tuple(decided), sizes=ends, level=results.level
    )


def _combined(reading: Reading, contrasts: Sequence[Contrast], sizes: Sequence[str]) -> tuple[Verdict, str]:
    # One of many comparisons goes the other way by chance sooner than a single one, so they share the level.
    def settled(agreement: Agreement) -> list[str]:
        those = [c for c in contrasts if c.agreement is agreement]
        return [c.label for c in those if reading.construction or len(contrasts) * (c.p or 0.0) <= LEVEL]

    against, alike = settled(Agreement.AGAINST), settled(Agreement.ALIKE)
    if reading.construction:
        if against:
            return Verdict.NOT, f"should be true by construction, and is not: {'; '.join(against)}"
        return Verdict.CONSTRUCTION, reading.construction
    if against:
        return Verdict.NOT, f"the other way: {'; '.join(against)}"
    unsettled = [
        f"{c.label}: {c.agreement.value}, but not at 5% for all {len(contrasts)} comparisons together"
        for c in contrasts
        if c.agreement in (Agreement.AGAINST, Agreement.ALIKE) and c.label not in alike
    ]
    still_open = [c for c in contrasts if c.agreement is Agreement.OPEN]
    for why in dict.fromkeys(c.reason for c in still_open):
        unsettled.append(f"{why}: {'; '.join(c.label for c in still_open if c.reason == why)}")
    if alike and any(c.agreement is Agreement.FOR for c in contrasts):
        held = "; ".join(c.label for c in contrasts if c.agreement is Agreement.FOR)
        return Verdict.NOT, f"no difference that matters: {'; '.join(alike)} (as said: {held})"
    if alike:
        return Verdict.EQUIVALENT, f"no difference that matters: {'; '.join(alike)}"
    if unsettled:
        return Verdict.OPEN, "; ".join(unsettled)
    small = [f"{c.label}: by less than the smallest effect of interest" for c in contrasts if c.small]
    if small or sizes:
        return Verdict.DIRECTION, "; ".join([*small, *sizes])
    return Verdict.REPRODUCED, ""
