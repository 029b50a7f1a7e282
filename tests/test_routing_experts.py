"""Strategies that ask the experts, draw with random numbers of the sample's own, or change with time."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from mnist_ddm.core.condition import Condition
from mnist_ddm.core.field import make_field
from mnist_ddm.core.jacobians import jacobian_terms
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.recording import sample
from mnist_ddm.core.routing import RoutingContext, Samples, density, parse_routing
from mnist_ddm.core.routing.blends import spatial_median_weights
from mnist_ddm.core.routing.density import log_densities
from mnist_ddm.core.visits import Noising, Sampling, start
from mnist_ddm.errors import InputError
from mnist_ddm.study.cost import evaluations_each
from mnist_ddm.systems.gaussian import GaussianPool, load
from mnist_ddm.systems.mnist import MnistPool

# A right sampler fails a test of its distribution with this probability; the seeds are fixed, so it never does.
CHANCE = 1e-3


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def states(pool, n, t, seed=0):
    x = torch.randn(n, *pool.state_shape, generator=rng(seed), dtype=torch.float64)
    return x, torch.full((n,), t, dtype=torch.float64)


def context(pool, x, t, seed=0):
    seeds = sample_seeds(seed, len(x))
    return RoutingContext(x, t, 0, Samples(seeds, pool.condition(seeds)), pool)


# Gumbel


@pytest.mark.parametrize("t", [1.0, 0.7, 0.3])
def test_a_gumbel_vector_draws_from_the_router_exactly_at_a_state_that_does_not_depend_on_it(gaussian, t):
    n = 20_000
    x, time = states(gaussian, 3, t)
    for logits in 0.3 * gaussian.posterior_logits(x, time):
        place = context(gaussian, x[:1].expand(n, -1, -1, -1), time[:1].expand(n), seed=7)
        drawn = parse_routing("gumbel").weights(logits.expand(n, -1), place)
        assert set(drawn.unique().tolist()) == {0, 1}
        expected = n * logits.softmax(dim=0)
        kept = expected > 5
        pooled = [[*v[kept], v[~kept].sum() + 1e-9] for v in (drawn.sum(dim=0).numpy(), expected.numpy())]
        assert stats.chisquare(*pooled).pvalue > CHANCE


def test_along_its_own_trajectory_gumbel_keeps_to_what_it_chose(gaussian):
    """The mean of p(chosen) is that of sum p^2 for exact draws: of `each` at every time, of `gumbel` at t = 1 alone."""
    excess = {}
    for name in ("gumbel", "each"):
        recording = sample(gaussian, Sampling(name, 1500, steps=10), ("logits", "weights"))
        p = recording.observed["logits"].double().softmax(dim=2)
        beyond = (p * recording.observed["weights"]).sum(dim=2) - p.square().sum(dim=2)
        excess[name] = (beyond.mean(dim=0) / beyond.std(dim=0) * math.sqrt(len(beyond))).tolist()
    assert all(abs(z) < 4 for z in [*excess["each"], excess["gumbel"][0]])
    assert max(excess["gumbel"]) > 8


def test_gumbel_top_k_draws_without_replacement_and_weighs_by_the_router(gaussian):
    n, logits = 20_000, torch.tensor([0.0, 1.0, 2.0, -1.0], dtype=torch.float64)
    x, time = states(gaussian, 1, 0.5)
    weights = parse_routing("gumbel2").weights(
        logits.expand(n, -1), context(gaussian, x.expand(n, -1, -1, -1), time.expand(n))
    )
    p = logits.softmax(dim=0)
    pairs = list(itertools.combinations(range(4), 2))
    seen = Counter(tuple(row.nonzero()[:, 0].tolist()) for row in weights)
    chances = [float(p[i] * p[j] * (1 / (1 - p[i]) + 1 / (1 - p[j]))) for i, j in pairs]
    assert sum(chances) == pytest.approx(1, abs=1e-12)
    assert stats.chisquare([seen[pair] for pair in pairs], [n * c for c in chances]).pvalue > CHANCE
    chosen = weights > 0
    torch.testing.assert_close(weights, torch.where(chosen, p, 0) / torch.where(chosen, p, 0).sum(1, keepdim=True))


def test_a_gumbel_draw_is_kept_while_the_router_keeps_its_mind(gaussian):
    x, time = states(gaussian, 200, 0.9)
    logits = torch.randn(200, 4, generator=rng(1), dtype=torch.float64)
    routing, place = parse_routing("gumbel"), context(gaussian, x, time)
    first = routing.weights(logits, place)
    later = RoutingContext(-x, 0.3 * time, 17, place.samples, gaussian)
    assert torch.equal(routing.weights(logits + 5, later), first)
    sure = torch.nn.functional.one_hot(torch.arange(200) % 4, 4) * 50.0
    assert torch.equal(routing.weights(sure.double(), later), (sure > 0).double())
    assert parse_routing("gumbel") == parse_routing("gumbel1")
    assert torch.equal(parse_routing("gumbel4").weights(logits, place), logits.softmax(dim=1))


# Changes with time


def test_one_routing_follows_another(gaussian):
    routing = parse_routing("full~0.8~top1~0.4~top2")
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    for t, part in ((1.0, "full"), (0.8, "full"), (0.79, "top1"), (0.4, "top1"), (0.39, "top2"), (0.1, "top2")):
        x = torch.zeros(1, *gaussian.state_shape)
        place = context(gaussian, x, torch.full((1,), t))
        assert torch.equal(routing.weights(logits, place), parse_routing(part).weights(logits, place))
    mixed = context(gaussian, torch.zeros(2, *gaussian.state_shape), torch.tensor([0.9, 0.5]))
    found = routing.weights(logits.expand(2, -1), mixed)
    assert torch.equal(found[:1], logits.softmax(dim=1))
    assert found[1].tolist() == [0, 0, 1, 0]
    assert (routing.most_experts(4), routing.needs_router) == (4, True)
    assert not parse_routing("label~0.5~uniform").needs_router
    with pytest.raises(InputError, match="choose k <= 4"):
        make_field(gaussian, "top1~0.5~top5")


def test_what_one_routing_keeps_the_next_one_finds():
    pool = load()
    plain, cut = (sample(pool, Sampling(r, n=8, steps=6)).final for r in ("once", "once~0.5~once"))
    assert torch.equal(plain, cut)
    tracked, cut = (
        sample(pool, Sampling(r, n=8, steps=6)).final for r in ("full@density", "full@density~0.5~full@density")
    )
    assert torch.equal(tracked, cut)
    flat = load(router_temperature=4.0)  # at t = 1 an exact router says what the prior does
    both = sample(flat, Sampling("once~0.5~once=prior", n=200, steps=4), ("weights",)).observed["weights"]
    assert (both[:, 0] != both[:, -1]).any()  # two draws, and not one under two names


# What the router says, changed


def test_likelihood_is_the_router_without_its_prior(gaussian):
    x, t = states(gaussian, 50, 0.5)
    logits = gaussian.posterior_logits(x, t) + 3.7
    found = parse_routing("full@likelihood").weights(logits, context(gaussian, x, t))
    equal = GaussianPool(gaussian.means, gaussian.scales, torch.ones(4))
    torch.testing.assert_close(found, equal.posterior_logits(x, t).softmax(dim=1), rtol=1e-12, atol=1e-14)
    assert (found - logits.softmax(dim=1)).abs().max() > 0.05


class Told(GaussianPool):
    """Gaussians whose captions say which clusters may be meant, as a text of their numbers."""

    knows_conditions = True

    def condition_posterior(self, condition):
        may = torch.tensor([[str(k) in caption for k in range(self.n_experts)] for caption in condition.captions])
        return may * self.prior / (may * self.prior).sum(dim=1, keepdim=True)


def test_a_router_that_knows_the_caption_is_the_posterior_of_what_it_leaves(gaussian):
    x, t = states(gaussian, 3, 0.5)
    pool = Told(gaussian.means, gaussian.scales, gaussian.prior)
    captions = ("one of 1 and 3", "anything of 0123", "2")
    told = RoutingContext(x, t, 0, Samples(torch.arange(3), Condition(torch.zeros(3), captions)), pool)
    logits = gaussian.posterior_logits(x, t) + 3.7
    found = parse_routing("full+caption").weights(logits, told)
    left = GaussianPool(gaussian.means[[1, 3]], gaussian.scales[[1, 3]], gaussian.prior[[1, 3]])
    expected = torch.zeros(4, dtype=found.dtype)
    expected[[1, 3]] = left.posterior_logits(x[:1], t[:1]).softmax(dim=1)[0]
    torch.testing.assert_close(found[0], expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found[1], logits[1].softmax(dim=0), rtol=1e-12, atol=1e-14)
    assert found[2].tolist() == pytest.approx([0, 0, 1, 0], abs=1e-300)
    assert parse_routing("top1+caption").weights(logits, told)[0].argmax() == expected.argmax()
    assert (parse_routing("full+caption").cost(4), parse_routing("full+caption").needs_conditions) == (0, True)
    with pytest.raises(InputError, match="does not know which clusters a caption belongs to"):
        make_field(gaussian, "top2+caption")
    with pytest.raises(InputError, match="does not know"):
        make_field(gaussian, "each~0.5~top1+caption")
    make_field(pool, "each~0.5~top1+caption")


def test_clean_asks_the_router_about_the_predicted_clean_state(gaussian):
    x, t = states(gaussian, 20, 0.6)
    found = parse_routing("top2@clean").weights(gaussian.posterior_logits(x, t), context(gaussian, x, t))
    clean = x - 0.6 * gaussian.monolith_velocity(x, t, Condition(torch.zeros(20)))
    logits = gaussian.posterior_logits(clean, torch.zeros_like(t))
    expected = parse_routing("top2").weights(logits, context(gaussian, x, t))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_implied_slope_is_that_of_the_experts_whatever_the_routers_is(gaussian, temperature):
    pool = GaussianPool(gaussian.means, gaussian.scales, gaussian.prior, router_temperature=temperature)
    x, t = states(pool, 6, 0.5, seed=3)
    x = 0.3 * x
    samples = context(pool, x, t).samples
    field = make_field(pool, "full@implied")
    here = field.evaluate(x, t, samples)
    terms = jacobian_terms(field, x, t, samples, 0, here.weights)
    d = x[0].numel()
    basis = torch.eye(d, dtype=torch.float64).reshape(d, 1, *pool.state_shape)
    columns = [terms.router.jvp(e.expand(6, -1, -1, -1)).flatten(1) for e in basis]
    router = torch.stack(columns, dim=2)
    v = pool.exact_velocities(x, t).flatten(2)
    deviation = v - (here.weights[:, :, None] * v).sum(dim=1, keepdim=True)
    implied = -(1 - 0.5) / 0.5 * torch.einsum("bk,bki,bkj->bij", here.weights, deviation, deviation)
    torch.testing.assert_close(router, implied, rtol=1e-11, atol=1e-13)
    if temperature == 1:
        whole = torch.stack([terms.whole.jvp(e.expand(6, -1, -1, -1)).flatten(1) for e in basis], dim=2)
        torch.testing.assert_close(whole, pool.marginal_jacobian(x, t), rtol=1e-11, atol=1e-12)


def test_the_implied_slope_leaves_the_samples():
    pool = load(router_temperature=2.0)
    plain, implied = (sample(pool, Sampling(r, n=10, steps=5)) for r in ("full", "full@implied"))
    assert torch.equal(plain.final, implied.final)


# Blends


def test_the_spatial_median_is_the_least_sum_of_distances():
    points = torch.randn(30, 5, 7, generator=rng(2), dtype=torch.float64)
    p = torch.rand(30, 5, generator=rng(3), dtype=torch.float64)
    weights = spatial_median_weights(points, p)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(30, dtype=torch.float64))
    for z, q, w in zip(points.numpy(), p.numpy(), weights.numpy(), strict=True):

        def total(v, z=z, q=q):
            return float((q * np.linalg.norm(v - z, axis=1)).sum())

        best = optimize.minimize(total, z.mean(axis=0), method="BFGS", options={"gtol": 1e-10}).fun
        assert total(w @ z) <= min(best, *(total(v) for v in z)) * (1 + 1e-9)


def test_more_than_half_of_the_probability_decides_alone_and_on_a_line_the_median_is_the_usual_one():
    points = torch.randn(1, 4, 3, generator=rng(2), dtype=torch.float64)
    assert spatial_median_weights(points, torch.tensor([[0.2, 0.51, 0.2, 0.09]])).tolist() == [[0, 1, 0, 0]]
    line = torch.tensor([[[0.0], [1.0], [2.0], [30.0], [31.0]]])
    assert spatial_median_weights(line, torch.ones(1, 5)).tolist() == [[0, 0, 1, 0, 0]]
    twice = torch.tensor([[[0.0, 0.0], [1.0, 2.0], [1.0, 2.0], [5.0, 1.0]]]).double()  # two have more than half
    assert (spatial_median_weights(twice, torch.tensor([[0.2, 0.3, 0.3, 0.2]])) @ twice).tolist() == [[[1, 2]]]
    triangle = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]]], dtype=torch.float64)
    torch.testing.assert_close(spatial_median_weights(triangle, torch.ones(1, 3)), torch.full((1, 3), 1 / 3).double())


def test_the_geometric_mean_of_densities_has_the_mean_of_their_scores(gaussian):
    x, t = states(gaussian, 9, 0.4)
    velocity = make_field(gaussian, "geometric").evaluate(x, t, context(gaussian, x, t).samples).velocity
    precision = gaussian.prior / gaussian.variance(t)[0]  # of each factor N(x; a mu_k, V_k)^(pi_k)
    mean = 0.6 * torch.einsum("k,kchw->chw", precision / precision.sum(), gaussian.means)
    score = -precision.sum() * (x - mean)
    torch.testing.assert_close(velocity, -(x + 0.4 * score) / 0.6, rtol=1e-12, atol=1e-13)


# Densities


def errors(pool, visits):
    """The largest error of the tracked log densities, but for what they share, over states and experts."""
    field, worst = visits.field(pool), []
    for visit in itertools.islice(visits.walk(field, range(visits.n)), len(visits.times)):
        found = visit.samples.memory["density"]
        exact = pool.posterior_logits(visit.x.double(), visit.times.double()) - pool.prior.log()
        centred = (found - found.mean(dim=1, keepdim=True)) - (exact - exact.mean(dim=1, keepdim=True))
        worst.append(float(centred.abs().max()))
    return worst


@pytest.mark.parametrize("routing", ["full@density", "top1@density", "gumbel@density"])
def test_tracked_densities_are_the_exact_ones_up_to_the_square_of_the_step(gaussian, routing):
    """Along the blend, along one expert after another, and through the states that Heun's method leaves again."""
    coarse, fine, finest = (errors(gaussian, Sampling(routing, n=20, steps=n)) for n in (10, 20, 40))
    assert max(coarse[0], fine[0]) < 1e-14
    at_half = coarse[5], fine[10], finest[20]
    assert at_half[2] < 0.02
    for rough, smooth in itertools.pairwise(at_half):
        assert 3.5 < rough / smooth < 4.5


