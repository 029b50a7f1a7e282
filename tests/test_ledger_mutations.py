"""No comparison of the ledger that cannot fail: each, turned round or moved, changes what is said of a known truth."""

import math
from dataclasses import replace

import pytest

from mnist_ddm.analyses.paper import stated_value
from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.claims.judge import Verdict, judge
from mnist_ddm.claims.ledger import ROW, Comparison, Reading, ledger
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.study.results import Results
from mnist_ddm.tables.table import Table

SCHEMAS = {schema.name: schema for analysis in ANALYSES.values() for schema in analysis.tables}
_BASE, _OTHER = 1000.0, 100.0
"""Of cells that are compared with each other, and of columns that a smallest effect is a share of."""
AS_SAID = (Verdict.REPRODUCED, Verdict.DIRECTION)
TURNED = {"rising": "falling", "falling": "rising", "lowest": "highest", "highest": "lowest"}
TURNED |= {"above": "below", "below": "above"}
READINGS = [
    (claim, reading)
    for claim in ledger().claims.values()
    for reading in claim.readings
    if not reading.construction and not any(c.systems for c in reading.comparisons)
]
OF_TWO = [claim for claim in ledger().claims.values() if claim.systems]


def _limit(claim, comparison):
    if comparison.limit_column:
        return 0.3
    if isinstance(comparison.limit, str):
        return stated_value(claim.analyses[0], "paris", comparison.limit)[0]
    return comparison.limit or 0.0


def _effect(comparison):
    """The smallest effect of interest on the scale of the comparison: a difference, or the logarithm of a ratio."""
    return math.log1p(comparison.smallest_ratio) or comparison.smallest * (_OTHER if comparison.smallest_of else 1.0)


def _inside(claim, comparison):
    """How far from the border a cell is that is as the paper says, and just so."""
    border = abs(_limit(claim, comparison)) or _effect(comparison) or 1.0
    return 0.01 * min(border, _effect(comparison) or border)


def _values(claim, comparison, beyond):
    """Numbers that are all so far beyond the border of what the paper says; below 0 they are not as it says."""
    cells, limit = len(comparison.rows) * len(comparison.columns), _limit(claim, comparison)
    by_ratio = comparison.smallest_ratio or comparison.times != 1
    step = beyond - comparison.allowed + math.log(comparison.times)

    def after(value, steps):
        return value * math.exp(steps * step) if by_ratio else value + steps * step

    match comparison.expect:
        case "rising":
            return [after(_BASE, i) for i in range(cells)]
        case "falling":
            return [after(_BASE, -i) for i in range(cells)]
        case "lowest":
            return [_BASE, *[after(_BASE, 1)] * (cells - 1)]
        case "highest":
            return [_BASE, *[after(_BASE, -1)] * (cells - 1)]
        case "above":
            return [limit + beyond] * cells
        case "below":
            return [limit - beyond] * cells
        case "alike":
            return [_BASE, *[_BASE * math.exp(math.log1p(comparison.within) - beyond)] * (cells - 1)]
        case "equals":
            return [limit * math.exp(math.log1p(comparison.within) - beyond)] * cells
        case "near":
            return [comparison.centre + limit - beyond] * cells
        case "sized":  # nothing is compared
            return [1.0 + i for i in range(cells)]


