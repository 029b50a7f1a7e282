"""The claims ledger, and verdicts as a pure function of tables: one synthetic table for every kind of verdict."""

import csv
import io
import math
import re
import tomllib
from importlib.resources import files

import numpy as np
import pytest
from scipy import stats

from mnist_ddm.analyses.paper import SYSTEMS
from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.claims.contrasts import EXPECTATIONS, Agreement, above, below, between
from mnist_ddm.claims.judge import MEANINGS, Judgement, ReadingVerdict, Verdict, judge, judge_all, number_tested
from mnist_ddm.claims.ledger import Claim, Comparison, LedgerError, Reading, claim_named, ledger, read_ledger
from mnist_ddm.claims.select import Cell, Stated
from mnist_ddm.claims.word import counts_line, full_table, holm_note, markdown, stated_text, verdict_text
from mnist_ddm.errors import InputError
from mnist_ddm.stats.differences import difference, log_ratio, point
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.study.results import Results
from mnist_ddm.tables.files import to_csv
from mnist_ddm.tables.table import Column, Schema, Table

NAN = float("nan")


# The ledger


BEYOND = {"router-consistency", "faults"}
"""Analyses of questions on which the paper states nothing."""


def test_every_claim_names_analyses_that_exist_and_every_analysis_has_a_claim():
    named = {name for claim in ledger().claims.values() for name in claim.analyses}
    assert named == set(ANALYSES) - BEYOND


def test_every_claim_is_a_sentence_about_systems_of_the_paper():
    for claim in ledger().claims.values():
        assert claim.statement.endswith(".")
        assert set(claim.stated_for) <= {"paris", "mnist"}


def test_the_ledger_knows_every_expectation():
    used = {c.expect for claim in ledger().claims.values() for r in claim.readings for c in r.comparisons}
    assert used == set(EXPECTATIONS)


def _named(word, places):
    """The numbers after a word, as in "Tables 12 and 14", and nothing that only begins like one."""
    listed = re.findall(rf"{word}s? (\d+(?:(?:, | and )\d+)*)", places)
    return {int(number) for numbers in listed for number in re.findall(r"\d+", numbers)}


def test_every_table_and_figure_of_the_paper_has_a_claim():
    places = "; ".join(claim.place for claim in ledger().claims.values())
    assert _named("Table", places) == set(range(1, 16))
    assert _named("Figure", places) == set(range(1, 5))
    for place in ("Footnote 1", "Proposition E.1", "Definition C.3", "Appendix D", "Appendix B", "Section 4.1"):
        assert place in places


STORED = tomllib.loads(files("mnist_ddm.claims").joinpath("claims.toml").read_text())


def _spoiled(claim, **changes):
    """The shipped ledger with the first comparison of one claim changed."""
    entries = [dict(entry) for entry in STORED["claim"] if entry["id"] == claim]
    reading = dict(entries[0]["reading"][0])
    reading["compare"] = [{**reading["compare"][0], **changes}]
    entries[0]["reading"] = [reading]
    return {"claim": entries, "warnings": []}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table": "nowhere"}, "no table 'nowhere'"),
        ({"column": "Delta_refine"}, "no column 'Delta_refine'"),
        ({"column": "more"}, "is a key, not a measure"),
        ({"decided_by": "kid"}, "no column 'kid'"),
        ({"rows": [{"routing": "full"}]}, "no column 'routing'"),
        ({"rows": [{"more": "fuller", "fewer": "top1"}]}, "no row whose more is 'fuller'"),
        ({"rows": [{"delta_refine_ratio": "1"}]}, "says nothing of which row"),
        ({"expect": "larger"}, "no expectation"),
        ({"limit": "full:Delta_refined"}, "states no value 'full:Delta_refined'"),
        ({"size": "{row}:nowhere"}, "states no value 'top2:nowhere'"),
        ({"expect": "alike", "within": None, "smallest": 0}, "needs a margin"),
        ({"expect": "alike", "within": 0.1}, "has a margin already"),
        ({"smallest_of": "nowhere"}, "no column 'nowhere'"),
        ({"limit": None}, "needs a limit"),
    ],
)
def test_a_key_that_does_not_exist_is_an_error_when_the_ledger_is_loaded(changes, said):
    assert read_ledger(_spoiled("full-least-refinement-error")).claims
    with pytest.raises(LedgerError, match=re.escape(said)):
        read_ledger(_spoiled("full-least-refinement-error", **changes))


