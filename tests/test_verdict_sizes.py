"""Verdicts say how large: smallest effects, equivalence, the n that would decide, readings that stand in, levels."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from test_claims import HIGH, LOW, NAN, WIDE, claim, compare, results

from mnist_ddm.claims.contrasts import Agreement, above, below
from mnist_ddm.claims.judge import Verdict, judge, judge_all, judge_run
from mnist_ddm.claims.ledger import Reading, ledger
from mnist_ddm.claims.word import full_table, rounded_up, verdict_text
from mnist_ddm.stats.differences import p_of_sign, widened
from mnist_ddm.stats.intervals import Estimate, mean_estimate

SMALL, TIGHT, LARGE = Estimate(0.1, -0.3, 0.5), Estimate(0.3, 0.1, 0.5), Estimate(2.0, 1.0, 3.0)


def _mirrored(estimate):
    return Estimate(-estimate.value, -estimate.high, -estimate.low)


@pytest.mark.parametrize(
    ("estimate", "smallest", "agreement", "small"),
    [
        (SMALL, 0.0, Agreement.OPEN, False),
        (SMALL, 0.4, Agreement.OPEN, False),
        (SMALL, 0.6, Agreement.ALIKE, False),
        (TIGHT, 0.6, Agreement.FOR, True),
        (TIGHT, 0.4, Agreement.FOR, False),
        (LARGE, 0.6, Agreement.FOR, False),
        (_mirrored(LARGE), 0.6, Agreement.AGAINST, False),
        (_mirrored(TIGHT), 0.6, Agreement.ALIKE, False),
        (Estimate(0.1, NAN, NAN), 0.6, Agreement.OPEN, False),
    ],
)
def test_what_lies_within_the_smallest_effect_on_both_sides_is_alike(estimate, smallest, agreement, small):
    contrast = above("x", estimate, smallest=smallest)
    assert (contrast.agreement, contrast.small) == (agreement, small)
    other = below("x", _mirrored(estimate), smallest=smallest)
    assert (other.agreement, other.small) == (agreement, small)
    if agreement is Agreement.ALIKE:
        assert contrast.p < 0.05


def test_two_one_sided_tests_are_wrong_in_at_most_one_of_twenty():
    rng, smallest = np.random.Generator(np.random.Philox(1)), 0.5
    for truth, at_most in ((smallest, 0.05), (0.0, 1.0)):
        draws = [mean_estimate(rng.normal(truth, 1, 60)) for _ in range(1000)]
        alike = np.mean([above("x", e, smallest=smallest).agreement is Agreement.ALIKE for e in draws])
        assert alike <= at_most
        assert truth or alike > 0.8


def _verdict(value, **more):
    return judge(claim(compare("above", "x", limit=0, **more)), results([{"routing": "x", "value": value}]))


def test_a_claim_of_a_difference_can_come_out_as_equivalent_or_as_too_small():
    assert _verdict(SMALL).verdict is Verdict.OPEN
    alike = _verdict(SMALL, smallest=1.0)
    assert alike.verdict is Verdict.EQUIVALENT
    assert "no difference that matters" in alike.reason
    assert alike.readings[0].p < 0.05
    assert _verdict(TIGHT, smallest=1.0).verdict is Verdict.DIRECTION
    assert "smallest effect" in _verdict(TIGHT, smallest=1.0).reason
    assert _verdict(LARGE, smallest=1.0).verdict is Verdict.REPRODUCED
    assert _verdict(_mirrored(LARGE), smallest=1.0).verdict is Verdict.NOT


def test_of_several_comparisons_one_is_alike_at_the_level_of_all():
    rows = [{"routing": f"r{i}", "value": Estimate(0.0, -0.48, 0.48)} for i in range(6)]
    one = judge(claim(compare("above", "r0", limit=0, smallest=0.5)), results(rows))
    many = judge(claim(compare("above", *(f"r{i}" for i in range(6)), limit=0, smallest=0.5)), results(rows))
    assert one.verdict is Verdict.EQUIVALENT
    assert many.verdict is Verdict.OPEN
    assert "for all 6 comparisons together" in many.reason


def test_smallest_effects_may_be_ratios_or_shares_of_another_column():
    rows = [
        {"routing": "a", "value": Estimate(100, 99, 101), "scale": 50.0},
        {"routing": "b", "value": Estimate(101, 100, 102), "scale": 50.0},
    ]
    order = compare("falling", "a", "b", smallest_ratio=0.05)
    assert judge(claim(order), results(rows)).verdict is Verdict.EQUIVALENT
    assert judge(claim(compare("falling", "a", "b", smallest_ratio=0.001)), results(rows)).verdict is Verdict.OPEN
    near_limit = compare("below", "a", limit=99.5, smallest=0.05, smallest_of="scale")
    assert judge(claim(near_limit), results(rows)).verdict is Verdict.EQUIVALENT
    assert judge(
        claim(compare("below", "a", limit=99.5, smallest=0.01, smallest_of="scale")), results(rows)
    ).verdict is (Verdict.OPEN)


def test_the_n_that_would_decide_does_so_four_times_of_five():
    def normal(n, mean=0.2):
        return Estimate(mean, mean - 1.96 / math.sqrt(n), mean + 1.96 / math.sqrt(n))

    found = _verdict(normal(50))
    assert found.verdict is Verdict.OPEN
    assert found.needed == pytest.approx(((1.96 + 0.8416) / 0.2) ** 2 * 100 / 50, rel=1e-3)
    n = math.ceil(found.needed / 100 * 50)
    power = stats.norm.sf(1.96 - 0.2 * math.sqrt(n))
    assert power == pytest.approx(0.8, abs=0.01)
    assert "would do" in verdict_text(found)
    assert full_table([found]).rows[0]["n_needed"] == rounded_up(found.needed)
    # Near no effect it takes fewer to show that there is none that matters.
    assert _verdict(normal(20, 0.01), smallest=0.3).needed < _verdict(normal(20, 0.01)).needed
    assert math.isinf(_verdict(Estimate(0.0, -1, 1)).needed)
    assert "no n decides" in verdict_text(_verdict(Estimate(0.0, -1, 1)))
    assert _verdict(Estimate(1.0, NAN, NAN)).needed is None


def test_one_of_many_comparisons_can_refute_sooner_than_all_can_affirm():
    """One is 2.4 standard errors the other way, the rest about 0: a few thousand samples refute, millions affirm."""
    rows = [{"routing": f"r{i}", "value": Estimate(0.001, -1.959, 1.961)} for i in range(53)]
    rows.append({"routing": "r53", "value": Estimate(-2.4, -4.36, -0.44)})
    found = judge(claim(compare("above", *(f"r{i}" for i in range(54)), limit=0)), results(rows))
    assert found.verdict is Verdict.OPEN
    z = stats.norm.isf(0.025 / 54) + stats.norm.isf(0.2)
    assert found.needed == pytest.approx(100 * (z / 2.4) ** 2, rel=2e-3)
    # Of the other contrast alone nothing refutes it, and nobody affirms what lies on the other side.
    alone = judge(
        claim(compare("above", "r0", "r53", limit=0)), results([*rows[:1], {"routing": "r53", "value": LARGE}])
    )
    assert alone.needed > 1e6
    # A comparison without an interval hides what would affirm the claim, and not what would refute it.
    rows[0] = {"routing": "r0", "value": Estimate(1.0, NAN, NAN)}
    hidden = judge(claim(compare("above", *(f"r{i}" for i in range(54)), limit=0)), results(rows))
    assert hidden.needed == found.needed


def test_over_several_trainings_it_is_told_how_many_would_decide():
    rows = [{"routing": "x", "value": Estimate(0.2, -0.2, 0.6)}]
    found = judge(claim(compare("above", "x", limit=0)), results(rows, trainings=5))
    assert found.verdict is Verdict.OPEN
    assert (found.needed, found.trainings_needed) == (
        None,
        pytest.approx(5 * (2 * (1.96 + 0.8416) / 1.96) ** 2, rel=1e-3),
    )
    assert "41 such trainings would do" in verdict_text(found)
    assert full_table([found]).rows[0]["trainings_needed"] == 41


@pytest.mark.parametrize(("number", "up"), [(7.2, 8), (99.5, 100), (101, 110), (1234, 1300), (123_456, 130_000)])
def test_an_n_is_said_with_two_digits(number, up):
    assert rounded_up(number) == up


def test_a_reading_stands_in_only_where_the_first_has_no_intervals():
    first, second = Reading("mean", (compare("above", "x", limit=0),)), compare("above", "y", limit=0)
    either = (first, Reading("share", (second,), stands_in=True))
    never = (first, Reading("share", (second,)))

    def of(x, readings):
        return judge(claim(readings=readings), results([{"routing": "x", "value": x}, {"routing": "y", "value": HIGH}]))

    assert of(Estimate(1.0, NAN, NAN), either).verdict is Verdict.REPRODUCED
    assert of(Estimate(1.0, NAN, NAN), either).readings[0].reading.name == "share"
    assert of(Estimate(1.0, NAN, NAN), never).verdict is Verdict.OPEN
    assert of(SMALL, either).verdict is Verdict.OPEN
    assert of(_mirrored(LOW), either).verdict is Verdict.NOT
    assert of(None, either).verdict is Verdict.REPRODUCED


def test_a_lower_level_decides_less():
    rows = [{"routing": "x", "value": Estimate(2.1, 2.1 - 1.96, 2.1 + 1.96)}]
    asked = [claim(compare("above", "x", limit=0))]
    assert judge_all(asked, results(rows))[0].verdict is Verdict.REPRODUCED
    assert judge_all(asked, results(rows, level=0.01))[0].verdict is Verdict.OPEN
    assert p_of_sign(widened(rows[0]["value"], 2 * stats.norm.sf(2.1))) == pytest.approx(0.05, rel=1e-3)


def test_every_claim_of_a_difference_says_what_matters():
    """But for sizes alone, p-values, and limits that are no null: what is beyond them is not a size of an effect."""
    exempt = {"table-3-values", "table-13-large-norms-rare", "tradeoff-necessary"}
    two_sided = ("alike", "equals", "near")
    for one in ledger().claims.values():
        for reading in one.readings[:1]:
            for c in reading.comparisons:
                said = (
                    c.expect in two_sided
                    or c.smallest
                    or c.smallest_ratio
                    or c.allowed
                    or c.times != 1
                    or c.exact
                    or c.size
                )
                assert said or reading.construction or one.id in exempt, one.id


@pytest.mark.parametrize(
    ("mean", "stand_in", "verdict"),
    [
        (-1.0, LARGE, Verdict.OPEN),
        (1.0, LARGE, Verdict.REPRODUCED),
        (1.0, _mirrored(LARGE), Verdict.OPEN),
        (-1.0, _mirrored(LARGE), Verdict.NOT),
    ],
)
def test_what_stands_in_for_means_does_not_contradict_them(mean, stand_in, verdict):
    """Most samples may have the smaller error, and a few, which carry the mean, the larger."""
    rows = [{"routing": "x", "value": Estimate(mean, NAN, NAN), "sharp": stand_in}]
    means, pairs = (replace(compare("above", "x", limit=0), columns=(column,)) for column in ("value", "sharp"))
    judged = judge(
        claim(readings=(Reading("means", (means,)), Reading("pairs", (pairs,), stands_in=True))), results(rows)
    )
    assert judged.verdict is verdict
    if verdict is Verdict.OPEN:
        assert judged.reason == "without an interval, means says another thing than pairs"
        assert [cell.value for cell in judged.readings[0].cells] == [rows[0]["value"], stand_in]
        assert judged.needed is None


def test_a_claim_of_several_things_is_not_equivalent_where_one_of_them_is_as_said():
    alike, as_said = Estimate(0.0, -0.1, 0.1), LARGE
    rows = [{"routing": "a", "value": alike}, {"routing": "b", "value": as_said}, {"routing": "c", "value": WIDE}]
    both = judge(claim(compare("above", "a", "b", limit=0, smallest=0.5)), results(rows))
    assert both.verdict is Verdict.NOT
    assert "no difference that matters: a" in both.reason.replace("value, ", "")
    assert both.readings[0].p < 0.05
    assert judge(claim(compare("above", "a", limit=0, smallest=0.5)), results(rows)).verdict is Verdict.EQUIVALENT
    assert judge(claim(compare("above", "a", "c", limit=0, smallest=0.5)), results(rows)).verdict is Verdict.EQUIVALENT


def test_of_many_comparisons_over_five_trainings_one_is_refuted_by_chance_as_seldom_as_said():
    """Of eighteen nulls, each as often as not, with the level of 5% for all: normal p-values would refute in 11%."""
    rng, refuted = np.random.Generator(np.random.Philox(2)), 0
    half = stats.t.ppf(0.975, 4) / math.sqrt(5)
    for _ in range(400):
        values = rng.normal(size=(18, 5))
        ends = [(v.mean(), half * v.std(ddof=1)) for v in values]
        rows = [{"routing": f"r{i}", "value": Estimate(m, m - h, m + h)} for i, (m, h) in enumerate(ends)]
        judged = judge(
            claim(compare("above", *(f"r{i}" for i in range(18)), limit=0)), results(rows, trainings=5)
        ).verdict
        refuted += judged is Verdict.NOT
    assert refuted <= 0.045 * 400


def test_a_claim_says_the_samples_of_the_rows_and_of_the_other_analyses_that_it_rests_on():
    """Norms of 1000 samples beside FIDs of 5000; a random pair of experts was only drawn 1000 times."""
    shipped = Path(__file__).parents[1] / "docs" / "results" / "reproduce-gaussian"
    found = {j.claim.id: j for j in judge_run(shipped)}
    assert set(found["dissociation"].sizes) == {1000, 5000}
    assert found["dissociation"].samples == "n = 1000, n = 5000, seed 0"
    assert set(found["alignment-governs-quality"].sizes) == {1000}
    assert found["alignment-governs-quality"].samples == "n = 1000, seed 0"