def _tables(claim, reading, beyond=None):
    """Tables in which everything that a reading compares is as the paper says, but just so, with sharp intervals.

    With ``beyond`` it is so far beyond the border.
    """
    rows = {}
    for comparison in reading.comparisons:
        inside = _inside(claim, comparison)
        if comparison.expect in ("alike", "equals"):
            inside = 0.01 * math.log1p(comparison.within)
        numbers = iter(_values(claim, comparison, inside if beyond is None else beyond))
        schema = SCHEMAS[comparison.table]
        for selector in comparison.rows:
            chosen = {key.key: "" for key in schema.keys} | {
                key: float(value) if _is_number(value) else value for key, value in selector.items()
            }
            place = rows.setdefault((comparison.table, tuple(sorted(chosen.items(), key=str))), dict(chosen))
            for column in comparison.columns:
                number = next(numbers)
                if column in place:
                    continue
                sharp = Estimate(number, number - 1e-2 * inside, number + 1e-2 * inside)
                place[column] = number if comparison.exact else sharp
                if comparison.decided_by:
                    place[comparison.decided_by] = place[column]
            if comparison.limit_column:
                place[comparison.limit_column] = _limit(claim, comparison)
            if comparison.smallest_of:
                place[comparison.smallest_of] = _OTHER
    tables = {}
    for (name, _), row in rows.items():
        whole = {c.key: None for c in SCHEMAS[name].columns if not c.optional} | row
        tables.setdefault(name, []).append(whole)
    return {name: Table(SCHEMAS[name], "as the paper says", tuple(found)) for name, found in tables.items()}


def _compares(comparison):
    """One that only asks for the paper's size has a test of its own."""
    return comparison.expect != "sized"


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _judged(claim, reading, comparisons, tables):
    alone = replace(claim, readings=(Reading(reading.name, tuple(comparisons)),), only_there=False)
    return judge(alone, Results(system="paris", tables=tables, in_paper="paris")).verdict


def _mutants(claim, comparison: Comparison):
    """The comparison turned round, with its limit moved, and with each of its margins gone, halved and doubled."""
    limit = _limit(claim, comparison)
    if comparison.expect in TURNED:
        yield replace(comparison, expect=TURNED[comparison.expect])
    if comparison.limit is not None:
        for moved in {0.0, 0.5 * limit, 1.5 * limit, limit + 1, limit - 1} - {limit}:
            if comparison.expect in ("above", "below") or moved > 0:
                yield replace(comparison, limit=moved)
    for name, nothing in (("smallest", 0.0), ("smallest_ratio", 0.0), ("allowed", 0.0), ("times", 1.0)):
        if (value := getattr(comparison, name)) != nothing:
            yield from (replace(comparison, **{name: other}) for other in (nothing, 0.5 * value, 2 * value))
    if comparison.within:
        yield from (replace(comparison, within=factor * comparison.within) for factor in (0.5, 2, 1000))
    if comparison.expect == "near":
        yield replace(comparison, centre=comparison.centre + limit)


def _said(claim, reading, original, comparison):
    """What a comparison makes of truths around the borders of the original: a little inside, and outside."""
    inside = _inside(claim, original)
    places = [inside, -inside]
    if original.expect in ("alike", "equals"):
        inside = 0.01 * math.log1p(original.within)
        places = [inside, -inside]
    if effect := _effect(original):
        places += [-0.4 * effect, -0.8 * effect, -1.2 * effect, 0.8 * effect, 1.2 * effect]
    alone = replace(original, optional=False)
    return [
        _judged(claim, reading, [comparison], _tables(claim, replace(reading, comparisons=(alone,)), place))
        for place in places
    ]


@pytest.mark.parametrize(("claim", "reading"), READINGS, ids=lambda x: getattr(x, "id", getattr(x, "name", ""))[:60])
def test_every_comparison_comes_out_on_tables_that_are_as_said_and_not_on_others(claim, reading):
    assert _judged(claim, reading, reading.comparisons, _tables(claim, reading)) in AS_SAID
    for comparison in filter(_compares, reading.comparisons):
        as_said, not_so, *_ = _said(claim, reading, comparison, comparison)
        assert as_said in AS_SAID
        assert not_so not in AS_SAID


@pytest.mark.parametrize(("claim", "reading"), READINGS, ids=lambda x: getattr(x, "id", getattr(x, "name", ""))[:60])
def test_no_comparison_says_the_same_when_it_is_changed(claim, reading):
    """Turned round, with a limit moved by 1 or by half, or a margin gone, halved or doubled."""
    for comparison in filter(_compares, reading.comparisons):
        said = _said(claim, reading, comparison, comparison)
        for mutant in _mutants(claim, comparison):
            assert _said(claim, reading, comparison, mutant) != said, mutant


