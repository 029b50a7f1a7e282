"""Verdicts as a pure function of tables: one synthetic table for every kind of verdict."""

import csv
import io
import math
from dataclasses import replace

import pytest

from mnist_ddm.analyses.paper import SYSTEMS, in_words
from mnist_ddm.claims.judge import MEANINGS, Judgement, ReadingVerdict, Verdict, judge, judge_all, number_tested
from mnist_ddm.claims.ledger import Claim, Comparison, Reading, claim_named, ledger
from mnist_ddm.claims.select import Cell, Stated
from mnist_ddm.claims.word import (
    counts_line,
    full_table,
    holm_note,
    markdown,
    measured_text,
    needed_text,
    stated_text,
    verdict_text,
)
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.study.results import Results
from mnist_ddm.tables.files import to_csv
from mnist_ddm.tables.table import Column, Schema, Table

NAN = float("nan")


def results(rows, name="toy", **more):
    keys = ("routing", "quantity", "t")
    columns = tuple(Column(key, key, "key" if key in keys else "measure", optional=True) for key in rows[0])
    table = Table(Schema(name, columns), "a table", tuple(rows))
    given = {"system": "mnist", "samples": {"expert-deviation": 100}} | more
    return Results(
        **({"in_paper": given["system"] if given["system"] in SYSTEMS else ""} | given), tables={name: table}
    )


def claim(*comparisons, readings=None, **more):
    readings = readings or (Reading("only", tuple(comparisons)),)
    defaults = {"stated_for": ("mnist",), "analyses": ("expert-deviation",)}
    return Claim("toy", "Table 0", "It is so.", **(defaults | more), readings=tuple(readings))


def compare(expect, *names, **more):
    rows = tuple({"routing": name} for name in names)
    return Comparison(expect, "toy", ("value",), rows, **more)


LOW, MIDDLE, HIGH = Estimate(1.0, 0.9, 1.1), Estimate(2.0, 1.8, 2.2), Estimate(3.0, 2.9, 3.1)
WIDE, BARE = Estimate(2.0, 0.0, 4.0), 2.0
ROWS = [
    {"routing": "low", "value": LOW, "sharp": LOW, "p": 1e-9},
    {"routing": "middle", "value": MIDDLE, "sharp": HIGH, "p": "< 1e-300"},
    {"routing": "high", "value": HIGH, "sharp": MIDDLE, "p": 0.2},
    {"routing": "wide", "value": WIDE, "sharp": WIDE, "p": None},
    {"routing": "bare", "value": BARE, "sharp": MIDDLE, "p": None},
    {"routing": "none", "value": None, "sharp": None, "p": None},
]


def verdict(*comparisons, **more):
    return judge(claim(*comparisons, **more), results(ROWS))


@pytest.mark.parametrize(
    ("expect", "names", "expected"),
    [
        ("rising", ("low", "middle", "high"), Verdict.REPRODUCED),
        ("falling", ("low", "middle", "high"), Verdict.NOT),
        ("falling", ("high", "low"), Verdict.REPRODUCED),
        ("rising", ("low", "wide"), Verdict.OPEN),
        ("lowest", ("low", "middle", "high"), Verdict.REPRODUCED),
        ("lowest", ("middle", "low", "high"), Verdict.NOT),
        ("highest", ("high", "wide"), Verdict.OPEN),
        ("highest", ("high", "middle"), Verdict.REPRODUCED),
        ("rising", ("low", "bare"), Verdict.OPEN),
    ],
)
def test_orders(expect, names, expected):
    found = verdict(compare(expect, *names))
    assert found.verdict is expected
    assert bool(found.reason) == (expected is not Verdict.REPRODUCED)


def test_limits_and_likeness():
    assert verdict(compare("above", "high", limit=2.5)).verdict is Verdict.REPRODUCED
    assert verdict(compare("above", "high", limit=4)).verdict is Verdict.NOT
    assert verdict(compare("below", "high", "wide", limit=3.5)).verdict is Verdict.OPEN
    assert verdict(compare("alike", "low", "high", within=0.1)).verdict is Verdict.NOT
    assert verdict(compare("equals", "high", limit=3, within=0.1)).verdict is Verdict.REPRODUCED
    assert verdict(compare("equals", "wide", limit=2, within=0.1)).verdict is Verdict.OPEN


