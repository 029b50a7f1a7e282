"""The ledger: what its claims name exists, and what does not exist is an error."""

import re
import tomllib
from importlib.resources import files

import pytest

from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.claims.contrasts import EXPECTATIONS
from mnist_ddm.claims.ledger import LedgerError, claim_named, ledger, read_ledger
from mnist_ddm.errors import LONGEST, InputError, unknown

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
    for place in ("Footnote 1", "Proposition E.1", "Definition C.3", "Remark E.2", "Definition 2.1", "Section 4.1"):
        assert place in places
    assert all(f"Appendix {letter}" in places for letter in "ABDEFH")
    sections = set(re.findall(r"\b[A-I4-7]\.\d\b", places))
    assert sections >= {*(f"4.{i}" for i in range(1, 6)), *(f"5.{i}" for i in range(1, 4)), "G.2", "G.3"}
    assert sections >= {f"I.{i}" for i in range(1, 7)}
    assert all(re.search(rf"Sections? [\d., and]*\b{number}\b", places) for number in "1367")


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
    with pytest.raises(InputError, match=r"there are \d+, such as [a-z]"):
        claim_named("everything")


def test_stability_is_both_of_the_papers_measures():
    """It calls Full the most stable routing by L_eff and by Delta_refine, so either of them can refute it."""
    for reading in ledger().claims["dissociation"].readings:
        columns = {column for comparison in reading.comparisons for column in comparison.columns}
        assert columns & {"l_eff_expert_ratio", "l_eff_expert_ratio_median"}
        assert columns & {"delta_refine_ratio", "fails_less"}


@pytest.mark.parametrize(
    ("name", "like"),
    [("table-12-combinatoin", "table-12-combination"), ("disociation", "dissociation")],
)
def test_a_misspelt_claim_is_told_the_nearest_in_whole_names_and_where_all_are(name, like):
    with pytest.raises(InputError, match=f"did you mean '{like}'") as said:
        claim_named(name)
    text = str(said.value)
    assert len(text) <= LONGEST
    assert text.endswith("; a run's verdicts.csv has all")
    near = text.split("such as ")[1].split("; ")[0].split(", ")
    assert set(near) <= set(ledger().claims)
    assert like in near


def test_a_number_is_another_number_and_no_misspelt_one():
    for name, known in (("top22", ["top2", "full"]), ("1200", ["1100"]), ("k-12", ["k-1", "k-2"])):
        assert "did you mean" not in str(unknown("thing", name, known))
    assert "did you mean 'top-p'? there are: top-p" in str(unknown("thing", "top-pp", ["top-p"]))