def test_states_without_a_trajectory_are_led_from_the_noise(gaussian, monkeypatch):
    for moment, most in ((0.9, 5e-3), (0.5, 5e-2)):
        rough, smooth = [], []
        for step, found in ((0.05, rough), (0.025, smooth)):
            monkeypatch.setattr(density, "_FIRST_STEP", step)
            found += errors(gaussian, Noising("full@density", n=20, moments=(moment,)))
        assert rough[0] < most
        assert 3.5 < rough[0] / smooth[0] < 4.5


def test_densities_route_as_the_exact_posterior_does():
    pool = load()
    tracked, exact = (sample(pool, Sampling(r, n=40, steps=80)).final for r in ("full@density", "posterior"))
    assert (tracked - exact).abs().max() < 2e-3
    assert (tracked - exact).abs().mean() < 2e-5


def test_hutchinsons_direction_belongs_to_the_sample(gaussian):
    """With Jacobians that are no multiples of the identity the estimate depends on it, and on nothing else."""
    pool = GaussianPool(gaussian.means, gaussian.scales, gaussian.prior, expert_error=2.0)
    x, t = states(pool, 12, 0.8)
    seeds = sample_seeds(0, 12)

    def found(rows):
        samples = Samples(seeds[rows], Condition(torch.zeros(len(rows), dtype=torch.int64)))
        return log_densities(RoutingContext(x[rows], t[rows], 0, samples, pool))

    whole = found(torch.arange(12))
    torch.testing.assert_close(found(torch.tensor([7, 2])), whole[[7, 2]], rtol=1e-13, atol=1e-13)
    assert (whole - found(torch.arange(12).flip(0)).flip(0)).abs().max() < 1e-12


