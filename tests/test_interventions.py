"""Rescue, counterfactuals, generalization: on the exact system, against the definitions."""

import math
import shutil

import numpy as np
import pytest
import torch

from mnist_ddm.analyses.analysis import Settings
from mnist_ddm.analyses.cost import CostAndQuality, _front
from mnist_ddm.analyses.quality import long_runs
from mnist_ddm.analyses.regime_map import RegimeMap
from mnist_ddm.analyses.registry import analysis_named
from mnist_ddm.core.noise import initial_noise, sample_seeds
from mnist_ddm.core.recording import recording_key, sample
from mnist_ddm.core.visits import Sampling, start
from mnist_ddm.errors import InputError
from mnist_ddm.figures.draw import save_png
from mnist_ddm.models.checkpoint import kept_file
from mnist_ddm.storage.files import read_tensors, write_tensors
from mnist_ddm.study.study import make_plan
from mnist_ddm.systems.gaussian import load
from mnist_ddm.systems.mnist import MnistPool

SETTINGS = Settings(n=40, steps=8)


def tables(pool, name, settings=SETTINGS, extra=()):
    analysis = analysis_named(name)
    filled = analysis.settings(settings)
    plan = make_plan(pool, {analysis: filled})
    recordings = {s: sample(pool, s, names) for s, names in plan.observables.items()}
    recordings |= {s: sample(pool, s) for s in extra}
    return {table.name: table.rows for table in analysis.answer(pool, recordings, filled).tables}


def refinement(pool, routing, steps):
    coarse, fine = (sample(pool, Sampling(routing, n=40, steps=s)).final for s in (steps, 2 * steps))
    return next(iter(pool.measures.distances.values()))(pool.decode(coarse), pool.decode(fine)).double().numpy()


def test_a_variant_changes_the_start_states_and_nothing_else():
    pool, seeds = load(), sample_seeds(0, 5)
    shifted = pool.variant("noise=1.5")
    assert torch.equal(start(shifted, seeds)[0], 1.5 * initial_noise(seeds, pool.state_shape))
    assert torch.equal(start(pool, seeds)[0], initial_noise(seeds, pool.state_shape))
    assert shifted.fingerprints == pool.fingerprints
    run = Sampling("top1", n=5, steps=3)
    other = Sampling("top1", n=5, steps=3, variant="noise=1.5")
    assert recording_key(pool, run) != recording_key(pool, other)
    assert torch.equal(sample(pool, other).final, sample(shifted, run).final)
    for wrong in ("noise=0", "noise=-1", "noise", "noise=nan", "colour=2"):
        with pytest.raises(InputError, match="unknown variant of the system 'gaussian'"):
            pool.variant(wrong)


def test_a_run_without_a_variant_keeps_the_name_it_had():
    assert "variant" not in Sampling("top1", n=5).identity


def test_rescue_by_hand():
    pool = load()
    runs = long_runs(pool, Settings(), ("full", "full@T=4"))
    assert [(r.n, r.steps) for r in runs.values()] == [(1000, 25)] * 2
    found = tables(pool, "rescue")
    rows = {row["T"]: row for row in found["rescue-temperature"]}
    assert list(rows) == [0.1, 0.25, 0.5, 1.0, 2.0, 4.0]
    logits = sample(pool, Sampling("full@T=4", n=40, steps=8), ("logits",)).observed["logits"].double().numpy() / 4
    p = np.exp(logits - logits.max(axis=2, keepdims=True))
    p /= p.sum(axis=2, keepdims=True)
    assert rows[4.0]["entropy"].value == pytest.approx(-(p * np.log(p)).sum(axis=2).mean(), rel=1e-5)
    error = refinement(pool, "full@T=4", 8)
    assert rows[4.0]["Delta_refine"].value == pytest.approx(error.mean(), rel=1e-5)
    entropies = [row["entropy"].value for row in rows.values()]
    assert entropies == sorted(entropies)
    shares = {row["p"]: row for row in found["rescue-top-p"]}
    assert shares[1.0]["Delta_refine"] == rows[1.0]["Delta_refine"]
    assert shares[0.8]["entropy"].value < shares[1.0]["entropy"].value
    best = min(rows.values(), key=lambda row: row["Delta_refine"].value)
    assert found["rescue"][1]["Delta_refine"] == best["Delta_refine"]
    assert found["rescue"][0]["FID"] is None


def test_counterfactuals_by_hand():
    pool = load()
    rows = {row["routing"]: row for row in tables(pool, "counterfactual")["counterfactual"]}
    assert list(rows) == ["top2", "full", "full+clip", "misaligned2", "misaligned2+equal"]
    base, clipped = refinement(pool, "top2", 8), refinement(pool, "full+clip", 8)
    assert rows["full+clip"]["Delta_refine"].value == pytest.approx(clipped.mean(), rel=1e-4)
    assert rows["full+clip"]["less than Top-2 by"].value == pytest.approx((base - clipped).mean(), abs=1e-6)
    assert rows["full+clip"]["ratio to Top-2"].value == pytest.approx(clipped.mean() / base.mean(), rel=1e-4)
    assert rows["top2"]["ratio to Top-2"].value == 1


