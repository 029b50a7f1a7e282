"""Several trainings of one system as one run, and intervals over trainings and samples."""

import json
import math
import shutil

import numpy as np
import pytest
from scipy import stats

from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.stats.intervals import Estimate, mean_estimate
from mnist_ddm.stats.levels import over_trainings, over_values
from mnist_ddm.study import trainings
from mnist_ddm.study.results import read_manifest, read_results
from mnist_ddm.study.trainings import joined_plot, joined_table
from mnist_ddm.systems.mnist import MnistPool
from mnist_ddm.tables.files import from_json, to_json
from mnist_ddm.tables.table import FRACTION, P_VALUE, PERCENT, RATIO, Column, Schema, Table

NAN = math.nan


def test_the_interval_over_trainings_is_students():
    values = [1.0, 2.0, 4.0]
    found = over_trainings([Estimate(v, v - 0.01, v + 0.01) for v in values])
    low, high = stats.t.interval(0.95, 2, np.mean(values), np.std(values, ddof=1) / math.sqrt(3))
    assert (found.estimate.low, found.estimate.high) == pytest.approx((low, high))
    assert found.between == pytest.approx(np.std(values, ddof=1))
    assert found.share.value > 0.99
    # By the textbook's interval of a variance, of three values.
    low, high = (2 * found.between**2 / stats.chi2.ppf(share, 2) for share in (0.975, 0.025))
    ends = [1 - found.within**2 / variance for variance in (low, high)]
    assert [found.share.low, found.share.high] == pytest.approx(ends)
    assert over_values(values).estimate == found.estimate


def test_trainings_that_happen_to_agree_are_no_surer_than_their_samples():
    found = over_trainings([Estimate(0.0, 0.0, 0.07)] * 4).estimate
    assert (found.value, found.low, found.high) == pytest.approx((0.0, 0.0, 0.035))


@pytest.mark.parametrize(
    "value", [lambda v: v, lambda v: Estimate(v, 0.9 * v, 1.1 * v), lambda v: Estimate(v, NAN, NAN)]
)
def test_ratios_are_put_together_as_logarithms(value):
    """Twice and half make once, with an interval or without; as numbers they would make 1.25."""
    schema = Schema("toy", (Column("key", "key", "key"), Column("ratio", "ratio", kind=RATIO)))
    tables = [Table(schema, "a table", ({"key": "a", "ratio": value(v)},)) for v in (2.0, 0.5)]
    joined = joined_table(tables, schema)[0].rows[0]["ratio"]
    assert joined.value == pytest.approx(1)
    assert math.isnan(joined.low) or joined.low * joined.high == pytest.approx(1)


def test_what_has_no_interval_in_one_training_has_none_together():
    assert math.isnan(over_trainings([Estimate(1, 0, 2), Estimate(1, NAN, NAN)]).estimate.low)
    assert math.isnan(over_trainings([Estimate(1, 0, 2)]).estimate.low)
    assert math.isnan(over_values([1.0, 1.0]).estimate.low)


@pytest.mark.parametrize(("spread", "share"), [(0.0, 0.0), (0.1, 0.5), (1.0, 0.99)])
def test_intervals_over_five_trainings_cover_and_the_share_of_training_is_found(spread, share):
    rng, n, count = np.random.Generator(np.random.Philox(5)), 100, 5
    covered, held, shares = 0, 0, []
    true = spread**2 / (spread**2 + 1 / n)
    for _ in range(600):
        means = rng.normal(0, spread, count)
        found = over_trainings([mean_estimate(rng.normal(m, 1, n)) for m in means])
        covered += found.estimate.low <= 0 <= found.estimate.high
        held += found.share.low - 1e-9 <= true <= found.share.high
        shares.append(found.within**2 / found.between**2)
    assert covered / 600 >= 0.93
    assert held / 600 >= 0.93
    assert 1 - 1 / np.mean(1 / np.array(shares)) == pytest.approx(share, abs=0.1)


_SCHEMA = Schema("toy", (Column("routing", "routing", "key"), Column("value", "value"), Column("n", "n", "note")))


def _table(*rows):
    return Table(_SCHEMA, "toy", tuple(dict(zip(("routing", "value", "n"), row, strict=True)) for row in rows))


