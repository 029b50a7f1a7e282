from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnist_ddm.core.condition import Condition
from mnist_ddm.core.field import RoutedField, make_field
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.recording import sample
from mnist_ddm.core.routing import FullEnsemble, Routing, RoutingContext, Samples, TopK, known_routings, parse_routing
from mnist_ddm.core.visits import Sampling
from mnist_ddm.errors import LONGEST, InputError
from mnist_ddm.systems.gaussian import load

ALL = [
    "top1", "top2", "top4", "full", "uniform", "misaligned2", "once", "once=prior", "each", "label", "posterior",
    "top-p=0.9", "min-p=0.05", "commit=0.8", "full@T=4", "top2@T=0.1", "misaligned2+equal", "full+clip",
    "top2@centroids", "full@centroids=static", "full@T=2+clip+equal", "gumbel", "gumbel2", "median", "geometric",
    "top1@likelihood", "full@clean", "full@density", "gumbel@density", "full@implied", "each~0.8~top1",
    "full@T=2~0.8~gumbel~0.25~top2+equal", "top2@fault=flipped", "full@T=2@fault=stale", "top1@fault=permuted",
    "full@T=16@rough=50", "gumbel2@rough=0.5",
]  # fmt: skip


POOL = load()
"""One for all."""
routing_named = cache(parse_routing)
"""One for all examples: what a routing computes of a pool's data, such as centroids, it computes once."""


def context(n, pool=None, clusters=None):
    seeds = sample_seeds(0, n)
    clusters = torch.zeros(n, dtype=torch.int64) if clusters is None else clusters
    samples = Samples(seeds, Condition(clusters))
    return RoutingContext(torch.zeros(n, 1, 8, 8), torch.ones(n), 0, samples, pool or POOL)


logit_rows = st.lists(st.floats(-30, 30, width=32), min_size=8, max_size=8)


@pytest.mark.parametrize("name", ALL)
@given(row=logit_rows)
def test_weights_are_a_distribution(name, row):
    weights = routing_named(name).weights(torch.tensor([row]), context(1))
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


WRONG = """
top0 top top-k best full3 top2@T= top2.5 full@T=0 full@T=-1 full@T=nan full@x=1 full+clip=2 top-p=0 top-p=1.1 top-p
min-p min-p=0 min-p=1.1 min-p=x
commit=2 commit=x once=router top1@centroids=x +clip gumbel0 gumbel=x median2 geometric=1 full@density=2 full@clean=x
full@fault full@fault=wrong full@rough full@rough=0 full@rough=-1 full@rough=x full@rough=1e7 uniform@rough=5
each~0.8 ~0.8~top1 each~0.8~ each~1~top1 each~0~top1 each~x~top1 each~0.5~top1~0.8~full each~top1 each~~top1
"""


@pytest.mark.parametrize("text", ["", *WRONG.split()])
def test_what_does_not_exist_is_refused_in_one_line(text):
    with pytest.raises(InputError) as error:
        parse_routing(text)
    assert "\n" not in str(error.value)


def test_the_error_lists_what_exists():
    with pytest.raises(
        InputError,
        match=r"top1, top2, \.\.\., full, uniform, misaligned1, misaligned2, \.\.\., once, once=prior, each, commit",
    ):
        parse_routing("best")
    assert known_routings()[0] == "top1, top2, ..."


def test_more_experts_than_there_are_is_refused():
    with pytest.raises(InputError, match="choose k <= 8"):
        RoutedField(load(), parse_routing("top9"))


def test_a_strategy_of_another_package_is_found(monkeypatch):
    from importlib.metadata import EntryPoint

    from mnist_ddm.core import spellings as routing

    entry = EntryPoint("mine", f"{__name__}:make_mine", routing.ENTRY_POINT_GROUP)
    monkeypatch.setattr(routing, "entry_points", lambda group: [entry])
    assert parse_routing("mine=3") == TopK(3)
    assert "mine" in known_routings()


def make_mine(argument):
    return TopK(int(argument))