def test_a_claim_needs_an_analysis_that_exists_and_a_reading_or_a_reason():
    entry = _spoiled("full-least-refinement-error")["claim"][0]
    with pytest.raises(LedgerError, match="no analysis 'nowhere'"):
        read_ledger({"claim": [{**entry, "analyses": ["nowhere"]}], "warnings": []})
    with pytest.raises(LedgerError, match="needs readings"):
        read_ledger({"claim": [{**entry, "reading": []}], "warnings": []})


def test_the_trap_of_the_published_numbers_is_said():
    assert any("DiT-B/2" in warning and "DiT-XL/2" in warning for warning in ledger().warnings)


def test_an_unknown_claim_gets_a_list():
    with pytest.raises(InputError, match="full-worst-fid"):
        claim_named("everything")


# Contrasts


def test_the_interval_of_a_difference_is_the_exact_one_for_normal_estimates():
    a, b = Estimate(3.0, 3 - 1.96 * 0.3, 3 + 1.96 * 0.3), Estimate(1.0, 1 - 1.96 * 0.4, 1 + 1.96 * 0.4)
    found = difference(a, b)
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2 - 1.96 * 0.5, 2 + 1.96 * 0.5))
    assert above("a", found).p == pytest.approx(2 * stats.norm.sf(2 / 0.5), rel=1e-3)


def test_the_interval_of_a_difference_covers_what_it_should():
    rng = np.random.Generator(np.random.Philox(3))
    covered, tries, n = 0, 400, 40
    for _ in range(tries):
        x, y = rng.exponential(1.0, n), rng.exponential(2.0, n)
        ends = []
        for values in (x, y):
            half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)
            ends.append(Estimate(values.mean(), values.mean() - half, values.mean() + half))
        covered += (d := difference(ends[1], ends[0])).low <= 1.0 <= d.high
    assert covered / tries > 0.92


@pytest.mark.parametrize(
    ("estimate", "agreement"),
    [
        (Estimate(1, 0.5, 2), Agreement.FOR),
        (Estimate(1, -0.5, 2), Agreement.OPEN),
        (Estimate(-1, -2, -0.5), Agreement.AGAINST),
        (Estimate(1, NAN, NAN), Agreement.OPEN),
        (Estimate(0, 0, 0), Agreement.OPEN),
    ],
)
def test_an_interval_decides_or_leaves_open(estimate, agreement):
    assert above("x", estimate).agreement is agreement
    mirrored = Estimate(-estimate.value, -estimate.high, -estimate.low)
    assert below("x", mirrored).agreement is agreement
    contrast = above("x", estimate)
    if contrast.p is not None and agreement is not Agreement.OPEN:
        assert contrast.p < 0.05
    assert bool(contrast.reason) == (agreement is Agreement.OPEN)


def test_two_things_are_alike_only_if_the_interval_of_their_ratio_says_so():
    def alike(a, b, within=0.1):
        return between("x", log_ratio(a, b), within, a).agreement

    assert alike(Estimate(1.02, 1.0, 1.04), point(1.0)) is Agreement.FOR
    assert alike(Estimate(1.02, 0.7, 1.4), point(1.0)) is Agreement.OPEN
    assert alike(Estimate(1.5, 1.4, 1.6), point(1.0)) is Agreement.AGAINST
    assert alike(point(0.0), point(0.0)) is Agreement.FOR
    assert alike(Estimate(0.0, 0.0, 0.1), point(1.0)) is Agreement.OPEN
    assert alike(Estimate(1.0, 0.95, NAN), Estimate(1.0, NAN, NAN)) is Agreement.OPEN


# Verdicts


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


def test_another_column_can_decide_but_not_contradict():
    assert verdict(compare("rising", "low", "bare", decided_by="sharp")).verdict is Verdict.REPRODUCED
    found = verdict(compare("rising", "middle", "high", decided_by="sharp"))
    assert found.verdict is Verdict.OPEN
    assert "opposite" in found.reason


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
    assert "not defined" in verdict(compare("rising", "low", "none")).reason
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
        (Cell("low", Estimate(1.5, 1.25, 1.75)), Cell("high", 2.0)),
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
