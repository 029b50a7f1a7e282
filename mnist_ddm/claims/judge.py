"""Verdicts: what a run's tables say of each claim. A pure function of the ledger and the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from mnist_ddm.claims.contrasts import Agreement, Contrast, contrasts
from mnist_ddm.claims.ledger import Claim, Reading, claim_named, ledger
from mnist_ddm.claims.select import Cell, MissingCell, differing_sizes, limit_of, operands, proper_name, stated_beside
from mnist_ddm.stats.corrections import holm
from mnist_ddm.study.results import Results, read_manifest, read_results

LEVEL = 0.05
"""Of the tests, and of Holm's correction over all claims."""


class Verdict(Enum):
    """What can be said of a claim."""

    REPRODUCED = "reproduced"
    DIRECTION = "direction only"
    NOT = "not reproduced"
    OPEN = "undecided by the interval"
    CONSTRUCTION = "true by construction"
    ABSENT = "not run"
    NONE = "no verdict"


MEANINGS: Mapping[Verdict, str] = {
    Verdict.REPRODUCED: "every comparison came out as the paper says, with a 95% interval that excludes the opposite; "
    "and where the claim has a size, it agrees with the paper's for the same system",
    Verdict.DIRECTION: "every comparison came out as the paper says, but the size differs, or the paper states it for "
    "another system only",
    Verdict.NOT: "a comparison came out the other way, with an interval that excludes what the paper says; of several "
    "comparisons one must do so at 5% for all of them together",
    Verdict.OPEN: "a 95% interval holds what the paper says and its opposite, or there is no interval",
    Verdict.CONSTRUCTION: "it could not come out otherwise",
    Verdict.ABSENT: "it was not measured; the reason stands beside",
    Verdict.NONE: "the scale is too small to say anything of the paper",
}


@dataclass(frozen=True)
class ReadingVerdict:
    """What the tables say of one reading.

    Attributes:
        reading: which.
        verdict: of it.
        reason: why, in a sentence; may be empty.
        cells: what was measured.
        stated: what the paper states beside, for each system of which it does.
        contrasts: the comparisons.
    """

    reading: Reading
    verdict: Verdict
    reason: str
    cells: tuple[Cell, ...] = ()
    stated: tuple[str, ...] = ()
    contrasts: tuple[Contrast, ...] = ()

    @property
    def p(self) -> float | None:
        """Of the verdict: all comparisons must come out as said, or one of them the other way."""
        decided = [c for c in self.contrasts if c.p is not None]
        if not decided or len(decided) < len(self.contrasts):
            return None
        if self.verdict is Verdict.NOT:
            return min(1.0, len(decided) * min((c.p or 0.0) for c in decided if c.agreement is Agreement.AGAINST))
        return max(c.p or 0.0 for c in decided)


@dataclass(frozen=True)
class Judgement:
    """The verdict of a claim.

    Attributes:
        claim: which.
        verdict: that of the first reading.
        reason: why, in a sentence; may be empty.
        readings: all of them.
        samples: the numbers of samples of what measured it, and the seed.
        survives: whether the verdict also holds with Holm's correction over all claims; ``None`` if it does not apply.
    """

    claim: Claim
    verdict: Verdict
    reason: str
    readings: tuple[ReadingVerdict, ...]
    samples: str
    survives: bool | None = None


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
        if judgements[i].verdict in (Verdict.REPRODUCED, Verdict.DIRECTION, Verdict.NOT):
            judgements[i] = replace(judgements[i], survives=holds)
    return judgements


def judge_run(folder: Path) -> list[Judgement]:
    """The verdicts of a finished run, of the claims that it was asked for.

    Raises:
        InputError: if the folder holds no finished run, or a table cannot be read.
    """
    claims = [claim_named(name) for name in read_manifest(folder).claims or ledger().claims]
    return judge_all(claims, read_results(folder))


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
    counted = {f"n = {r.samples[a]}" for r in runs.values() for a in claim.analyses if a in r.samples}
    seeds = ", ".join(dict.fromkeys(f"seed {r.seed}" for r in runs.values()))
    samples = ", ".join([*sorted(counted), seeds]) if counted else ""
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
    readings = tuple(_judge_reading(claim, reading, results, runs) for reading in claim.readings)
    first = readings[0]
    if first.verdict is not Verdict.ABSENT and not all(r.makes_claims for r in runs.values()):
        reason = f"the scale {results.scale!r} has too few samples for any claim about the paper"
        readings = tuple(replace(r, verdict=Verdict.NONE, reason="") for r in readings)
        return Judgement(claim, Verdict.NONE, reason, readings, samples)
    return Judgement(claim, first.verdict, first.reason, readings, samples)


def _judge_reading(claim: Claim, reading: Reading, results: Results, runs: Mapping[str, Results]) -> ReadingVerdict:
    cells: list[Cell] = []
    decided: list[Contrast] = []
    sizes: list[str] = []
    stated = stated_beside(claim, reading, results.in_paper)
    name_columns = len({comparison.columns for comparison in reading.comparisons}) > 1
    for comparison in reading.comparisons:
        try:
            compared = operands(claim, comparison, results, runs, name_columns=name_columns)
            decided += contrasts(comparison, compared, limit_of(claim, comparison, results, compared))
        except MissingCell as missing:
            if comparison.optional and decided:
                continue
            return ReadingVerdict(reading, Verdict.ABSENT, str(missing), tuple(cells), tuple(stated))
        cells += [c for c in dict.fromkeys(operand.cell for operand in compared) if c not in cells]
        sizes += differing_sizes(claim, comparison, compared, results.in_paper)
    verdict, reason = _combined(reading, decided, list(dict.fromkeys(sizes)))
    return ReadingVerdict(reading, verdict, reason, tuple(cells), tuple(stated), tuple(decided))


def _combined(reading: Reading, contrasts: Sequence[Contrast], sizes: Sequence[str]) -> tuple[Verdict, str]:
    # One of many comparisons goes the other way by chance sooner than a single one, so they share the level.
    refuting = [c for c in contrasts if c.agreement is Agreement.AGAINST]
    against = [c.label for c in refuting if reading.construction or len(contrasts) * (c.p or 0.0) <= LEVEL]
    unsettled = [f"{c.label}: the other way, but of {len(contrasts)}" for c in refuting if c.label not in against]
    unsettled += [f"{c.label}: {c.reason}" for c in contrasts if c.agreement is Agreement.OPEN]
    if reading.construction:
        if against:
            return Verdict.NOT, f"should be true by construction, and is not: {'; '.join(against)}"
        return Verdict.CONSTRUCTION, reading.construction
    if against:
        return Verdict.NOT, f"the other way: {'; '.join(against)}"
    if unsettled:
        return Verdict.OPEN, "; ".join(unsettled)
    if sizes:
        return Verdict.DIRECTION, "; ".join(sizes)
    return Verdict.REPRODUCED, ""