@pytest.mark.parametrize("name", ALL)
def test_a_name_is_read_back_as_the_same_strategy(name):
    assert parse_routing(name).name == name
    assert parse_routing(name.upper()).name == name


@given(row=logit_rows)
def test_where_strategies_meet(row):
    logits = torch.tensor([row])

    def weights(name):
        return parse_routing(name).weights(logits, context(1))

    full, rounding = weights("full"), {"rtol": 1e-5, "atol": 1e-6}
    assert torch.equal(weights("full@T=1"), full)
    assert torch.equal(weights("top-p=1"), full)
    torch.testing.assert_close(weights("full@T=1e9"), weights("uniform"), **rounding)
    torch.testing.assert_close(weights("full+equal"), (full > 0) / (full > 0).sum(), **rounding)
    assert torch.equal(weights("top1@T=7"), weights("top1"))
    if logits[0].sort().values[-2:].diff() > 1e-3:
        torch.testing.assert_close(weights("full@T=1e-5"), weights("top1"), **rounding)
        assert torch.equal(weights("top-p=1e-9"), weights("top1"))


@given(row=logit_rows, p=st.floats(0.05, 0.99))
def test_top_p_is_the_smallest_set_of_at_least_p(row, p):
    logits = torch.tensor([row], dtype=torch.float64)
    weights, full = (parse_routing(n).weights(logits, context(1))[0] for n in (f"top-p={p}", "full"))
    chosen = weights > 0
    total = full[chosen].sum()
    assert total >= p - 1e-12
    assert total - full[chosen].min() < p + 1e-12
    torch.testing.assert_close(weights[chosen], full[chosen] / total, rtol=1e-9, atol=1e-12)


@given(row=logit_rows, p=st.floats(0.001, 1))
def test_min_p_asks_those_of_at_least_p_and_never_nobody(row, p):
    logits = torch.tensor([row], dtype=torch.float64)
    routing = parse_routing(f"min-p={p}")
    weights, full, first = (parse_routing(n).weights(logits, context(1))[0] for n in (f"min-p={p}", "full", "top1"))
    share = parse_routing(f"min-p={p}").p
    enough = full >= share
    chosen = enough if enough.any() else first > 0
    assert torch.equal(routing.chosen(logits, context(1))[0], chosen)
    assert torch.equal(weights > 0, chosen)
    assert int(chosen.sum()) <= routing.most_experts(8)
    torch.testing.assert_close(weights[chosen], full[chosen] / full[chosen].sum(), rtol=1e-9, atol=1e-12)


def test_min_p_lies_between_full_and_top1():
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    place = context(2)

    def weights(name):
        return parse_routing(name).weights(logits, place)

    assert torch.equal(weights("min-p=1e-9"), weights("full"))
    assert torch.equal(weights("min-p=0.51"), weights("top1"))
    assert torch.equal(weights("min-p=0.25")[1], weights("full")[1])  # each has just as much
    assert weights("min-p=0.1")[0].tolist() == pytest.approx([*torch.tensor([3.0, 2.0]).softmax(0).tolist(), 0, 0])
    assert [parse_routing(f"min-p={p}").most_experts(8) for p in (1e-9, 0.01, 0.12500001, 0.3, 0.5, 1)] == [
        8,
        8,
        8,
        3,
        2,
        1,
    ]


def test_commit_keeps_the_expert_it_was_once_sure_of():
    sure, unsure, other = ([5.0, 0.0], [0.1, 0.0], [0.0, 5.0])
    place, routing = context(2), parse_routing("commit=0.9")
    steps = [[unsure, unsure], [sure, unsure], [other, unsure], [unsure, other], [unsure, sure]]
    found = [routing.weights(torch.tensor(rows), place) for rows in steps]
    assert torch.equal(found[0], torch.tensor(steps[0]).softmax(dim=1))
    assert found[1][0].tolist() == [1, 0]
    assert torch.equal(found[2][1], torch.tensor(unsure).softmax(dim=0))
    assert [w[0].tolist() for w in found[2:]] == [[1, 0]] * 3
    assert [w[1].tolist() for w in found[3:]] == [[0, 1]] * 2