def test_generalization_measures_every_regime():
    pool = load()
    rows = {(row["regime"], row["routing"]): row for row in tables(pool, "generalization")["generalization"]}
    regimes = dict.fromkeys(regime for regime, _ in rows)
    assert list(regimes) == ["as trained", "noise=0.8", "noise=1.2", "fewer steps"]
    assert rows["as trained", "full"]["Delta_refine"].value == pytest.approx(
        refinement(pool, "full", 8).mean(), rel=1e-5
    )
    assert rows["fewer steps", "full"]["Delta_refine"].value == pytest.approx(
        refinement(pool, "full", 4).mean(), rel=1e-5
    )
    wide = refinement(pool.variant("noise=1.2"), "top2", 8)
    assert rows["noise=1.2", "top2"]["Delta_refine"].value == pytest.approx(wide.mean(), rel=1e-5)


def test_the_front_holds_what_nothing_else_dominates():
    points = {"a": (1.0, 5.0), "b": (2.0, 3.0), "c": (2.0, 4.0), "d": (3.0, 3.0), "e": (9.0, 1.0), "twin": (9.0, 1.0)}
    assert _front(points) == ["a", "b", "e", "twin"]


def test_cost_and_quality_reports_what_was_measured():
    pool, analysis = load(), CostAndQuality(("top1", "full", "once", "uniform"), 300)
    settings = analysis.settings(Settings(steps=10))
    recordings = {run: sample(pool, run) for run in make_plan(pool, {analysis: settings}).observables}
    (table,) = analysis.answer(pool, recordings, settings).tables
    rows = {row["routing"]: row for row in table.rows}
    assert rows["once"]["expert evaluations"] == rows["top1"]["expert evaluations"] == 19
    assert rows["full"]["cost / top1"] == pytest.approx(recordings_of(recordings, "full") / 19)
    best = min(row["FID"] for row in rows.values())
    assert [row["FID"] for row in table.rows] == sorted(row["FID"] for row in rows.values())
    assert rows["uniform"]["FID / best"] == pytest.approx(rows["uniform"]["FID"] / best)
    assert rows["uniform"]["on the front"] == "no"
    assert "once" in table.notes[0]


def recordings_of(recordings, routing):
    return float(next(r for run, r in recordings.items() if run.routing == routing).evaluations.double().mean())


def test_the_map_of_gaussians_has_full_best_in_the_exact_corner_and_worst_in_the_far_one():
    pool, analysis = load(), RegimeMap((1.0, math.inf))
    settings = analysis.settings(Settings(n=300, steps=15))
    recordings = {run: sample(pool, run) for run in make_plan(pool, {analysis: settings}).observables}
    (table,) = analysis.answer(pool, recordings, settings).tables
    rows = {(row["experts"], row["T"]): row for row in table.rows}
    assert len(rows) == 5 * 2
    assert rows["as they are", 1.0]["order, best first"].startswith("full")
    assert rows["error=4", "infinite"]["order, best first"].endswith("full")
    assert rows["as they are", 1.0]["FID top1"] == rows["as they are", "infinite"]["FID top1"]
    far = rows["error=4", "infinite"]
    expected = far["FID full"] / min(far["FID top1"], far["FID top2"])
    assert expected > 1
    assert far["full / best of top1, top2"] == pytest.approx(expected)


def test_an_experts_error_is_a_variant_of_the_gaussian_system():
    pool = load()
    changed = pool.variant("error=2")
    assert (pool.expert_error, changed.expert_error) == (0, 2)
    assert changed.fingerprints["experts"] == load(expert_error=2.0).fingerprints["experts"]
    assert changed.variant("noise=1.2").noise_scale == 1.2
    for wrong in ("error=x", "error=-1"):
        with pytest.raises(InputError):
            pool.variant(wrong)


@pytest.mark.parametrize("name", ["cost-and-quality", "regime-map"])
def test_the_plots_can_be_drawn(tmp_path, name):
    pool, analysis = load(), analysis_named(name)
    for n in (1, 30):
        settings = analysis.settings(Settings(n=n, steps=2))
        recordings = {run: sample(pool, run) for run in make_plan(pool, {analysis: settings}).observables}
        for plot in analysis.answer(pool, recordings, settings).plots:
            save_png(plot, tmp_path / f"{plot.name}-{n}.png", {})
            assert (tmp_path / f"{plot.name}-{n}.png").read_bytes().startswith(b"\x89PNG")


def test_an_earlier_stage_of_training_is_a_variant_of_the_digit_system(tiny_checkpoint, images, tmp_path):
    copied = tmp_path / "copy"
    shutil.copytree(tiny_checkpoint, copied)
    for step in (2, 12):
        for k in range(10):
            tensors, _ = read_tensors(copied / f"expert-{k}.safetensors")
            halved = {name: (value.float() / step).contiguous() for name, value in tensors.items()}
            write_tensors(kept_file(copied, f"expert-{k}", step), halved)
    kept_file(copied, "expert-3", 2).unlink()
    pool = MnistPool(copied, images)
    assert MnistPool(tiny_checkpoint, images).error_levels == ("",)
    assert pool.error_levels == ("", "stage=12")
    earlier = pool.variant("stage=12")
    x, t = torch.ones(1, 1, 28, 28), torch.tensor([0.5])
    asked = pool.condition(sample_seeds(0, 1))
    assert not torch.equal(earlier.velocity(0, x, t, asked), pool.velocity(0, x, t, asked))
    assert torch.equal(earlier.router_logits(x, t), pool.router_logits(x, t))
    assert earlier.fingerprints["experts"] != pool.fingerprints["experts"]
    assert earlier.fingerprints["monolith"] == pool.fingerprints["monolith"]
    with pytest.raises(InputError, match=r"unknown stage .* 'stage=2'; there are: stage=12"):
        pool.variant("stage=2")
    with pytest.raises(InputError, match="train with --keep-every"):
        MnistPool(tiny_checkpoint, images).variant("stage=2")
