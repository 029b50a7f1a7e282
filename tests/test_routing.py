import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnist_ddm.core.errors import InputError
from mnist_ddm.core.field import RoutedField
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.pool import Condition
from mnist_ddm.core.routing import FullEnsemble, RoutingContext, Samples, TopK, known_routings, parse_routing
from mnist_ddm.systems.gaussian import load

ALL = ["top1", "top2", "top4", "full", "uniform", "misaligned2", "once", "each", "label"]


def context(n, pool=None, clusters=None):
    seeds = sample_seeds(0, n)
    clusters = torch.zeros(n, dtype=torch.int64) if clusters is None else clusters
    samples = Samples(seeds, Condition(clusters))
    return RoutingContext(torch.zeros(n, 1, 8, 8), torch.ones(n), 0, samples, pool or load())


logit_rows = st.lists(st.floats(-30, 30, width=32), min_size=8, max_size=8)


@pytest.mark.parametrize("name", ALL)
@given(row=logit_rows)
def test_weights_are_a_distribution(name, row):
    weights = parse_routing(name).weights(torch.tensor([row]), context(1))
    assert (weights >= 0).all()
    assert float(weights.double().sum()) == pytest.approx(1, abs=1e-6)


@given(row=logit_rows, k=st.integers(1, 8))
def test_top_k_keeps_the_k_largest_in_their_proportions_and_with_all_it_is_full(row, k):
    logits = torch.tensor([row])
    weights = TopK(k).weights(logits, context(1))[0]
    full = FullEnsemble().weights(logits, context(1))[0]
    chosen = np.argsort(-np.array(row, dtype=np.float32), kind="stable")[:k]
    expected = torch.zeros(8)
    expected[chosen] = full[chosen] / full[chosen].sum() if full[chosen].sum() > 0 else expected[chosen]
    torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-6)
    if k == 8:
        assert torch.equal(weights, full)


def test_ties_go_to_the_lower_number():
    assert TopK(2).weights(torch.zeros(1, 8), context(1))[0].tolist() == [0.5, 0.5, 0, 0, 0, 0, 0, 0]


def test_top_k_weights_are_differentiable_inside_a_region():
    logits = torch.tensor([[3.0, 1.0, -1.0]], dtype=torch.float64, requires_grad=True)
    weights = TopK(2).weights(logits, context(1))
    (gradient,) = torch.autograd.grad(weights[0, 0], logits)
    p = torch.tensor([3.0, 1.0], dtype=torch.float64).softmax(0)
    expected = torch.tensor([[p[0] * p[1], -p[0] * p[1], 0.0]], dtype=torch.float64)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-15)


def test_label_follows_the_condition_and_asks_no_router():
    clusters = torch.tensor([3, 0, 7])
    routing = parse_routing("label")
    weights = routing.weights(torch.zeros(3, 8), context(3, clusters=clusters))
    assert not routing.needs_router
    assert torch.equal(weights, torch.nn.functional.one_hot(clusters, 8).float())


def test_once_draws_from_the_router_by_the_samples_seed_and_keeps_the_draw():
    n = 4000
    where = context(n)
    logits = torch.tensor([[0.0, 1.0, 2.0, -50.0, -50.0, -50.0, -50.0, -50.0]]).expand(n, -1)
    first = parse_routing("once").weights(logits, where)
    torch.testing.assert_close(first.mean(0), logits[0].softmax(0), rtol=0, atol=0.03)
    again = parse_routing("once").weights(logits.flip(1), where)
    assert torch.equal(first, again)
    assert torch.equal(first[:5], parse_routing("once").weights(logits[:5], context(5)))


@pytest.mark.parametrize("name", ALL)
def test_a_spelling_is_read_back(name):
    assert parse_routing(name).name == name


@pytest.mark.parametrize("text", ["top0", "top", "top-k", "best", "full3", "top2@T=", "", "top2.5"])
def test_what_does_not_exist_is_refused_in_one_line(text):
    with pytest.raises(InputError) as error:
        parse_routing(text)
    assert "\n" not in str(error.value)


def test_the_error_lists_what_exists():
    with pytest.raises(
        InputError, match=r"top1, top2, \.\.\., full, uniform, misaligned1, misaligned2, \.\.\., once, each, label"
    ):
        parse_routing("best")
    assert known_routings()[0] == "top1, top2, ..."


def test_more_experts_than_there_are_is_refused():
    with pytest.raises(InputError, match="choose k <= 8"):
        RoutedField(load(), parse_routing("top9"))


def test_a_strategy_of_another_package_is_found(monkeypatch):
    from importlib.metadata import EntryPoint

    from mnist_ddm.core import routing

    entry = EntryPoint("mine", f"{__name__}:make_mine", routing.ENTRY_POINT_GROUP)
    monkeypatch.setattr(routing, "entry_points", lambda group: [entry])
    assert parse_routing("mine=3") == TopK(3)
    assert "mine" in known_routings()


def make_mine(argument):
    return TopK(int(argument))
