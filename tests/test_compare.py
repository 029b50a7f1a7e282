"""Two runs side by side, cell by cell, and the picture of the thesis: by keys and roles, whatever headings say."""

import dataclasses
import math
from pathlib import Path

import pytest
from msgspec.structs import replace

from mnist_ddm.errors import InputError
from mnist_ddm.figures.plot import Series
from mnist_ddm.pages.cells import cell, is_number, told_columns
from mnist_ddm.pages.compare import (
    apart,
    differing_facts,
    differing_verdicts,
    incomparable,
    notes_of,
    side_by_side,
    verdicts_side_by_side,
)
from mnist_ddm.pages.headline import (
    alignment,
    here,
    in_the_paper,
    order,
    quality_alone,
    shares,
    stability,
    within_classes,
)
from mnist_ddm.pages.terms import glossary, with_terms
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.study.manifest import Manifest, Run
from mnist_ddm.study.results import Results
from mnist_ddm.tables.table import Column, Schema, Table

SCHEMA = Schema(
    "errors",
    (
        Column("routing", "routing", "key"),
        Column("t", "t", "key"),
        Column("n", "n", "note"),
        Column("error", "paper-like error", unit="%"),
        Column("count", "count"),
        Column("paper_error", "error there", "paper", optional=True),
    ),
)


def results(*rows):
    table = Table(
        SCHEMA, "Errors", tuple(dict(zip(("routing", "t", "n", "error", "count"), row, strict=True)) for row in rows)
    )
    return Results("gaussian", {"errors": table})


A = results(("top1", 0.5, 9, Estimate(2.0, 1.5, 2.5), 4), ("full", 0.5, 9, Estimate(1.0, 0.9, 1.1), 5))
B = results(("top1", 0.5, 7, Estimate(1.0, 0.5, 1.1), 4), ("full", 0.1, 7, Estimate(1.0, 0.9, 1.1), 5))


def test_measures_of_the_same_keys_stand_beside_each_other():
    (table,) = side_by_side(A, B)
    assert [(r["routing"], r["t"], r["measured"]) for r in table.rows] == [
        ("top1", 0.5, "error"),
        ("top1", 0.5, "count"),
    ]
    error, count = table.rows
    assert error["difference"].value == 1.0
    assert (error["apart"], count["apart"], count["difference"]) == ("yes", "no interval", 0.0)
    assert table.schema["measured"].shown("error") == "paper-like error (%)"
    assert table.title == "Errors"
    assert "(2)" in notes_of([table])


def test_two_routings_are_compared_at_the_same_other_keys():
    (table,) = side_by_side(A, A, ("top1", "full"))
    assert [row["measured"] for row in table.rows] == ["error", "count"]
    assert "routing" not in table.rows[0]
    with pytest.raises(InputError, match="top1 and nowhere"):
        side_by_side(A, A, ("top1", "nowhere"))


def test_cells_that_differ_say_whether_chance_could_do_it():
    a = results(("top1", 0.5, 9, Estimate(2.0, 1.9, 2.1), 4), ("full", 0.5, 9, Estimate(1.0, math.nan, math.nan), 5))
    b = results(("top1", 0.5, 9, Estimate(1.0, 0.9, 1.1), 5), ("full", 0.5, 9, Estimate(1.5, 1.4, 1.6), 5))
    found = apart(side_by_side(a, b))
    assert found.title == "Cells that differ: 3 of 4 (1 beyond both intervals, 2 without an interval)"
    assert [row["apart"] for row in found.rows] == ["yes", "no interval", "no interval"]
    assert "chance" in found.notes[0]


def test_tables_of_both_runs_that_cannot_be_compared_are_named():
    schema = Schema("sides", (Column("side", "side", "key"), Column("said", "said")))
    words = Table(schema, "", ({"side": "left", "said": "x"},))
    one, other = (Results("gaussian", {**run.tables, "sides": words}) for run in (A, B))
    assert incomparable(one, other, side_by_side(one, other)) == ["sides"]
    assert incomparable(A, one, side_by_side(A, one)) == []


def test_verdicts_are_counted_of_the_claims_that_are_judged():
    table = verdicts_side_by_side(A, B)
    assert differing_verdicts(table).title == "The runs judge no claim of the paper"
    first = {**table.rows[0], "verdict_a": "reproduced (n = 3)", "verdict_b": "not run"}
    some = differing_verdicts(dataclasses.replace(table, rows=(first, *table.rows[1:])))
    assert some.title == "Verdicts that differ: 1 of 1 claims that either run judges"


def test_only_what_differs_is_told_of_manifests():
    run = Run(system="gaussian", scale="full", seed=0, settings={"quality": {"n": 4}}, fingerprints={})
    other = replace(run, seed=1, settings={"quality": {"n": 5}})
    made = Manifest(schema=3, state="finished", command="", run=run, code="x")
    table = differing_facts(made, replace(made, run=other))
    assert table.rows == ({"what": "seed", "a": "0", "b": "1"}, {"what": "settings quality n", "a": "4", "b": "5"})
    digests = (replace(run, fingerprints={"experts": letter * 64}) for letter in "ab")
    (row,) = differing_facts(*(replace(made, run=one) for one in digests)).rows
    assert row == {"what": "fingerprints experts", "a": 12 * "a", "b": 12 * "b"}


