"""Routers used wrongly: each fault against its definition, and the table that they are judged by."""

import math

import numpy as np
import pytest
import torch

from mnist_ddm.analyses import faults as module
from mnist_ddm.analyses.faults import EQUAL, NONE, PARIS_ORDER, Faults, FaultSettings
from mnist_ddm.core.field import make_field
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.recording import sample
from mnist_ddm.core.routing import FAULTS, RoutingContext, Samples, parse_routing
from mnist_ddm.core.visits import Sampling, start
from mnist_ddm.errors import InputError
from mnist_ddm.systems.gaussian import GaussianPool, load

ASKED = {
    "flipped": lambda x, t: (x, 1 - t),
    "large": lambda x, t: (x, 999 * t),
    "small": lambda x, t: (x, t / 999),
    "scaled": lambda x, t: (0.18215 * x, t),
    "unscaled": lambda x, t: (x / 0.18215, t),
}


def place(pool, x, t, interval=0, memory=None):
    seeds = sample_seeds(0, len(x))
    return RoutingContext(x, t, interval, Samples(seeds, pool.condition(seeds), {} if memory is None else memory), pool)


@pytest.mark.parametrize("fault", ASKED)
def test_a_fault_asks_the_router_about_something_else(gaussian, fault):
    x, t = start(gaussian, sample_seeds(1, 20))[0].double(), torch.linspace(0.1, 0.9, 20, dtype=torch.float64)
    weights = parse_routing(f"full@T=3@fault={fault}").weights(gaussian.router_logits(x, t), place(gaussian, x, t))
    expected = (gaussian.router_logits(*ASKED[fault](x, t)) / 3).softmax(dim=1)
    torch.testing.assert_close(weights, expected, rtol=1e-9, atol=1e-12)
    assert (weights - (gaussian.router_logits(x, t) / 3).softmax(dim=1)).abs().max() > 0.01


def test_every_expert_gets_the_answer_of_another_one(gaussian):
    x, t = torch.zeros(1, *gaussian.state_shape), torch.ones(1)
    logits = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    plain, moved = (parse_routing(s).weights(logits, place(gaussian, x, t))[0] for s in ("full", "full@fault=permuted"))
    torch.testing.assert_close(moved, plain[[3, 0, 1, 2]])
    assert plain.tolist() != moved.tolist()


def test_a_stale_router_is_one_step_late(gaussian):
    sampled = sample(gaussian, Sampling("top2@fault=stale", 6, steps=5), ("x", "weights"))
    routing, pool = parse_routing("top2"), gaussian
    for i in range(5):
        late = max(i - 1, 0)
        x, t = sampled.observed["x"][:, late], sampled.times[late].float().expand(6)
        expected = routing.weights(pool.router_logits(x, t), place(pool, x, t))
        torch.testing.assert_close(sampled.observed["weights"][:, i], expected, rtol=1e-6, atol=1e-7)


def test_both_looks_of_a_step_see_the_same_stale_answer(gaussian):
    memory, (x, _) = {}, start(gaussian, sample_seeds(0, 3))
    routing, seen = parse_routing("full@fault=stale"), []
    for interval, scale in ((0, 1.0), (0, 0.9), (1, 0.8), (1, 0.7), (2, 0.6)):
        where = place(gaussian, scale * x, torch.full((3,), scale), interval, memory)
        seen.append(routing.weights(gaussian.router_logits(where.x, where.t), where))
    assert all(torch.equal(seen[0], other) for other in seen[1:4])
    expected = gaussian.router_logits(0.8 * x, torch.full((3,), 0.8)).softmax(dim=1)
    torch.testing.assert_close(seen[4], expected)


def test_equal_experts_make_the_permuted_router_harmless():
    """Of two Gaussians that mirror each other, a permuted router follows the flow of the mirrored one."""
    mean = torch.tensor([[1.0, 0.5], [-1.0, -0.5]], dtype=torch.float64)
    pool = GaussianPool(mean, torch.tensor([0.3, 0.3]), torch.tensor([1.0, 1.0]))
    x, t = torch.randn(8, 2, generator=torch.Generator().manual_seed(0)), torch.full((8,), 0.6)
    samples = Samples(sample_seeds(0, 8), pool.condition(sample_seeds(0, 8)))
    moved = make_field(pool, "full@fault=permuted").evaluate(x, t, samples).weights
    mirrored = make_field(pool, "full").evaluate(-x, t, samples).weights
    torch.testing.assert_close(moved, mirrored, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_routing_without_a_router_has_no_fault(fault):
    with pytest.raises(InputError, match="'uniform' does not look at"):
        parse_routing(f"uniform@fault={fault}")


def test_a_fault_that_does_not_exist_is_refused_with_the_list():
    with pytest.raises(InputError, match=r"@fault=flipped.*@fault=permuted"):
        parse_routing("top1@fault=late")


def test_temperatures_bring_every_router_to_the_same_entropy():
    found = module._temperatures(load(), 0.6)
    assert found.keys() == {NONE, *FAULTS, EQUAL}
    for fault in {*found} - {EQUAL, "small", "unscaled"}:
        assert found[fault][1] == pytest.approx(0.6, abs=2e-3), fault
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, math.log(3.0)]], dtype=torch.float64)
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(2)
    assert module._matched(logits, quarter)[0] == pytest.approx(1, abs=1e-3)


def test_the_table_says_which_fault_gives_which_order(answered, monkeypatch):
    monkeypatch.setattr(module, "FAULTS", {name: FAULTS[name] for name in ("flipped", "permuted")})
    (table,) = answered(Faults(), load(), FaultSettings(n=160, steps=3)).tables
    rows = {row["fault"]: row for row in table.rows}
    assert rows.keys() == {NONE, "flipped", "permuted", EQUAL}
    for row in rows.values():
        fids = {name: row[f"fid_{name}"].value for name in ("top2", "monolith", "top1", "full")}
        order = sorted(fids, key=fids.get)
        assert row["order"] == ", ".join(order)
        assert (row["paris_order"] == "yes") == (row["order"] == PARIS_ORDER)
        routed = [name for name in order if name != "monolith"] == ["top2", "top1", "full"]
        assert (row["routed_order"] != "no") == routed
        apart = row["difference_full_top1"]
        assert apart.value == pytest.approx(fids["full"] - fids["top1"])
        if row["routed_order"] == "sure":
            assert min(apart.low, row["difference_top1_top2"].low) > 0
    assert len({row["fid_monolith"].value for row in rows.values()}) == 1
    assert rows["permuted"]["fid_full"].low > rows[NONE]["fid_full"].high
    assert rows[EQUAL]["fid_top1"] == rows[NONE]["fid_top1"]
    spelled = f"full@T={rows[NONE]['t_router']:g}"
    weights = sample(load(), Sampling(spelled, 160, steps=3), ("weights",)).observed["weights"].double().numpy()
    along = -(weights * np.log(np.maximum(weights, 1e-300))).sum(axis=2).mean() / math.log(load().n_experts)
    assert rows[NONE]["entropy_along"].value == pytest.approx(along, rel=1e-6)
    assert rows[NONE]["entropy_along"].low > rows[NONE]["entropy"]  # it is less sure where it samples
    assert rows[EQUAL]["entropy_along"].value == pytest.approx(1.0)


@pytest.mark.parametrize("entropy", [0.0, 1.0, math.nan])
def test_an_entropy_that_no_router_has_is_refused(entropy):
    with pytest.raises(InputError, match="between 0 and 1"):
        Faults().needs(load(), FaultSettings(n=8, entropy=entropy))
