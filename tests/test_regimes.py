"""Cost and quality, and the map of regimes: on the exact system, against the definitions."""

import math

import pytest

from mnist_ddm.analyses.cost import CostAndQuality, _front
from mnist_ddm.analyses.published import PUBLISHED, fits
from mnist_ddm.analyses.quality import QualitySettings
from mnist_ddm.analyses.regime_map import RegimeMap, RegimeSettings
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Sampling
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.systems.gaussian import GaussianPool, load


def test_the_front_holds_what_nothing_else_dominates():
    points = {"a": (1.0, 5.0), "b": (2.0, 3.0), "c": (2.0, 4.0), "d": (3.0, 3.0), "e": (9.0, 1.0), "twin": (9.0, 1.0)}
    assert _front(points) == ["a", "b", "e", "twin"]


@pytest.mark.long
def test_cost_and_quality_reports_what_was_measured(answered):
    pool, settings = load(), QualitySettings(n=300, seed=1, steps=10, routings=("top1", "full", "once", "uniform"))
    (table,) = answered(CostAndQuality(), pool, settings).tables
    rows = {row["routing"]: row for row in table.rows}
    assert rows["once"]["expert_evaluations"] == rows["top1"]["expert_evaluations"] == 19
    evaluations = float(sample(pool, Sampling("full", 300, 1, steps=10)).evaluations.double().mean())
    assert rows["full"]["cost_over_top1"] == pytest.approx(evaluations / 19)
    best = min(row["fid"] for row in rows.values())
    assert table.column("fid") == sorted(table.column("fid"))
    assert rows["uniform"]["fid_over_best"] == pytest.approx(rows["uniform"]["fid"] / best)
    assert rows["uniform"]["on_the_front"] == "no"
    assert rows["once"]["clear"].value == 1
    reached = [r for r, row in rows.items() if row["fid_over_best"] <= 1.05 and row["cost_over_top1"] <= 1.3]
    assert "once" in reached
    assert table.notes[0].endswith(f"Reached by: {', '.join(reached)}.")


@pytest.mark.long
def test_the_map_of_gaussians_has_full_best_in_the_exact_corner_and_worst_in_the_far_one(
    answered, small_map, monkeypatch
):
    monkeypatch.setattr(GaussianPool, "roughnesses", ())
    settings = RegimeSettings(n=200, steps=10, temperatures=(1.0, math.inf))
    (table,) = answered(RegimeMap(), load(), settings).tables
    rows = {(row["experts"], row["t_router"]): row for row in table.rows}
    assert len(rows) == 2 * 2
    assert rows["as they are", 1.0]["order"].startswith("full")
    assert rows["error=4", "infinite"]["order"].endswith("full")
    assert rows["as they are", 1.0]["fid_top1"] == rows["as they are", "infinite"]["fid_top1"]
    far = rows["error=4", "infinite"]
    expected = far["fid_full"] / min(far["fid_top1"], far["fid_top2"])
    assert expected > 1
    assert far["full_over_best"] == pytest.approx(expected)
    assert rows["as they are", 1.0]["fid_full_top1"].high < 0
    assert far["fid_full_top1"].low > 0
    assert far["fid_full_top1"].value == pytest.approx(far["fid_full"] - far["fid_top1"], abs=0.1)


@pytest.mark.long
def test_the_map_tells_a_rough_router_from_a_flat_one_by_its_term_of_the_jacobian(answered, small_map):
    """Exact: a rough router's slope has the length asked for, in directions of its own; values stay, so FIDs do."""
    settings = RegimeSettings(n=20, steps=4, temperatures=(1.0, 4.0))
    table, published = answered(RegimeMap(), load(), settings).tables
    assert len(table.rows) == len(published.rows) == (2 + 2 * 1) * 2
    rows = {(row["experts"], row["router"], row["t_router"]): row for row in table.rows}
    smooth, rough = (rows["as they are", router, 1.0] for router in ("as it is", "rough=50"))
    assert smooth["router_ratio"].value == pytest.approx(1, abs=1e-4)
    assert rows["as they are", "as it is", 4.0]["router_ratio"].value == pytest.approx(1 / 4, abs=1e-4)
    assert rough["router_ratio"].value > 3
    assert rough["router_term"].value > 3 * smooth["router_term"].value
    assert rough["fid_full"] == pytest.approx(smooth["fid_full"], rel=0.05)
    assert rows["error=4", "rough=50", 1.0]["fid_full"] != rough["fid_full"]

    rows = {(row["experts"], row["router"], row["t_router"]): row for row in published.rows}
    smooth, rough, flat = (
        rows["as they are", *rest] for rest in (("as it is", 1.0), ("rough=50", 1.0), ("as it is", 4.0))
    )
    assert rough["router_over_expert"].value > 3 * smooth["router_over_expert"].value
    assert flat["router_over_expert"].value < smooth["router_over_expert"].value
    assert flat["entropy"].value > 1.1 * smooth["entropy"].value
    once = sample(load(), Sampling("top2", 20, steps=4), ("left-out-angles@tenths", "weights@tenths"))
    angles, chosen = once.observed["left-out-angles@tenths"].double(), once.observed["weights@tenths"] > 0
    inside, outside = (angles[mask].reshape(20, -1).nanmean(dim=1).mean() for mask in (chosen, ~chosen))
    assert smooth["left_out_reduction"].value == pytest.approx(float(100 * (1 - inside / outside)), rel=1e-5)
    assert "entropy" in smooth["fits"]
    assert "router's term" not in rough["fits"]


def test_a_number_fits_the_papers_if_its_interval_comes_near_enough():
    found = {name: Estimate(p.stated, p.stated, p.stated) for name, p in zip("abcdefg", PUBLISHED, strict=True)}
    assert all(fits(estimate, p.stated) for estimate, p in zip(found.values(), PUBLISHED, strict=True))
    assert [round(p.stated, 3) for p in PUBLISHED] == [0.596, 1.102, 1.024, 121.768, 29.412, -41.176, 0.153]
    assert fits(Estimate(100, 80, 130), 150)
    assert not fits(Estimate(100, 80, 110), 150)
    assert fits(Estimate(-45, math.nan, math.nan), -41)
    assert not fits(Estimate(-20, math.nan, math.nan), -41)
    assert not fits(None, 1)


def test_a_sampling_takes_several_variants_at_once():
    pool = Sampling("full", 2, variant="error=2,noise=1.2").field(load()).pool
    assert (pool.expert_error, pool.noise_scale) == (2, 1.2)