def test_cells_know_columns_by_what_they_hold():
    table = A.tables["errors"]
    assert [c.key for c in told_columns(table)] == ["routing", "t", "n", "error", "count"]
    assert [is_number(table, table.schema[key]) for key in ("routing", "error", "count")] == [False, True, True]
    assert str(cell(Estimate(1.0, 0.5, 2.0))) == '1 <span class="interval">[0.5, 2]</span>'
    assert str(cell("<b>")) == "&lt;b&gt;"


def test_the_headline_joins_stability_and_quality_by_routing():
    stable = Schema("routing-comparison", (Column("routing", "routing", "key"), Column("delta_refine", "a")))
    good = Schema("quality", (Column("routing", "routing", "key"), Column("fid", "b")))
    errors = {"top1": Estimate(2.0, 1.0, 3.0), "full": Estimate(0.5, 0.4, 0.6), "top2": None}
    tables = {
        "routing-comparison": Table(stable, "", tuple({"routing": r, "delta_refine": e} for r, e in errors.items())),
        "quality": Table(good, "", ({"routing": "full", "fid": 9.0}, {"routing": "top1", "fid": 3.0})),
    }
    both = Results("gaussian", tables, makes_claims=True)
    assert here(both).series == (Series("top1", [2.0], [3.0], [1.0], [3.0]), Series("full", [0.5], [9.0], [0.4], [0.6]))
    said = stability(both)
    assert "the steadiest routing is Full, and it has the worst FID." in said
    assert order(both) == "By FID, best first, the order here is Top-1 3, Full 9."
    assert order(dataclasses.replace(both, in_paper="mnist")).endswith(
        "; the paper's (Table 3) is the same: Top-1 30.6, Full 47.9."
    )
    assert quality_alone(both) == ()
    assert here(Results("gaussian", {})) is None
    assert "not measured" in stability(Results("gaussian", {}))
    assert (within_classes(both), shares(both)) == (None, "")  # no classes are known
    columns = (Column("routing", "routing", "key"), Column("fid_balanced", "c"))
    balanced = Schema("quality-within-classes", columns)
    rows = ({"routing": "full", "fid_balanced": Estimate(0.4, 0.3, 0.5)}, {"routing": "top1", "fid_balanced": 0.7})
    with_classes = Results("gaussian", {**tables, "quality-within-classes": Table(balanced, "", rows)})
    assert [(s.label, s.y) for s in within_classes(with_classes).series] == [("top1", [0.7]), ("full", [0.4])]
    assert "the order is Full 0.4, Top-1 0.7, instead of Top-1 3, Full 9." in shares(with_classes)
    # A distance alone mixes two things, so the first sentence says both.
    assert stability(with_classes).endswith(
        "is Full, and it has the worst FID, and with every class at its share of the data the best."
    )
    assert [s.label for s in in_the_paper(Results("mnist", {}, in_paper="mnist")).series] == ["top1", "top2", "full"]
    assert in_the_paper(both) is None  # beside data that are not in the paper


def test_distances_alone_are_the_picture_and_the_order_of_a_run_that_did_not_measure_stability():
    quality = Schema("quality", (Column("routing", "routing", "key"), Column("fid", "b"), Column("fid_infinite", "c")))

    def results(**fids):
        rows = tuple({"routing": name, "fid": fid, "fid_infinite": Estimate(1, 0, 2)} for name, fid in fids.items())
        return Results("mnist", {"quality": Table(quality, "", rows)}, in_paper="mnist", trainings=5)

    known = results(top1=Estimate(3.0, 2.0, 4.0), full=Estimate(1.0, 0.5, 1.5))
    (plot,) = quality_alone(known)
    assert (plot.kind, plot.series) == ("bars", (Series("", ["top1", "full"], [3.0, 1.0], [2.0, 0.5], [4.0, 1.5]),))
    assert "no step-refinement errors" in stability(known)
    assert order(known).endswith("is Top-1 30.6, Full 47.9: its worst, Full, is the best of these here.")
    (plot,) = quality_alone(results(top1=3.0, full=1.0))
    assert plot.title.startswith("FID of infinitely many")
    assert plot.series[0].low == [0, 0]
    assert quality_alone(Results("mnist", {})) == ()
    assert order(Results("mnist", {})) == ""


