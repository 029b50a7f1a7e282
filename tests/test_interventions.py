"""Rescue, counterfactuals, generalization: on the exact system, against the definitions."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from mnist_ddm.analyses.counterfactual import Counterfactual
from mnist_ddm.analyses.generalization import Generalization
from mnist_ddm.analyses.quality import long_samplings
from mnist_ddm.analyses.registry import analysis_named
from mnist_ddm.analyses.rescue import Rescue
from mnist_ddm.analyses.settings import JoinedSettings, RefinementSettings
from mnist_ddm.core.noise import initial_noise, sample_seeds
from mnist_ddm.core.recording import recording_key, sample
from mnist_ddm.core.visits import Sampling, start
from mnist_ddm.errors import InputError
from mnist_ddm.figures.draw import save_plot
from mnist_ddm.models.checkpoint import kept_file
from mnist_ddm.storage.files import read_tensors, write_tensors
from mnist_ddm.systems.gaussian import load
from mnist_ddm.systems.mnist import MnistPool

JOINED, REFINED = JoinedSettings(n=40, steps=8), RefinementSettings(n=40, steps=8)


def refinement(pool, routing, steps):
    coarse, fine = (sample(pool, Sampling(routing, n=40, steps=s)).final for s in (steps, 2 * steps))
    return next(iter(pool.measures.distances.values()))(pool.decode(coarse), pool.decode(fine)).double().numpy()


def test_a_variant_changes_the_start_states_and_nothing_else():
    pool, seeds = load(), sample_seeds(0, 5)
    shifted = pool.variant("noise=1.5")
    assert torch.equal(start(shifted, seeds)[0], 1.5 * initial_noise(seeds, pool.state_shape))
    assert torch.equal(start(pool, seeds)[0], initial_noise(seeds, pool.state_shape))
    assert shifted.fingerprints == pool.fingerprints
    plain = Sampling("top1", n=5, steps=3)
    other = Sampling("top1", n=5, steps=3, variant="noise=1.5")
    assert recording_key(pool, plain) != recording_key(pool, other)
    assert torch.equal(sample(pool, other).final, sample(shifted, plain).final)
    for wrong in ("noise=0", "noise=-1", "noise", "noise=nan", "colour=2"):
        with pytest.raises(InputError, match="unknown variant of the system 'gaussian'"):
            pool.variant(wrong)


def test_a_sampling_without_a_variant_keeps_the_name_it_had():
    assert "variant" not in Sampling("top1", n=5).identity


def test_rescue_by_hand(answered):
    pool = load()
    long = long_samplings(pool, JOINED, ("full", "full@T=4"))
    assert [(sampling.n, sampling.steps) for sampling in long.values()] == [(1000, 25)] * 2
    summary, by_temperature, by_share = answered(Rescue(), pool, JOINED).tables
    assert by_temperature.column("t_router") == [0.1, 0.25, 0.5, 1.0, 2.0, 4.0]
    flat = by_temperature.row(t_router=4.0)
    logits = sample(pool, Sampling("full@T=4", n=40, steps=8), ("logits",)).observed["logits"].double().numpy() / 4
    p = np.exp(logits - logits.max(axis=2, keepdims=True))
    p /= p.sum(axis=2, keepdims=True)
    assert flat["entropy"].value == pytest.approx(-(p * np.log(p)).sum(axis=2).mean(), rel=1e-5)
    error = refinement(pool, "full@T=4", 8)
    assert flat["delta_refine"].value == pytest.approx(error.mean(), rel=1e-5)
    entropies = [entropy.value for entropy in by_temperature.column("entropy")]
    assert entropies == sorted(entropies)
    assert by_share.row(p=1.0)["delta_refine"] == by_temperature.row(t_router=1.0)["delta_refine"]
    assert by_share.row(p=0.8)["entropy"].value < by_share.row(p=1.0)["entropy"].value
    best = min(by_temperature.rows, key=lambda row: row["delta_refine"].value)
    chosen = summary.row(variant="best_temperature")
    assert (chosen["delta_refine"], chosen["t_router"]) == (best["delta_refine"], best["t_router"])
    assert summary.row(variant="top_p_0.9")["delta_refine"] == by_share.row(p=0.9)["delta_refine"]
    assert summary.row(variant="full")["fid"] is None


def test_counterfactuals_by_hand(answered):
    pool = load()
    (table,) = answered(Counterfactual(), pool, JOINED).tables
    assert table.column("routing") == ["top2", "full", "full+clip", "misaligned2", "misaligned2+equal"]
    base, clipped = refinement(pool, "top2", 8), refinement(pool, "full+clip", 8)
    row = table.row(routing="full+clip")
    assert row["delta_refine"].value == pytest.approx(clipped.mean(), rel=1e-4)
    assert row["smaller"].value == pytest.approx(100 * (clipped < base).mean() / (clipped != base).mean(), abs=5)
    assert row["delta_refine_median"].value == pytest.approx(np.median(clipped), rel=1e-3)
    assert row["ratio_to_top2"].value == pytest.approx(clipped.mean() / base.mean(), rel=1e-4)
    assert table.row(routing="top2")["ratio_to_top2"].value == 1


@pytest.mark.long
def test_generalization_measures_every_regime(answered):
    pool = load()
    (table,) = answered(Generalization(), pool, REFINED).tables
    regimes = dict.fromkeys((row["regime"], row["variant"]) for row in table.rows)
    shifts = [("shift_1", "noise=0.8"), ("shift_2", "noise=1.2")]
    assert list(regimes) == [("as_trained", None), *shifts, ("fewer_steps", None)]

    def error(regime, routing):
        return table.row(regime=regime, routing=routing)["delta_refine"].value

    assert error("as_trained", "full") == pytest.approx(refinement(pool, "full", 8).mean(), rel=1e-5)
    assert error("fewer_steps", "full") == pytest.approx(refinement(pool, "full", 4).mean(), rel=1e-5)
    wide = refinement(pool.variant("noise=1.2"), "top2", 8)
    assert error("shift_2", "top2") == pytest.approx(wide.mean(), rel=1e-5)


def test_an_experts_error_is_a_variant_of_the_gaussian_system():
    pool = load()
    changed = pool.variant("error=2")
    assert (pool.expert_error, changed.expert_error) == (0, 2)
    assert changed.fingerprints["experts"] == load(expert_error=2.0).fingerprints["experts"]
    assert changed.variant("noise=1.2").noise_scale == 1.2
    for wrong in ("error=x", "error=-1"):
        with pytest.raises(InputError):
            pool.variant(wrong)


@pytest.mark.long
@pytest.mark.parametrize("name", ["cost-and-quality", "regime-map", "rescue", "generalization"])
def test_the_plots_can_be_drawn(tmp_path, name, answered, small_map):
    pool, analysis = load(), analysis_named(name)
    few = {"temperatures": (1.0, math.inf)} if name == "regime-map" else {}
    for n in (1, 30):
        for plot in answered(analysis, pool, replace(analysis.sizes.at("small"), n=n, steps=2, **few)).plots:
            save_plot(plot, [tmp_path / f"{plot.name}-{n}.png"], {})
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