def test_one_comparison_the_other_way_decides_whatever_the_others_say():
    mixed = verdict(
        compare("rising", "low", "high"), compare("rising", "low", "wide"), compare("rising", "high", "low")
    )
    assert mixed.verdict is Verdict.NOT
    assert "low > high" in mixed.reason


def test_a_value_without_an_interval_cannot_decide():
    found = verdict(compare("above", "bare", limit=0))
    assert found.verdict is Verdict.OPEN
    assert "no interval" in found.reason


def test_a_p_value_decides_by_itself_even_where_it_is_too_small_for_a_float():
    def significant(name):
        return verdict(Comparison("below", "toy", ("p",), ({"routing": name},), limit=0.001, exact=True)).verdict

    assert significant("low") is Verdict.REPRODUCED
    assert significant("middle") is Verdict.REPRODUCED
    assert significant("high") is Verdict.NOT


def test_a_p_value_above_its_limit_is_no_evidence_against():
    """Too few samples have one as well: what refutes is a difference of the other sign."""

    def significant(name):
        row = ({"routing": name},)
        return verdict(Comparison("below", "toy", ("p",), row, limit=0.001, exact=True, p_value=True))

    assert significant("low").verdict is Verdict.REPRODUCED
    assert significant("high").verdict is Verdict.OPEN
    assert significant("high").reason == "so many samples do not show it: p, high < 0.001"
    assert number_tested([significant("high")]) == 0
    compared = [c for r in claim_named("table-2-significance").readings for c in r.comparisons]
    assert [c.p_value for c in compared if c.exact] == [True] * 6


def test_what_is_no_better_may_be_as_good():
    def no_better(*names, allowed):
        return verdict(compare("highest", *names, allowed=allowed)).verdict

    assert no_better("high", "low", allowed=0.5) is Verdict.REPRODUCED
    assert no_better("low", "high", allowed=0.5) is Verdict.NOT
    assert no_better("low", "low", allowed=0.5) is Verdict.REPRODUCED
    assert no_better("low", "low", allowed=0.1) is Verdict.OPEN
    assert claim_named("table-12-combination").readings[0].comparisons[0].allowed == 0.025


def test_another_column_can_decide_but_not_contradict():
    assert verdict(compare("rising", "low", "bare", decided_by="sharp")).verdict is Verdict.REPRODUCED
    found = verdict(compare("rising", "middle", "high", decided_by="sharp"))
    assert found.verdict is Verdict.OPEN
    assert "opposite" in found.reason


def test_a_size_of_the_paper_has_the_interval_of_its_spread():
    """Its mean rank of 1.54 sd 0.28 of 500 samples is no closer known than 0.025."""

    def of(low, value, high):
        rows = [{"routing": "top1", "value": Estimate(value, low, high)}]
        sized = Comparison("above", "toy", ("value",), ({"routing": "top1"},), limit=0, size="{row}:rank")
        ranks = claim(sized, analyses=("cluster-distance",), stated_for=("paris",))
        return judge(ranks, results(rows, system="paris")).verdict

    assert of(1.555, 1.56, 1.565) is Verdict.REPRODUCED
    assert of(1.565, 1.57, 1.575) is Verdict.DIRECTION


def test_what_is_said_not_to_be_has_no_size():
    assert all(c.size is None for r in claim_named("router-term-uncorrelated").readings for c in r.comparisons)