def test_rows_are_joined_by_their_keys():
    a = _table(("x", Estimate(1, 0, 2), 5), ("y", 2.0, 5), ("only here", 1.0, 5), ("none", None, 5))
    b = _table(("y", 4.0, 7), ("x", Estimate(3, 2, 4), 7), ("none", 1.0, 7))
    joined, spreads = joined_table([a, b])
    assert [row["routing"] for row in joined.rows] == ["x", "y", "none"]
    assert joined.row(routing="x")["value"].value == 2
    assert joined.row(routing="y")["value"] == over_values([2.0, 4.0]).estimate
    assert joined.row(routing="none")["value"] is None
    assert joined.row(routing="x")["n"] == 6
    assert {(s["row"], s["column"]) for s in spreads} == {("x", "value"), ("y", "value")}


def test_of_p_values_the_largest_is_told_and_no_interval():
    what = Column("quantity", "quantity", "key", kinds={"p": P_VALUE})
    schema = Schema("toy", (what, Column("measured", "measured"), Column("other_p", "p", "note", kind=P_VALUE)))

    def table(p, other):
        made = Table(schema, "toy", tuple({"quantity": q, "measured": p, "other_p": other} for q in ("p", "mean")))
        return from_json(json.loads(json.dumps(to_json(made))), "file")

    def joined_table(tables):
        return trainings.joined_table(tables, schema)

    joined, spreads = joined_table([table(1e-4, "< 1e-300"), table(3e-2, "< 1e-300")])
    assert joined.row(quantity="p") == {"quantity": "p", "measured": 3e-2, "other_p": "< 1e-300"}
    assert joined.row(quantity="mean")["measured"] == over_values([1e-4, 3e-2]).estimate
    assert [s["row"] for s in spreads] == ["mean"]
    assert "largest" in joined.notes[1]
    assert joined_table([table("< 1e-300", 0.2), table(1e-9, None)])[0].rows[0]["measured"] == 1e-9
    assert joined_table([table("< 1e-300", 0.2), table(1e-9, None)])[0].rows[0]["other_p"] is None


@pytest.mark.parametrize(("kind", "end"), [(FRACTION, 1), (PERCENT, 100)])
def test_intervals_of_shares_stay_where_there_are_shares(kind, end):
    schema = Schema("toy", (Column("routing", "routing", "key"), Column("precision", "precision", kind=kind)))
    made = [Table(schema, "toy", ({"routing": "x", "precision": v * end},)) for v in (0.99, 1.0, 0.9)]
    tables = [from_json(json.loads(json.dumps(to_json(table))), "file") for table in made]
    assert over_values([0.99, 1.0, 0.9]).estimate.high > 1
    found = joined_table(tables, schema)[0].rows[0]["precision"]
    assert (found.low > 0.8 * end, found.high) == (True, end)


def test_lines_are_joined_where_their_places_are_equal_and_clouds_are_left_out():
    def plot(kind, *series):
        return Plot("toy", kind, "toy", "x", "y", tuple(series))

    a, b = Series("s", [0.1, 0.2], [1.0, 2.0]), Series("s", [0.1, 0.2], [3.0, 2.5])
    joined = joined_plot([plot("lines", a), plot("lines", b)])
    assert joined.series[0].y == [2.0, 2.25]
    assert joined.series[0].low[0] == over_values([1.0, 3.0]).estimate.low
    assert joined_plot([plot("points", a), plot("points", b)]) is None
    assert joined_plot([plot("lines", a), plot("lines", Series("s", [0.1, 0.3], [1.0, 2.0]))]) is None


@pytest.fixture(scope="module")
def second(tiny_checkpoint, tmp_path_factory):
    """The same system with its experts' weights moved: as good as another training."""
    from safetensors.torch import load_file, save_file

    from mnist_ddm.storage.files import sha256, write_json

    folder = tmp_path_factory.mktemp("second") / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    card, weights = folder / "expert-0.json", folder / "expert-0.safetensors"
    save_file({k: v * 1.01 if v.is_floating_point() else v for k, v in load_file(weights).items()}, weights)
    write_json(card, {**json.loads(card.read_text()), "sha256": sha256(weights)})
    return folder


def test_the_first_trainings_classifier_measures_all(tiny_checkpoint, second, images):
    other = MnistPool(second, images, judge=tiny_checkpoint)
    own = MnistPool(tiny_checkpoint, images)
    assert other.fingerprints["metrics"] == own.fingerprints["metrics"]
    assert other.fingerprints["experts"] != own.fingerprints["experts"]


