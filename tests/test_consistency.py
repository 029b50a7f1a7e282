"""A router's term of the Jacobian beside the one that its experts imply: exact systems, and two ways to be wrong."""

import math

import pytest
import torch

from mnist_ddm.analyses.consistency import ConsistencySettings, RouterConsistency
from mnist_ddm.core.consistency import PARTS, router_consistency
from mnist_ddm.core.field import make_field
from mnist_ddm.core.noise import sample_seeds, signs
from mnist_ddm.core.routing import RoutingContext, Samples, parse_routing
from mnist_ddm.core.routing.modifiers import ROUGH
from mnist_ddm.core.visits import Visit, start
from mnist_ddm.errors import InputError
from mnist_ddm.systems.gaussian import GaussianPool, load


def visit(pool, routing, t=0.5, n=6):
    x = 0.4 * torch.randn(n, *pool.state_shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    samples = start(pool, sample_seeds(0, n))[1]
    field, times = make_field(pool, routing), torch.full((n,), t, dtype=torch.float64)
    evaluation = field.evaluate(x, times, samples, all_experts=True)
    return Visit(x, t, evaluation, samples, field, torch.zeros(n), 0, 1, 0)


def parts(pool, routing, **where):
    return dict(zip(PARTS, router_consistency(visit(pool, routing, **where)).T, strict=True))


@pytest.mark.parametrize("t", [0.9, 0.5, 0.2])
def test_an_exact_router_is_consistent(gaussian, t):
    found = parts(gaussian, "full", t=t)
    close = {"rtol": 1e-9, "atol": 1e-12}
    for name in ("learned", "product", "transposed"):
        torch.testing.assert_close(found[name], found["implied"], **close)
    torch.testing.assert_close(found["trace"], found["implied_trace"], **close)
    assert (found["skew"] <= 1e-18 * found["probed"] + 1e-20).all()
    assert (found["trace"] < 0).all()


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_a_router_at_another_temperature_has_the_right_direction_and_one_over_t_of_the_norm(gaussian, temperature):
    """Whether it is the routing's temperature or the router's own."""
    flat = GaussianPool(gaussian.means, gaussian.scales, gaussian.prior, router_temperature=temperature)
    for found in (parts(gaussian, f"full@T={temperature}"), parts(flat, "full")):
        torch.testing.assert_close(found["learned"] * temperature**2, found["implied"], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found["product"] * temperature, found["implied"], rtol=1e-9, atol=1e-12)


def test_a_rough_router_has_nearly_the_right_values_and_a_large_term_in_wrong_directions(gaussian):
    seen, exact = visit(gaussian, "full@rough=50"), visit(gaussian, "full")
    # Logits that are off by a change probabilities by the factor e^(2a) at the most.
    assert (seen.evaluation.weights / exact.evaluation.weights).log().abs().max() <= 2 * ROUGH + 1e-9
    found, right = (dict(zip(PARTS, router_consistency(v).T, strict=True)) for v in (seen, exact))
    ratio = found["learned"] / found["implied"]
    cosine = found["product"] / (found["learned"] * found["implied"]).sqrt()
    assert ratio.median() > 4
    assert cosine.abs().median() < 0.5
    assert (1 - found["transposed"] / found["learned"]).median() > 0.1
    torch.testing.assert_close(found["implied"], right["implied"], rtol=1, atol=0)
    x = torch.randn(4000, *gaussian.state_shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = x.requires_grad_()
    t = torch.full((4000,), 0.5, dtype=torch.float64)
    logits = gaussian.router_logits(x, t)
    seeds = sample_seeds(0, len(x))
    context = RoutingContext(x, t, 0, Samples(seeds, gaussian.condition(seeds)), gaussian)
    added = (parse_routing("full@rough=50").logits(logits, context) - logits)[:, 2]
    (slope,) = torch.autograd.grad(added.sum(), x)
    assert float(slope.flatten(1).square().sum(dim=1).mean().sqrt()) == pytest.approx(50, rel=0.03)


@pytest.mark.parametrize("routing", ["full@T=3@rough=3", "top2@rough=3"])
def test_the_numbers_are_those_of_matrices(gaussian, routing):
    """Built row by row with the plainest code."""
    pool = gaussian
    seen, here = visit(pool, routing, n=3), parts(pool, routing, n=3)
    for i in range(3):
        x, t = seen.x[i : i + 1], torch.full((1,), 0.5, dtype=torch.float64)
        samples = seen.samples.select(torch.tensor([i]))

        def weights(flat, t=t, samples=samples):
            return seen.field.weights(flat.reshape(1, *pool.state_shape), t, samples)[1][0]

        def velocity(flat, t=t, samples=samples):
            return seen.field.evaluate(flat.reshape(1, *pool.state_shape), t, samples).velocity.flatten()

        w, slopes = weights(x.flatten()), torch.autograd.functional.jacobian(weights, x.flatten())
        v = seen.evaluation.experts[i].flatten(1)
        apart = v - w @ v
        learned, implied = apart.T @ slopes, -(apart.T * w) @ apart
        jacobian = torch.autograd.functional.jacobian(velocity, x.flatten())
        z = signs(samples.seeds, pool.state_shape).double().flatten()
        expected = {
            "learned": (learned**2).sum(), "implied": (implied**2).sum(), "product": (learned * implied).sum(),
            "transposed": (learned * learned.T).sum(), "trace": learned.trace(), "implied_trace": implied.trace(),
            "skew": ((jacobian - jacobian.T) @ z).square().sum(), "probed": (jacobian @ z).square().sum(),
        }  # fmt: skip
        for name, value in expected.items():
            assert float(here[name][i]) == pytest.approx(float(value), rel=1e-8, abs=1e-12), name


@pytest.mark.long
def test_the_table_says_so_too(answered):
    table = answered(RouterConsistency(), load(), ConsistencySettings(n=6, steps=10)).tables[0]
    exact = list(table.select(router="as it is", routing="full"))
    assert len(exact) == 9
    for row in exact:
        assert row["ratio"].value == pytest.approx(1, abs=1e-3)
        assert row["asymmetry_whole"].value < 1e-3
    for temperature in (0.5, 4.0):
        for row in table.select(router="as it is", routing=f"full@T={temperature:g}"):
            assert row["along"].value == pytest.approx(1 / temperature, abs=1e-3)
            assert not row["angle"].value >= 1, "of samples whose terms are nothing there is no angle"
    wrong = table.row(router="error=1", routing="full", t=0.9)
    assert wrong["ratio"].value < 0.99, "an exact router beside experts that err looks like a flat one"
    assert wrong["angle"].value > 5
    rough = table.row(router="as it is", routing="full@rough=50", t=0.5)
    assert rough["ratio"].value > 2
    assert rough["angle"].value > 45
    assert not math.isnan(rough["asymmetry"].value)


def test_weights_that_only_jump_have_no_term_and_what_has_no_router_is_refused(gaussian):
    found = parts(gaussian, "each")
    assert found["learned"].abs().max() == found["trace"].abs().max() == 0
    with pytest.raises(InputError, match="needs experts and a router"):
        router_consistency(visit(gaussian, "uniform"))
    with pytest.raises(InputError, match="needs routings that ask a router"):
        RouterConsistency().needs(gaussian, ConsistencySettings(n=4, routings=("uniform", "monolith")))