def test_sizes_count_only_where_the_paper_states_them_for_the_same_system():
    def of(system, value):
        rows = [{"quantity": "reduction (%)", "value": value}]
        comparison = Comparison(
            "above", "toy", ("value",), ({"quantity": "reduction (%)"},), limit=0, size="reduction_percent"
        )
        return judge(claim(comparison), results(rows, system=system))

    assert of("mnist", Estimate(43.2, 42.0, 44.0)).verdict is Verdict.REPRODUCED
    different = of("mnist", Estimate(57.0, 56.4, 57.5))
    assert different.verdict is Verdict.DIRECTION
    assert "43" in different.reason
    assert of("gaussian", Estimate(29.0, 28.0, 30.0)).verdict is Verdict.DIRECTION
    assert "MNIST alone" in of("gaussian", Estimate(29.0, 28.0, 30.0)).reason
    assert of("mnist", Estimate(-5.0, -6.0, -4.0)).verdict is Verdict.NOT


def test_what_is_true_by_construction_is_still_checked():
    constructed = Reading("by hand", (compare("rising", "low", "high"),), construction="it must")
    assert judge(claim(readings=(constructed,)), results(ROWS)).verdict is Verdict.CONSTRUCTION
    broken = Reading("by hand", (compare("falling", "low", "high"),), construction="it must")
    found = judge(claim(readings=(broken,)), results(ROWS))
    assert found.verdict is Verdict.NOT
    assert "should be true by construction" in found.reason


def test_what_was_not_measured_is_not_run_and_says_why():
    assert "no row with routing = elsewhere for mnist" in verdict(compare("rising", "low", "elsewhere")).reason
    assert verdict(compare("rising", "low", "none")).reason == "there is no number for: value, none"
    nowhere = Comparison("above", "toy", ("value",), ({"routing": "none"},), limit=0, each=True)
    assert verdict(nowhere).reason == "the table 'toy' gives no value where routing = none"
    no_table = judge(claim(Comparison("above", "other", ("value",), limit=0)), results(ROWS))
    assert no_table.verdict is Verdict.ABSENT
    absent = results(ROWS, absent={"expert-deviation": "needs at least 3 experts"})
    assert "3 experts" in judge(claim(Comparison("above", "other", ("value",), limit=0)), absent).reason
    assert judge(claim(readings=(), untestable="no bound"), results(ROWS)).reason == "no bound"
    assert "no column 'reference'" in verdict(Comparison("above", "toy", ("reference",), limit=0)).reason
    only_paris = claim(compare("rising", "low", "high"), stated_for=("paris",), only_there=True)
    assert judge(only_paris, results(ROWS)).verdict is Verdict.ABSENT


def test_a_part_that_a_system_lacks_can_be_optional():
    needed, optional = compare("rising", "low", "high"), compare("rising", "low", "monolith", optional=True)
    assert verdict(needed, optional).verdict is Verdict.REPRODUCED
    assert verdict(optional).verdict is Verdict.ABSENT


def test_the_first_reading_decides_and_the_others_stand_beside():
    both = (
        Reading("the table", (compare("rising", "low", "high"),)),
        Reading("the text", (compare("rising", "high", "low"),)),
    )
    found = judge(claim(readings=both), results(ROWS))
    assert found.verdict is Verdict.REPRODUCED
    assert [r.verdict for r in found.readings] == [Verdict.REPRODUCED, Verdict.NOT]


def test_reasons_are_said_once():
    found = verdict(
        compare("rising", "low", "wide"), compare("rising", "wide", "high"), compare("rising", "low", "bare")
    )
    assert found.reason == (
        "the interval holds both outcomes: value, wide > low; value, high > wide; "
        "no interval is computed: value, bare > low"
    )


def test_each_measure_is_named_once():
    reading = ReadingVerdict(
        Reading("means", ()),
        Verdict.OPEN,
        "",
        (Cell("FID", "top1", 2.0), Cell("FID", "full", 1.0), Cell("precision (%)", "full against top2", 50.0)),
    )
    assert measured_text(reading) == "FID: top1 2; full 1; precision (%): full against top2 50"
    assert measured_text(reading, 2) == "FID: top1 2; precision (%): ... (3 cells); full against top2 50"


