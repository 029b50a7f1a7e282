"""The intervals that the package gives hold what they should, about as often as they say."""

import json
import math
import re
from pathlib import Path

import pytest
from judging import judge_table
from kinds import KINDS
from measure import SIZES, TOO_OFTEN, measure, table

DOCS = Path(__file__).parents[2] / "docs"


def test_the_documented_table_is_the_measured_one():
    stored = json.loads((DOCS / "results" / "coverage" / "coverage.json").read_text())
    assert table(stored["rows"]) in (DOCS / "statistics.md").read_text()
    assert [(row["interval"], row["data"], row["n"]) for row in stored["rows"]] == [
        (kind.interval, kind.data, n) for kind in KINDS for n in SIZES
    ]


def test_the_page_names_every_interval_that_misleads_more_often_than_it_should():
    stored = json.loads((DOCS / "results" / "coverage" / "coverage.json").read_text())
    text = re.sub("<!--.*?-->", "", (DOCS / "statistics.md").read_text())  # what a reader sees
    said = re.search(r"(\d+) of the (\d+) cells (?:is|are) bold", text)
    assert int(said[1]) == sum(row["misled"] > TOO_OFTEN for row in stored["rows"])
    assert int(said[2]) == len(stored["rows"])
    few = [row for row in stored["rows"] if row["given"] and row["covers"] < 0.93]
    strict = re.search(
        r"is given, (\d+) cells hold the truth in fewer than 93%: those three, and\s+(\d+) in which", text
    )
    assert (int(strict[1]), int(strict[2])) == (len(few), sum(row["given"] <= 0.07 for row in few))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.interval}, {kind.data}")
def test_intervals_mislead_in_about_one_of_twenty(kind):
    tries = 100 if kind.slow else 300
    for n in SIZES[1:]:
        measured = measure(kind, n, tries, seed=1)
        assert measured.misled <= TOO_OFTEN + 3 * math.sqrt(TOO_OFTEN * (1 - TOO_OFTEN) / tries), n


def test_the_documented_errors_of_the_judge_are_the_measured_ones():
    found = json.loads((DOCS / "results" / "judge" / "judge.json").read_text())
    page = (DOCS / "statistics.md").read_text()
    assert judge_table(found) in page
    assert f"at {found['seeds']} seeds" in page
    assert f" {found['false']} are false" in " ".join(page.split())