@pytest.mark.parametrize(("claim", "reading"), READINGS, ids=lambda x: getattr(x, "id", getattr(x, "name", ""))[:60])
def test_every_number_says_what_it_is(claim, reading):
    """Of which measure and of what: no two numbers of a reading have one name, such as the FIDs of two pairs."""
    alone = replace(claim, readings=(reading,), only_there=False)
    results = Results(system="paris", tables=_tables(claim, reading), in_paper="paris")
    (judged,) = judge(alone, results).readings
    columns = {c.heading for schema in SCHEMAS.values() for c in schema.columns}
    labels = [cell.label for cell in judged.cells]
    assert len(set(labels)) == len(labels)
    assert len({c.label for c in judged.contrasts}) == len(judged.contrasts)
    assert all(cell.measure in columns for cell in judged.cells)
    selected = [row for c in reading.comparisons for row in c.rows if any(key in c.rows[0] for key in row)]
    assert all(cell.of for cell in judged.cells) or not any(selected)


def test_a_pair_is_told_by_both_of_its_routings():
    claim = ledger().claims["table-3-monolith-between"]
    reading = claim.readings[0]
    results = Results(system="paris", tables=_tables(claim, reading), in_paper="paris")
    cells = judge(replace(claim, readings=(reading,)), results).readings[0].cells
    assert [cell.of for cell in cells] == ["top1, against monolith", "top2, against monolith"]


@pytest.mark.parametrize("claim", OF_TWO, ids=lambda claim: claim.id)
def test_a_claim_of_two_systems_is_what_their_runs_say(claim):
    def run(system, value):
        rows = {}
        for comparison in claim.readings[0].comparisons:
            (selector,) = comparison.rows
            near = Estimate(value, value - 1e-3, value + 1e-3)
            whole = {c.key: None for c in SCHEMAS[comparison.table].columns if not c.optional}
            rows.setdefault(comparison.table, []).append({**whole, **selector, comparison.columns[0]: near})
        tables = {name: Table(SCHEMAS[name], "a table", tuple(found)) for name, found in rows.items()}
        return Results(system=system, tables=tables, in_paper=system)

    effect = max(map(_effect, claim.readings[0].comparisons))
    apart = {
        Verdict.REPRODUCED: 2 * effect,
        Verdict.DIRECTION: 0.5 * effect,
        Verdict.EQUIVALENT: -0.2 * effect,
        Verdict.NOT: -2 * effect,
    }
    for verdict, difference in apart.items():
        runs = run("mnist", 10 + difference), run("paris", 10.0)
        assert judge(claim, *runs).verdict is verdict
        assert judge(claim, *reversed(runs)).verdict is verdict
    assert judge(claim, run("mnist", 1.0)).verdict is Verdict.ABSENT
    assert "needs a run of paris" in judge(claim, run("mnist", 1.0)).reason


SIZED = [(c, r, x) for c, r in READINGS for x in r.comparisons if x.expect == "sized"]


@pytest.mark.parametrize(("claim", "reading", "comparison"), SIZED, ids=lambda x: getattr(x, "id", ""))
def test_a_size_alone_is_met_by_the_papers_own_number_and_by_no_other(claim, reading, comparison):
    for factor, wanted in ((1.0, Verdict.REPRODUCED), (1.5, Verdict.DIRECTION)):
        tables = _tables(claim, reading)
        for row in tables[comparison.table].rows:
            path = comparison.size.replace(ROW, str(row["routing"]))
            number = factor * float(str(stated_value(claim.analyses[0], "paris", path)[0]).split()[0])
            row |= {comparison.columns[0]: Estimate(number, number - 1e-6, number + 1e-6)}
        assert _judged(claim, reading, [comparison], tables) is wanted


def test_there_are_sizes_that_stand_alone():
    assert {claim.id for claim, _, _ in SIZED} == {"table-1-rank", "table-1-match"}


def test_there_are_claims_of_two_systems():
    assert {"mnist-correlates-more", "mnist-larger-gap"} <= {claim.id for claim in OF_TWO}