def test_more_samples_than_anybody_draws_are_not_counted():
    one = claim(compare("rising", "low", "high"))
    said = [needed_text(Judgement(one, Verdict.OPEN, "", (), "", n)) for n in (None, 158.0, 1.4e21, math.inf)]
    assert said == ["", " (n = 160 would do)", " (it would take more than 1,000,000 samples)", " (no n decides it)"]
    (row,) = full_table([Judgement(one, Verdict.OPEN, "", (), "", 1.4e21)]).rows
    assert row["n_needed"] is None


def test_what_the_paper_states_is_told_in_words():
    """No path of a file: beside a verdict "all Spearman" and "spearman_mse" say nothing."""
    symbols = ("Delta_refine", "L_eff", "S_eff", "m_p")
    for one in ledger().claims.values():
        for path in (p for r in one.readings for c in r.comparisons for p in c.paths):
            words = in_words(one.analyses[0], "paris", path)
            plain = words
            for symbol in symbols:
                plain = plain.replace(symbol, "")
            assert "_" not in plain, words
            assert " " in words or words in ("p", "n"), words
    assert in_words("quality", "paris", "full") == "FID, full"
    assert in_words("routing-comparison", "paris", "all:Spearman") == "bound for every routing: Spearman"


def test_a_claim_about_two_systems_takes_two_runs():
    comparison = Comparison("falling", "toy", ("value",), ({"routing": "x"},), systems=("mnist", "paris"))
    mnist = results([{"routing": "x", "value": HIGH}])
    paris = results([{"routing": "x", "value": LOW}], system="paris")
    alone = judge(claim(comparison), mnist)
    assert alone.verdict is Verdict.ABSENT
    assert "needs a run of paris" in alone.reason
    assert judge(claim(comparison), mnist, paris).verdict is Verdict.REPRODUCED
    assert judge(claim(comparison), paris, mnist).verdict is Verdict.REPRODUCED
    weaker = results([{"routing": "x", "value": LOW}])
    stronger = results([{"routing": "x", "value": HIGH}], system="paris")
    assert judge(claim(comparison), weaker, stronger).verdict is Verdict.NOT


def test_a_small_study_makes_no_claim():
    small = results(ROWS, makes_claims=False, scale="small")
    found = judge(claim(compare("rising", "low", "high")), small)
    assert found.verdict is Verdict.NONE
    assert found.readings[0].cells
    assert "small" in verdict_text(found)
    assert found.survives is None


def test_all_matching_rows_can_be_asked_at_once():
    rows = [{"t": t, "ratio": Estimate(0.9, 0.8, 0.95)} for t in (0.9, 0.5, 0.1)]
    every = Comparison("below", "toy", ("ratio",), each=True, limit=1)
    assert judge(claim(every), results(rows)).verdict is Verdict.REPRODUCED
    rows[1]["ratio"] = Estimate(1.2, 1.1, 1.3)
    found = judge(claim(every), results(rows))
    assert found.verdict is Verdict.NOT
    assert "t 0.5" in found.reason


def test_a_limit_can_stand_in_the_row_itself():
    rows = [{"t": t, "accuracy": Estimate(0.5, 0.4, 0.6), "chance": 0.1} for t in (0.9, 0.5)]
    comparison = Comparison("above", "toy", ("accuracy",), each=True, limit_column="chance")
    assert judge(claim(comparison), results(rows)).verdict is Verdict.REPRODUCED
    rows = [{**row, "chance": 0.7} for row in rows]
    assert judge(claim(comparison), results(rows)).verdict is Verdict.NOT


def test_rows_are_found_by_number_too():
    rows = [{"t": 0.1 * k, "value": Estimate(k, k - 0.1, k + 0.1)} for k in range(1, 10)]
    comparison = Comparison("above", "toy", ("value",), ({"t": "0.3"},), limit=2.5)
    assert judge(claim(comparison), results(rows)).verdict is Verdict.REPRODUCED