def test_a_routing_whose_samples_lack_a_class_is_named_and_not_ranked():
    none = Estimate(math.nan, math.nan, math.nan)
    fids = {"top1": 0.8, "top2": 0.5, "full": 0.6, "top4": 0.7}

    def column(name, key, values):
        schema = Schema(name, (Column("routing", "routing", "key"), Column(key, "b")))
        return Table(schema, "", tuple({"routing": r, key: v} for r, v in values.items()))

    def results(**within):
        errors = {"top1": Estimate(1, 0, 2), "top2": none, "full": Estimate(2, 1, 3)}
        return Results(
            "own",
            {
                "quality": column("quality", "fid", {**fids, "uniform": math.nan}),
                "quality-within-classes": column("quality-within-classes", "fid_balanced", within),
                "routing-comparison": column("routing-comparison", "delta_refine", errors),
            },
        )

    some = results(top1=Estimate(0.6, 0.5, 0.7), top2=none, full=0.4, top4=none)
    said = shares(some)
    assert "is Full 0.4, Top-1 0.6, the same; not defined for Top-2, Top-4, whose samples lack a class." in said
    assert shares(results(top1=0.6, top2=none, full=none, top4=none)) == ""
    assert "not defined" not in shares(results(top1=0.6, full=0.4))  # the others were not measured
    assert [series.label for series in here(some).series] == ["top1", "full"]
    assert [series.label for series in within_classes(some).series] == ["top1", "full"]
    assert "nan" not in " ".join((said, order(some), stability(some)))
    assert "image" not in said
    assert stability(some).endswith(
        "is Top-1, and it has the worst FID, and with every class at its share of the data the worst."
    )
    assert stability(results(top1=0.6, top2=none, full=none, top4=none)).endswith("and it has the worst FID.")


def test_the_monolith_is_not_passed_over_where_it_is_steadier():
    stable = Schema("routing-comparison", (Column("routing", "routing", "key"), Column("delta_refine", "a")))
    good = Schema("quality", (Column("routing", "routing", "key"), Column("fid", "b")))
    errors = {"top1": 2.0, "full": 0.5, "monolith": 0.4}
    rows = tuple({"routing": r, "delta_refine": Estimate(e, e, e)} for r, e in errors.items())
    fids = ({"routing": "full", "fid": 3.0}, {"routing": "top1", "fid": 9.0}, {"routing": "monolith", "fid": 5.0})
    tables = {"routing-comparison": Table(stable, "", rows), "quality": Table(good, "", fids)}
    said = stability(Results("gaussian", tables))
    assert "is Full (the monolith, which routes nothing, is steadier still), and it has the best FID" in said


@pytest.mark.parametrize(
    ("gain", "word"),
    [
        (Estimate(0.2, 0.1, 0.3), "data better"),
        (Estimate(-0.2, -0.3, -0.1), "data worse"),
        (Estimate(0, -1, 1), "no better"),
    ],
)
def test_the_sentence_on_alignment_says_what_the_interval_says(gain, word):
    columns = (
        Column("reference", "against", "key"),
        *(Column(k, k) for k in ("selected", "non_selected", "reduction")),
    )
    row = {"reference": "target", "selected": 0.3, "non_selected": 0.5, "reduction": gain}
    tables = {"expert-deviation-references": Table(Schema("expert-deviation-references", columns), "", (row,))}
    assert word in alignment(Results("gaussian", tables))
    assert "not measured" in alignment(Results("gaussian", {}))


def test_symbols_are_set_as_mathematics_and_words_are_left_alone():
    text = str(with_terms("L_eff & Delta_refine of e.g. S_eff_x, g, and FID_3"))
    assert "<i>L</i><sub>eff</sub></abbr> &amp; <abbr" in text
    assert "<i>\u0394</i><sub>refine</sub>" in text
    assert "of e.g. S_eff_x, <abbr" in text
    assert text.endswith("and FID_3")
    assert [str(symbol) for symbol, _ in glossary(["m_p against FID", "m_p"])] == ["<i>m</i><sub>p</sub>", "FID"]
    assert str(with_terms("<b>")) == "&lt;b&gt;"


def test_the_run_that_ships_goes_by_its_name(run, place):
    code, out, _ = run("compare", "trainings", Path(__file__).parents[1] / "docs" / "results" / "reproduce-gaussian")
    assert code == 0
    assert "trainings (mnist, scale medium" in out
    (place / "trainings").mkdir()  # what a user has of that name is meant
    assert run("compare", "trainings", "trainings")[0] == 2


@pytest.mark.long
@pytest.mark.parametrize("width", [40, 80, 120])
def test_two_whole_runs_fill_sixty_lines_of_a_terminal_at_the_most(run, place, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    results = Path(__file__).parents[1] / "docs" / "results"
    far = place / ("a-folder-whose-name-is-wider-than-the-screen-" * 2)
    if not far.exists():
        far.symlink_to(results)
    for folder in (results, far):
        code, out, _ = run("compare", folder / "reproduce-mnist", folder / "reproduce-gaussian")
        assert code == 0
        lines = sum(-(-max(len(line), 1) // width) for line in out.splitlines())  # as a terminal wraps them
        assert 50 <= lines <= 60