def test_an_expert_without_derivatives_is_refused(gaussian, monkeypatch):
    x, t = states(gaussian, 2, 0.8)
    velocity = GaussianPool.velocity
    monkeypatch.setattr(GaussianPool, "velocity", lambda self, *given: velocity(self, *given).detach())
    with pytest.raises(InputError, match="expert 0 of 'gaussian' is not differentiable"):
        log_densities(context(gaussian, x, t))


# Cost and independence


class Counting(GaussianPool):
    """Counts the rows that experts get, and those through which a gradient may be asked for."""

    rows = products = 0

    def velocity(self, expert, x, t, condition):
        self.rows += len(x)
        self.products += len(x) * torch.is_grad_enabled()
        return super().velocity(expert, x, t, condition)


@pytest.mark.parametrize(
    "routing",
    ["gumbel", "gumbel2", "median", "geometric", "top1@likelihood", "top1@clean", "full@clean", "top1@implied",
     "full@density", "top1@density", "full~0.5~top1", "top1~0.5~full@density"],
)  # fmt: skip
def test_every_evaluation_is_counted_once(gaussian, routing):
    pool = Counting(gaussian.means, gaussian.scales, gaussian.prior)
    visits = Sampling(routing, n=30, steps=5)
    recording = sample(pool, visits)
    assert int(recording.evaluations.sum()) == pool.rows + pool.products
    if routing != "top1~0.5~full@density":  # which has to find the densities of a trajectory that it did not see
        assert recording.evaluations.max() <= evaluations_each(pool, visits, ())