@pytest.mark.long
def test_several_checkpoints_make_one_run_with_the_runs_of_each(run, tiny_checkpoint, second, place):
    out = place / "joined"
    only = ("--only", "chain-variance", "--scale", "small", "--workers", 1)
    command = ("reproduce", "--checkpoint", tiny_checkpoint, "--checkpoint", second, *only, "--out", out)
    sums = ("trainings", "recordings", "missing", "expert_evaluations", "bytes")

    def plan(*options):
        code, told, _ = run("reproduce", *options, *only, "--plan", "--json")
        assert code == 0
        return [json.loads(told)[name] for name in sums]

    alone = [plan("--checkpoint", tiny_checkpoint)]
    alone += [plan("--checkpoint", second, "--judge", tiny_checkpoint, "--seed", 1)]
    both = ("--checkpoint", tiny_checkpoint, "--checkpoint", second)
    assert plan(*both) == [sum(numbers) for numbers in zip(*alone, strict=True)]
    assert min(plan(*both)) > 0
    assert "2 trainings, 6 recordings, 6 of them to be made" in run("reproduce", *both, *only, "--plan")[1]
    code, _, error = run(*command)
    assert code == 0, error
    assert plan(*both) == [2, 6, 0, 0, 0]
    each = [read_results(out / "trainings" / str(i)) for i in (1, 2)]
    joined = read_results(out)
    assert joined.trainings == 2
    assert [r.seed for r in each] == [0, 1]
    name = "averaging-variance"
    for row, *parts in zip(joined.tables[name].rows, *(r.tables[name].rows for r in each), strict=True):
        ratios = [p["full_over_top1"].value for p in parts]  # of which twice and half make once
        assert row["full_over_top1"].value == pytest.approx(np.exp(np.mean(np.log(ratios))))
    assert "averaging-variance-trainings" in joined.tables
    told = (out / "report.html").read_text()
    assert "2 trainings (seeds 0 to 1)" in told
    recorded = sum(r.evaluations for i in (1, 2) for r in read_manifest(out / "trainings" / str(i)).recordings.values())
    assert f"6 of 2 trainings, {recorded:,} expert evaluations" in told
    assert run("verify", out)[0] == 0
    where = ("--checkpoint", second, "--judge", tiny_checkpoint)
    assert run("verify", out / "trainings" / "2", *where)[0] == 0
    for report in (("report", out / "trainings" / "2", "--beside", out), ("report", out / "trainings" / "1")):
        assert run(*report)[0] == 0
        assert "not part of" not in run("verify", out)[1]  # a page made again leaves the run above as it is
    page = out / "trainings" / "1" / "report.html"
    whole = page.read_bytes()
    page.write_bytes(whole + b" ")
    assert run("verify", out)[0] == 2
    page.write_bytes(whole)
    assert run(*command)[0] == 0
    table = out / "results" / f"{name}.json"
    spoiled = json.loads(table.read_text())
    spoiled["rows"][0]["full_over_top1"]["value"] += 1
    table.write_text(json.dumps(spoiled))
    assert run("verify", out)[0] == 2


def test_one_training_is_not_two(run, tiny_checkpoint, place):
    twice = ("reproduce", "--checkpoint", tiny_checkpoint, "--checkpoint", tiny_checkpoint)
    code, _, error = run(*twice, "--only", "chain-variance", "--out", place / "twice")
    assert code == 2
    assert "given twice" in error
    assert not (place / "twice").exists()


@pytest.mark.long
def test_a_run_beside_serves_the_claims_about_two_systems(run, tiny_checkpoint, place):
    only = ("--only", "mnist-larger-gap", "--scale", "small", "--workers", 1)
    assert run("reproduce", "--system", "gaussian", *only, "--out", place / "other")[0] == 0
    manifest = place / "other" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "in_paper": "paris"}))
    out = place / "beside"
    command = ("reproduce", "--checkpoint", tiny_checkpoint, *only, "--out", out)

    def verdict():
        rows = json.loads((out / "verdicts.json").read_text())["rows"]
        return rows[0]["verdict"], " ".join(str(row["cell"]) for row in rows)

    assert run(*command)[0] == 0
    assert verdict()[0] == "not run"
    assert run(*command, "--beside", place / "other")[0] == 0
    assert verdict()[0] == "no verdict"
    assert "Paris" in verdict()[1]
    assert run("report", out, "--beside", place / "other")[0] == 0
    assert verdict()[0] == "no verdict"
    assert run("report", out, "--beside", place / "nowhere")[0] == 2
