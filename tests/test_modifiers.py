"""Several modifiers: those that act, those that could not, and whom a strategy chose."""

import pytest
import torch

from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.routing import RoutingContext, Samples, parse_routing
from mnist_ddm.errors import InputError


def states(pool, n, t):
    x = torch.randn(n, *pool.state_shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, torch.full((n,), t, dtype=torch.float64)


def context(pool, x, t):
    seeds = sample_seeds(0, len(x))
    return RoutingContext(x, t, 0, Samples(seeds, pool.condition(seeds)), pool)


UNHEARD = (
    "full@density@T=4", "full@centroids@T=4", "top1@density@likelihood", "full@fault=flipped@T=4", "posterior@T=4",
    "once=prior@T=9", "full@density@fault=flipped", "full@density+caption", "full@clean+caption", "label@centroids",
    "uniform@likelihood", "geometric@density", "full@T=2@centroids@T=4", "each~0.5~full@density@T=2",
)  # fmt: skip


@pytest.mark.parametrize("text", UNHEARD)
def test_a_modifier_of_logits_that_nobody_looks_at_is_refused(text):
    with pytest.raises(InputError, match="the last one acts first"):
        parse_routing(text)


@pytest.mark.parametrize(
    "text", ["full@T=4@density", "full@T=4@fault=flipped", "top2@likelihood@T=2", "full@T=2+caption"]
)
def test_modifiers_in_an_order_in_which_all_act_are_taken(text):
    assert parse_routing(text).name == text


LOGIT_MODIFIERS = ("@T=0.001", "@likelihood", "@implied", "@clean", "@density", "@fault=stale", "@rough=50")


@pytest.mark.parametrize(
    "text", ["top2@T=0.001~0.5~top2@T=0.001", *(f"{base}{m}" for base in ("top2", "gumbel2") for m in LOGIT_MODIFIERS)]
)
def test_modifiers_keep_whom_a_strategy_chose_however_small_its_weight(gaussian, text):
    """An expert of a pair whose weight underflows is one of the pair, which `+equal` asks."""
    x, time = states(gaussian, 40, 0.02)
    chosen = parse_routing(text).chosen(40 * gaussian.posterior_logits(x, time), context(gaussian, x, time))
    assert (chosen.sum(dim=1) == 2).all()


def test_an_expert_without_data_is_ruled_out_where_its_prior_is_taken_off(gaussian, monkeypatch):
    prior = torch.tensor([0.5, 0.0, 0.25, 0.25], dtype=torch.float64)
    monkeypatch.setattr(type(gaussian), "prior", property(lambda self: prior))
    x, time = states(gaussian, 5, 0.5)
    weights = parse_routing("full@likelihood").weights(
        torch.zeros(5, 4, dtype=torch.float64), context(gaussian, x, time)
    )
    torch.testing.assert_close(weights[0], torch.tensor([0.2, 0.0, 0.4, 0.4], dtype=torch.float64))