@pytest.mark.parametrize("routing", ["gumbel2", "median", "full@clean", "full@density", "each~0.5~gumbel"])
def test_trajectories_of_networks_do_not_depend_on_companions(tiny_checkpoint, images, routing):
    pool, visits = MnistPool(tiny_checkpoint, images), Sampling(routing, n=5, steps=2)
    field = visits.field(pool)
    whole = [visit.x for visit in visits.walk(field, range(5))][-1]
    for i in (1, 4):
        assert torch.equal(whole[i : i + 1], [visit.x for visit in visits.walk(field, range(i, i + 1))][-1])


def test_keeping_velocities_leaves_the_field_as_it_is(gaussian):
    """A strategy that asks some experts first, and a field that needs others as well."""
    x, t = states(gaussian, 15, 0.5)
    samples = start(gaussian, sample_seeds(0, 15))[1]
    wanted = torch.rand(15, 4, generator=rng(5)) < 0.5
    place = RoutingContext(x, t, 0, samples, gaussian)
    asked = place.experts.velocities(wanted)
    every = torch.stack([gaussian.velocity(k, x, t, samples.condition) for k in range(4)], dim=1)
    assert torch.equal(asked, torch.where(wanted[:, :, None, None, None], every, 0))
    rows = torch.tensor([3, 14, 0, 7])
    for k in range(4):
        assert torch.equal(place.experts.of(k, rows), every[rows, k])
    chosen = torch.zeros(15, 4, dtype=torch.bool)
    assert torch.equal(place.experts.evaluations(chosen), wanted.sum(dim=1))
    assert torch.equal(place.experts.evaluations(~chosen), torch.full((15,), 4))