def test_the_posterior_is_the_exact_one():
    pool = load()
    x, t = pool.measures.real_states(20)[0].double(), torch.full((20,), 0.6, dtype=torch.float64)
    place = RoutingContext(x, t, 0, context(20).samples, pool)
    found = parse_routing("posterior").weights(torch.zeros(20, 8, dtype=torch.float64), place)
    torch.testing.assert_close(found, pool.posterior_logits(x, t).softmax(dim=1))


def test_clipped_experts_are_those_above_the_median_norm(gaussian):
    """Whose norms are known: |c_k(t)|."""
    x, t = torch.zeros(3, 1, 2, 3, dtype=torch.float64), torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    place = RoutingContext(x, t, 0, context(3).samples, gaussian)
    logits = torch.tensor([[0.0, 1.0, 2.0, 0.5]], dtype=torch.float64).expand(3, -1)
    norms = gaussian.jacobian_scale(t).abs()
    above = norms > norms.quantile(0.5, dim=1, keepdim=True)
    assert above.sum(dim=1).tolist() == [2, 2, 2]
    full = logits.softmax(dim=1)
    expected = full.masked_fill(above, 0)
    found = parse_routing("full+clip").weights(logits, place)
    torch.testing.assert_close(found, expected / expected.sum(dim=1, keepdim=True))
    only_above = torch.where(above, 5.0, -torch.inf).double()
    kept = parse_routing("top1+clip").weights(only_above, place)
    assert torch.equal(kept, parse_routing("top1").weights(only_above, place))


def test_one_expert_is_drawn_from_the_prior_and_kept(gaussian):
    routing, place = parse_routing("once=prior"), context(4000, gaussian)
    first = routing.weights(torch.zeros(4000, 4), place)
    assert torch.equal(first, routing.weights(torch.randn(4000, 4, generator=torch.Generator().manual_seed(0)), place))
    torch.testing.assert_close(first.mean(dim=0).double(), gaussian.prior, atol=0.03, rtol=0)


def test_centroids_of_gaussians_are_nearly_their_posterior():
    """The states' clusters are isotropic Gaussians, so only the estimated centroids differ."""
    pool = load()
    x, t = pool.measures.real_states(200)[0].double(), torch.full((200,), 0.4, dtype=torch.float64)
    noisy = 0.6 * x + 0.4 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    place = RoutingContext(noisy, t, 0, context(200).samples, pool)
    found, static = (
        parse_routing(n).weights(torch.zeros(200, 8, dtype=torch.float64), place)
        for n in ("full@centroids", "full@centroids=static")
    )
    exact = pool.posterior_logits(noisy, t).softmax(dim=1)
    assert (found - exact).abs().sum(dim=1).mean() / 2 < 0.02
    assert (static - exact).abs().sum(dim=1).mean() > 2 * (found - exact).abs().sum(dim=1).mean()


@pytest.mark.parametrize(
    "name",
    [
        *("misaligned2@T=50", "misaligned2@T=50+equal", "each", "once", "commit=0.6"),
        *("gumbel", "gumbel2@T=50", "each~0.5~top1", "full@density"),
    ],
)
def test_a_finer_grid_sees_the_same_random_experts(name):
    pool = load()  # a high temperature, so that no weight of an expert that was drawn rounds to 0
    coarse, fine = (
        sample(pool, Sampling(name, n=12, steps=6, refine=r), ("weights",)).observed["weights"] for r in (1, 2)
    )
    if "misaligned" in name:
        assert torch.equal(fine[:, ::2] > 0, coarse > 0)
        assert torch.equal(fine[:, 1::2] > 0, coarse > 0)
    else:
        assert torch.equal(fine[:, 0], coarse[:, 0])


@pytest.mark.parametrize("spelling", ["posterior", "posterior+equal"])
def test_a_system_without_a_closed_form_has_no_posterior_to_route_by(monkeypatch, spelling):
    from mnist_ddm.analyses.systems import fitting
    from mnist_ddm.systems.gaussian import GaussianMeasures

    monkeypatch.setattr(GaussianMeasures, "reference", None)
    with pytest.raises(InputError, match="no closed-form posterior"):
        RoutedField(load(), parse_routing(spelling))
    assert fitting(load(), ["top1", spelling, "full"]) == ["top1", "full"]


