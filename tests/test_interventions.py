"""Rescue, counterfactuals, generalization: on the exact system, against the definitions."""

import numpy as np
import pytest
import torch

from mnist_ddm.analyses.base import Settings
from mnist_ddm.analyses.quality import long_runs
from mnist_ddm.analyses.registry import analysis_named
from mnist_ddm.core.errors import InputError
from mnist_ddm.core.noise import initial_noise, sample_seeds
from mnist_ddm.core.recording import recording_key, sample
from mnist_ddm.core.runs import Sampling, start
from mnist_ddm.report.study import make_plan
from mnist_ddm.systems.gaussian import load

SETTINGS = Settings(n=40, steps=8)


def tables(pool, name, settings=SETTINGS, extra=()):
    analysis = analysis_named(name)
    filled = analysis.settings(settings)
    plan = make_plan(pool, {analysis: filled})
    recordings = {s: sample(pool, s, names) for s, names in plan.observables.items()}
    recordings |= {s: sample(pool, s) for s in extra}
    return {table.name: table.rows for table in analysis.analyse(pool, recordings, filled).tables}


def refinement(pool, routing, steps):
    coarse, fine = (sample(pool, Sampling(routing, n=40, steps=s)).final for s in (steps, 2 * steps))
    return next(iter(pool.distances.values()))(pool.decode(coarse), pool.decode(fine)).double().numpy()


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