def test_holm_says_which_verdicts_stand_for_all_claims_together():
    def one(z):
        return Estimate(z, z - 1.96, z + 1.96)

    scores = [5.0, 2.1, 2.1, 2.1, 2.1, 0.1]
    rows = [{"routing": f"r{i}", "value": one(z)} for i, z in enumerate(scores)]
    claims = [claim(compare("above", f"r{i}", limit=0)) for i in range(len(scores))]
    found = judge_all(claims, results(rows))
    assert [j.verdict for j in found] == [Verdict.REPRODUCED] * 5 + [Verdict.OPEN]
    assert [j.survives for j in found] == [True, False, False, False, False, None]
    assert number_tested(found) == 6
    assert "6 claims" in holm_note(found)
    assert "not after Holm" in verdict_text(found[1])


def test_a_written_verdict_has_one_number_in_a_cell_and_keys_that_tell_rows_apart():
    """With the paper's values beside what was measured, a spread on a line of its own."""
    reading = ReadingVerdict(
        Reading("mean", ()),
        Verdict.OPEN,
        "",
        (Cell("", "low", Estimate(1.5, 1.25, 1.75)), Cell("", "high", 2.0)),
        (
            Stated("paris", "top2 L_eff", "17.48 sd 6.07"),
            Stated("mnist", "share", 43),
            Stated("paris", "rho", "< 0.08"),
        ),
    )
    table = full_table([Judgement(claim(), Verdict.OPEN, "", (reading,), "n = 8, n = 20, seed 0", 25.0, sizes=(20, 8))])
    lines = list(csv.DictReader(io.StringIO(to_csv(table))))
    found = [(r["source"], r["cell"], r["value"], r["value_low"], r["value_high"]) for r in lines]
    assert found == [
        ("this run", "low", "1.5", "1.25", "1.75"),
        ("this run", "high", "2", "", ""),
        ("Paris in the paper", "top2 L_eff", "17.48", "", ""),
        ("Paris in the paper", "top2 L_eff sd", "6.07", "", ""),
        ("MNIST in the paper", "share", "43", "", ""),
        ("Paris in the paper", "rho", "< 0.08", "", ""),
    ]
    assert all((r["n_least"], r["n_most"], r["n_needed"]) == ("8", "20", "25") for r in lines)
    assert stated_text(reading) == "Paris: top2 L_eff 17.48 sd 6.07; rho < 0.08; MNIST: share 43"


def test_verdicts_have_meanings_and_can_be_written_down():
    assert set(MEANINGS) == set(Verdict)
    found = judge_all(
        [claim(compare("rising", "low", "high")), claim(readings=(), untestable="no | bound")], results(ROWS)
    )
    assert counts_line(found) == "2 claims: 1 reproduced, 1 not run"
    assert {row["verdict"] for row in full_table(found).rows} == {"reproduced", "not run"}
    measured = [row for row in full_table(found).rows if row["source"] == "this run"]
    assert [row["value"] for row in measured] == [cell.value for cell in found[0].readings[0].cells]
    text = markdown(found, "`a command`")
    assert "no \\| bound" in text
    assert all(line.count("|") - line.count("\\|") == 5 for line in text.splitlines() if line.startswith("|"))


def test_a_verdict_in_a_file_says_which_comparisons_decided_it():
    whole, wrong = (
        judge_all([claim(compare("rising", *rows))], results(ROWS)) for rows in (("low", "high"), ("high", "low"))
    )
    assert wrong[0].verdict is Verdict.NOT
    assert f"| not reproduced: {wrong[0].reason} |" in markdown(wrong, "`a command`")
    assert "the other way" in wrong[0].reason
    assert "| reproduced |" in markdown(whole, "`a command`")
    many = replace(wrong[0], reason="; ".join("abcde"))
    assert "| not reproduced: a; b; c; ... (5 in all) |" in markdown([many], "`a command`")


def test_a_limit_that_stands_in_a_row_is_that_of_its_row():
    rows = [
        {"routing": "a", "value": Estimate(0.3, 0.29, 0.31), "chance": 0.2},
        {"routing": "b", "value": Estimate(0.3, 0.29, 0.31), "chance": 0.4},
    ]
    above = Comparison("above", "toy", ("value",), ({},), each=True, limit_column="chance")
    assert judge(claim(above), results(rows)).verdict is Verdict.NOT
    assert judge(claim(above), results(rows[:1])).verdict is Verdict.REPRODUCED