@pytest.mark.parametrize("spelling", ["top2", "misaligned2", "top2@T=0.5", "misaligned2@T=2"])
def test_equal_weights_keep_an_expert_whose_own_weight_rounds_to_zero(gaussian, spelling):
    seeds = sample_seeds(0, 40)
    where = RoutingContext(
        torch.zeros(40, 1, 2, 3), torch.full((40,), 1e-3), 0, Samples(seeds, Condition(seeds)), gaussian
    )
    logits = torch.tensor([[0.0, -300.0, -600.0, -900.0]]).expand(40, -1)
    weights, own = (parse_routing(name).weights(logits, where) for name in (f"{spelling}+equal", spelling))
    assert ((own > 0).sum(dim=1) == 1).any()
    assert torch.equal(weights.sort(dim=1).values, torch.tensor([[0, 0, 0.5, 0.5]]).expand(40, -1))


def test_an_expert_that_the_router_rules_out_gets_no_equal_weight():
    weights = parse_routing("top2+equal").weights(torch.tensor([[0.0] + [-torch.inf] * 7]), context(1))
    assert weights.tolist() == [[1.0] + [0.0] * 7]


def test_centroids_of_a_system_without_data_are_refused_before_anything_is_sampled(gaussian, monkeypatch):
    from mnist_ddm.core.measures import Measures

    monkeypatch.setattr(type(gaussian), "measures", Measures(4))
    for spelling in ("full@centroids", "top2@centroids=static+equal", "top1~0.5~full@centroids"):
        with pytest.raises(InputError, match="has no real states for"):
            make_field(gaussian, spelling)


class Theirs(Routing):
    """A strategy of somebody else's, whose answers a test decides."""

    name, needs_router, fits = "theirs", True, staticmethod(lambda n: None)

    def check(self, n_experts):
        type(self).fits(n_experts)

    def most_experts(self, n_experts):
        return n_experts

    def weights(self, logits, context):
        return self.answer(logits)


def make_theirs(argument):
    return Theirs()


def fails(*arguments):
    raise ZeroDivisionError("of\nothers" * 50)


@pytest.fixture
def theirs(monkeypatch):
    from importlib.metadata import EntryPoint

    from mnist_ddm.core import spellings

    entry = EntryPoint("theirs", f"{__name__}:make_theirs", spellings.ENTRY_POINT_GROUP)
    monkeypatch.setattr(spellings, "entry_points", lambda group: [entry])
    return lambda name, function: monkeypatch.setattr(Theirs, name, staticmethod(function), raising=False)


@pytest.mark.parametrize("spelling", ["theirs", "theirs@T=2+equal", "top1~0.9~theirs"])
@pytest.mark.parametrize(
    "answer",
    [fails, lambda z: None, lambda z: z[:, :2], lambda z: z.long(), lambda z: -z.softmax(1), lambda z: exit()],
)
def test_a_strategy_of_others_that_fails_while_it_samples_is_named_in_one_line(gaussian, theirs, spelling, answer):
    theirs("answer", answer)
    with pytest.raises(
        InputError, match=rf"the routing ('Theirs' of {__name__} does not work|'theirs@T=2.equal' gives)"
    ) as said:
        sample(gaussian, Sampling(spelling, n=3, steps=2))
    assert len(str(said.value)) <= LONGEST
    assert str(said.value).isprintable()


def test_a_strategy_of_others_that_works_is_asked_as_ours_are(gaussian, theirs):
    theirs("answer", lambda z: z.softmax(dim=1))
    names = ("weights", "jacobian-terms@tenths")
    here, there = (sample(gaussian, Sampling(name, n=3, steps=10), names) for name in ("theirs", "full"))
    assert torch.equal(here.final, there.final)
    for name in names:
        assert torch.equal(here.observed[name], there.observed[name])
    theirs("fits", fails)
    with pytest.raises(InputError, match="the routing 'Theirs'"):
        make_field(gaussian, "theirs")
