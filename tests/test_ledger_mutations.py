"""No comparison of the ledger that cannot fail: each, turned round or moved, changes what is said of a known truth."""

from dataclasses import replace

import pytest

from mnist_ddm.analyses.paper import stated_value
from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.claims.judge import Verdict, judge
from mnist_ddm.claims.ledger import Comparison, Reading, ledger
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.study.results import Results
from mnist_ddm.tables.table import Table

SCHEMAS = {schema.name: schema for analysis in ANALYSES.values() for schema in analysis.tables}
AS_SAID = (Verdict.REPRODUCED, Verdict.DIRECTION)
TURNED = {"rising": "falling", "falling": "rising", "lowest": "highest", "highest": "lowest"}
TURNED |= {"above": "below", "below": "above"}
READINGS = [
    (claim, reading)
    for claim in ledger().claims.values()
    for reading in claim.readings
    if not reading.construction and not any(c.systems for c in reading.comparisons)
]
"""Claims of two systems have tests of their own."""


def _limit(claim, comparison):
    if comparison.limit_column:
        return 0.3
    if isinstance(comparison.limit, str):
        return stated_value(claim.analyses[0], "paris", comparison.limit)[0]
    return comparison.limit or 0.0


def _values(claim, comparison):
    """Numbers that are clearly as the paper says, one for each cell."""
    cells, limit = len(comparison.rows) * len(comparison.columns), _limit(claim, comparison)
    steps = [200.0 * 3**i for i in range(cells)]
    match comparison.expect:
        case "rising":
            return steps
        case "falling":
            return steps[::-1]
        case "lowest":
            return [200.0, *[20000.0] * (cells - 1)]
        case "highest":
            return [20000.0, *[200.0] * (cells - 1)]
        case "above":
            return [limit + 90 + abs(limit)] * cells
        case "below":
            return [limit - 90 - abs(limit) if not comparison.exact else limit / 10] * cells
        case "alike":
            return [50.0] * cells
        case "equals":
            return [limit] * cells
        case "near":
            return [comparison.centre] * cells


def _tables(claim, reading):
    """Tables in which everything that a reading compares is as the paper says, with sharp intervals."""
    rows = {}
    for comparison in reading.comparisons:
        numbers = iter(_values(claim, comparison))
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
                sharp = Estimate(number, number - 1e-4 * abs(number), number + 1e-4 * abs(number))
                place[column] = number if comparison.exact else sharp
                if comparison.decided_by:
                    place[comparison.decided_by] = place[column]
            if comparison.limit_column:
                place[comparison.limit_column] = _limit(claim, comparison)
            if comparison.smallest_of:
                place[comparison.smallest_of] = 100.0
    tables = {}
    for (name, _), row in rows.items():
        whole = {c.key: None for c in SCHEMAS[name].columns if not c.optional} | row
        tables.setdefault(name, []).append(whole)
    return {name: Table(SCHEMAS[name], "as the paper says", tuple(found)) for name, found in tables.items()}


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
    """The comparison turned round, and with its limit or margin moved beyond the truth."""
    if comparison.expect in TURNED:
        yield replace(comparison, expect=TURNED[comparison.expect])
    if comparison.expect in ("above", "below") and not comparison.limit_column and not comparison.exact:
        beyond = 10 * (200 + abs(_limit(claim, comparison)))
        yield replace(comparison, limit=beyond if comparison.expect == "above" else -beyond)
    if comparison.expect == "equals":
        yield replace(comparison, limit=3.0 * _limit(claim, comparison))
    if comparison.expect == "near":
        yield replace(comparison, centre=comparison.centre + 10 * _limit(claim, comparison))


@pytest.mark.parametrize(("claim", "reading"), READINGS, ids=lambda x: getattr(x, "id", getattr(x, "name", ""))[:60])
def test_every_comparison_comes_out_on_tables_that_are_as_said_and_fails_if_it_is_changed(claim, reading):
    tables = _tables(claim, reading)
    assert _judged(claim, reading, reading.comparisons, tables) in AS_SAID
    for i, comparison in enumerate(reading.comparisons):
        for mutant in _mutants(claim, comparison):
            changed = [*reading.comparisons[:i], mutant, *reading.comparisons[i + 1 :]]
            assert _judged(claim, reading, changed, tables) not in AS_SAID, mutant


@pytest.mark.parametrize(("claim", "reading"), READINGS, ids=lambda x: getattr(x, "id", getattr(x, "name", ""))[:60])
def test_likeness_fails_where_things_differ(claim, reading):
    for i, comparison in enumerate(reading.comparisons):
        if comparison.expect != "alike":
            continue
        other = replace(comparison, expect="rising", within=None)
        tables = _tables(claim, replace(reading, comparisons=(other,)))
        assert _judged(claim, reading, [reading.comparisons[i]], tables) is Verdict.NOT


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
