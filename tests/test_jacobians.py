"""Spectral norms without Jacobians against dense singular values and closed forms."""

import warnings

import numpy as np
import pytest
import torch

from mnist_ddm.core.convolutions import FrozenConvolutions
from mnist_ddm.core.field import make_field
from mnist_ddm.core.jacobians import expert_jacobian, jacobian_terms
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.spectral import LinearMap, jacobian_spectral_norm, spectral_norm
from mnist_ddm.core.visits import start
from mnist_ddm.errors import InputError
from mnist_ddm.models.presets import preset_named
from mnist_ddm.models.unet import UNet

SHAPE = (3, 4, 4)


def normal(*shape, key=1):
    return torch.from_numpy(np.random.Generator(np.random.Philox(key)).normal(size=shape))


def states(pool, n, t, dtype=torch.float64):
    return normal(n, *pool.state_shape, key=5).to(dtype), torch.full((n,), t, dtype=dtype), samples_of(pool, n)


def samples_of(pool, n):
    return start(pool, sample_seeds(0, n))[1]


def dense(f, x):
    """The Jacobian of each row, row by row of autograd, shape (B, d, d); a row of f depends on its own row alone."""
    d = x[0].numel()
    return torch.autograd.functional.jacobian(lambda z: f(z).sum(dim=0), x).reshape(d, len(x), d).transpose(0, 1)


def matrices(jacobian, like):
    """A linear map as matrices, from both kinds of products."""
    n, d = len(like), like[0].numel()
    basis = torch.eye(d, dtype=like.dtype)
    columns = [jacobian.jvp(e.expand(n, d).reshape(like.shape)).reshape(n, d) for e in basis]
    rows = [jacobian.vjp(e.expand(n, d).reshape(like.shape)).reshape(n, d) for e in basis]
    return torch.stack(columns, dim=2), torch.stack(rows, dim=1)


def largest(matrix):
    return torch.linalg.matrix_norm(matrix.double(), 2)


@pytest.fixture
def net():
    torch_state = torch.Generator().manual_seed(3)
    first = torch.nn.Linear(48, 64, dtype=torch.float64)
    second = torch.nn.Linear(64, 48, dtype=torch.float64)
    for layer in (first, second):
        with torch.no_grad():
            layer.weight.normal_(generator=torch_state, std=0.3)
    return torch.nn.Sequential(torch.nn.Flatten(), first, torch.nn.SiLU(), second, torch.nn.Unflatten(1, SHAPE))


@pytest.mark.parametrize(("dtype", "relative"), [(torch.float64, 1e-7), (torch.float32, 2e-6)])
def test_the_norm_is_the_largest_singular_value(net, dtype, relative):
    net, x = net.to(dtype), normal(12, *SHAPE).to(dtype)
    measured = jacobian_spectral_norm(net, x)
    assert measured.converged.all()
    assert (measured.residual <= 1e-4).all()
    exact = dense(net, x)
    torch.testing.assert_close(measured.norm, largest(exact), rtol=relative, atol=0)
    stretched = torch.stack([(exact[i] @ measured.direction[i].flatten()).norm() for i in range(len(x))])
    torch.testing.assert_close(stretched.double(), measured.norm, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bias": False, "padding": 1},
        {"stride": 2, "padding": 1},
        {"stride": (3, 2), "padding": (0, 2), "dilation": (1, 2)},
        {"groups": 2, "padding": "same"},
        {"groups": 2, "stride": 3},
        {"padding": 1, "padding_mode": "replicate"},
    ],
    ids=str,
)
def test_frozen_convolutions_are_torchs_own(settings):
    layer = torch.nn.Conv2d(4, 6, 3, **settings).double().requires_grad_(False)
    x, v = normal(2, 4, 9, 8), normal(2, 4, 9, 8, key=1)
    u = normal(*layer(x).shape, key=2)
    value, pushed = torch.autograd.functional.jvp(layer, x, v)
    _, pulled = torch.autograd.functional.vjp(layer, x, u)
    point = x.clone().requires_grad_()
    with FrozenConvolutions():
        frozen = layer(point)
    probe = torch.zeros_like(frozen, requires_grad=True)
    (back,) = torch.autograd.grad(frozen, point, probe, create_graph=True)
    assert torch.equal(frozen, value)
    torch.testing.assert_close(torch.autograd.grad(back, probe, v, retain_graph=True)[0], pushed)
    torch.testing.assert_close(torch.autograd.grad(frozen, point, u)[0], pulled)


def test_weights_that_learn_keep_their_gradients():
    layer, x = torch.nn.Conv2d(2, 3, 3).double(), normal(1, 2, 5, 5)
    (expected,) = torch.autograd.grad(layer(x).square().sum(), layer.weight)
    with FrozenConvolutions():
        value = layer(x).square().sum()
    assert torch.equal(torch.autograd.grad(value, layer.weight)[0], expected)


@pytest.mark.long
def test_the_norm_of_an_attention_unet(images):
    """A real expert, at the relative accuracy of 1e-4 that analyses rely on, with the tolerance that they use."""
    unet = UNet(preset_named("tiny").unet)
    with torch.no_grad():
        for i, parameter in enumerate(unet.parameters()):
            parameter.copy_(0.2 * normal(*parameter.shape, key=i))
    x = normal(2, 1, 28, 28).float()
    t = torch.full((2,), 0.5)
    measured = jacobian_spectral_norm(lambda z: unet(z, t), x, tolerance=1e-2)
    torch.testing.assert_close(measured.norm, largest(dense(lambda z: unet(z, t), x)), rtol=1e-4, atol=0)


def test_a_row_does_not_depend_on_its_companions_or_on_narrowing(net):
    x = normal(9, *SHAPE)
    scale = torch.linspace(0.1, 3, 9, dtype=torch.float64)[:, None, None, None]

    def restrict(rows):
        return lambda z: net(scale[rows] * z)

    everything = torch.arange(9)
    together = jacobian_spectral_norm(restrict(everything), x)
    narrowed = jacobian_spectral_norm(restrict(everything), x, restrict=restrict)
    alone = [jacobian_spectral_norm(restrict(torch.tensor([i])), x[i : i + 1]) for i in range(9)]
    assert together.products.unique().numel() > 1  # rows stop on their own
    for measured in (narrowed, *alone):
        assert measured.converged.all()
    torch.testing.assert_close(narrowed.norm, together.norm, rtol=1e-12, atol=0)
    torch.testing.assert_close(torch.cat([a.norm for a in alone]), together.norm, rtol=1e-12, atol=0)
    assert torch.equal(torch.cat([a.products for a in alone]), together.products)
    assert torch.equal(narrowed.products, together.products)


def test_a_warm_start_needs_fewer_products_and_finds_a_leading_direction_that_is_new(net):
    x = normal(6, *SHAPE)
    cold = jacobian_spectral_norm(net, x)
    warm = jacobian_spectral_norm(net, x + 0.01, start=cold.direction)
    torch.testing.assert_close(warm.norm, largest(dense(net, x + 0.01)), rtol=1e-5, atol=0)
    assert warm.products.sum() < 0.8 * cold.products.sum()
    diagonal = torch.tensor([2.0, 1.0, 0.5, 0.1], dtype=torch.float64)
    second = torch.tensor([[0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    measured = jacobian_spectral_norm(lambda z: diagonal * z, torch.zeros_like(second), start=second)
    torch.testing.assert_close(measured.norm, torch.tensor([2.0], dtype=torch.float64))


def test_the_generator_decides_the_start_and_no_global_state_is_moved(net):
    x = normal(4, *SHAPE)
    before = torch.random.get_rng_state()
    a, b, c = (
        jacobian_spectral_norm(net, x, generator=torch.Generator().manual_seed(s), max_products=200) for s in (1, 1, 2)
    )
    assert torch.equal(a.norm, b.norm)
    assert not torch.equal(a.norm, c.norm)
    torch.testing.assert_close(a.norm, c.norm, rtol=1e-5, atol=0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_what_did_not_converge_is_said(net):
    x = normal(4, *SHAPE)
    with pytest.warns(RuntimeWarning, match="4 of 4 spectral norms did not converge in 4 products"):
        measured = jacobian_spectral_norm(net, x, max_products=4)
    assert not measured.converged.any()
    assert (measured.residual > 1e-4).all()
    assert measured.products.tolist() == [4] * 4
    assert (measured.norm <= largest(dense(net, x))).all()  # never more than the truth


def test_extreme_maps_are_found():
    x = torch.zeros(2, 5, dtype=torch.float64)
    zero = jacobian_spectral_norm(lambda z: 0 * z, x)
    assert zero.norm.tolist() == [0, 0]
    assert zero.converged.all()
    one_row = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)
    measured = jacobian_spectral_norm(lambda z: (z @ one_row)[:, None] * one_row, x)  # rank 1
    torch.testing.assert_close(measured.norm, torch.full((2,), 55.0, dtype=torch.float64), rtol=1e-12, atol=0)
    assert (measured.products <= 4).all()
    scaled = jacobian_spectral_norm(lambda z: -3 * z, x)
    assert scaled.norm.tolist() == pytest.approx([3, 3], rel=1e-14)
    assert scaled.products.tolist() == [2, 2]
    with pytest.raises(InputError, match="not differentiable"):
        jacobian_spectral_norm(lambda z: z.detach(), x)
    layer = torch.nn.Linear(5, 5, dtype=torch.float64)  # whose parameters require gradients
    with pytest.raises(InputError, match="not differentiable"):
        jacobian_spectral_norm(lambda z: layer(z.detach()), x)


def test_sums_and_shifts_of_maps():
    a, b = normal(2, 6, 6, key=1), normal(2, 6, 6, key=2)

    def of(m):
        return LinearMap(
            lambda v: torch.einsum("bij,bj->bi", m, v),
            lambda u: torch.einsum("bij,bi->bj", m, u),
            lambda rows: of(m[rows]),
        )

    like = torch.zeros(2, 6, dtype=torch.float64)
    both = (of(a) + of(b)).identity_minus(0.3)
    columns, rows = matrices(both, like)
    expected = torch.eye(6, dtype=torch.float64) - 0.3 * (a + b)
    torch.testing.assert_close(columns, expected)
    torch.testing.assert_close(rows, expected)
    torch.testing.assert_close(spectral_norm(both, like).norm, largest(expected), rtol=1e-6, atol=0)


@pytest.mark.parametrize("t", [0.9, 0.5, 0.1])
def test_the_full_ensembles_jacobian_on_gaussians_is_the_closed_form(gaussian, t):
    x, time, samples = states(gaussian, 7, t)
    field = make_field(gaussian, "full")
    weights = field.evaluate(x, time, samples).weights
    terms = jacobian_terms(field, x, time, samples, 0, weights)
    exact = gaussian.marginal_jacobian(x, time)
    for matrix in matrices(terms.whole, x):
        torch.testing.assert_close(matrix, exact, rtol=1e-9, atol=1e-9)
    identity = torch.eye(exact.shape[1], dtype=torch.float64)
    expert = (weights * gaussian.jacobian_scale(time)).sum(dim=1)
    torch.testing.assert_close(matrices(terms.expert, x)[0], expert[:, None, None] * identity, rtol=1e-9, atol=1e-9)
    norms = [spectral_norm(part, x).norm for part in (terms.expert, terms.router, terms.whole)]
    torch.testing.assert_close(norms[0], expert.abs(), rtol=1e-9, atol=0)
    torch.testing.assert_close(norms[1], largest(exact - expert[:, None, None] * identity), rtol=1e-4, atol=1e-9)
    # Singular values nearer to each other than the tolerance cannot be told apart.
    torch.testing.assert_close(norms[2], largest(exact), rtol=1e-4, atol=0)
    assert (norms[2] <= norms[0] + norms[1] + 1e-12).all()
    denoiser = spectral_norm(terms.whole.identity_minus(t), x).norm
    torch.testing.assert_close(denoiser, largest(identity - t * exact), rtol=1e-4, atol=0)
    monolith = jacobian_terms(make_field(gaussian, "monolith"), x, time, samples, 0, None)
    assert monolith.router is None
    torch.testing.assert_close(matrices(monolith.whole, x)[0], exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("routing", ["top1", "top2", "top3", "full", "each", "label", "uniform"])
def test_the_terms_are_the_dense_derivatives_inside_a_region(gaussian, routing):
    """Against autograd of the plain formula with the chosen set held fixed and its weights renormalised."""
    x, time, samples = states(gaussian, 5, 0.6)
    field = make_field(gaussian, routing)
    here = field.evaluate(x, time, samples, 2, all_experts=True)
    terms = jacobian_terms(field, x, time, samples, 2, here.weights)
    for i in range(len(x)):
        row, member = time[i : i + 1], here.weights[i] > 0

        def velocities(z, row=row):
            return torch.stack([gaussian.velocity(k, z, row, None)[0] for k in range(gaussian.n_experts)])

        def weights(z, row=row, member=member, i=i):
            if routing in ("each", "label", "uniform"):
                return here.weights[i]
            return gaussian.router_logits(z, row)[0].masked_fill(~member, -torch.inf).softmax(dim=0)

        def expert(z, i=i, velocities=velocities):
            return torch.einsum("k,k...->...", here.weights[i], velocities(z))[None]

        def uncentred(z, i=i, weights=weights):
            return torch.einsum("k,k...->...", weights(z), here.experts[i])[None]

        def whole(z, weights=weights, velocities=velocities):
            return torch.einsum("k,k...->...", weights(z), velocities(z))[None]

        point = x[i : i + 1]
        close = {"rtol": 1e-9, "atol": 1e-9}
        torch.testing.assert_close(matrices(terms.expert, x)[0][i], dense(expert, point)[0], **close)
        torch.testing.assert_close(matrices(terms.whole, x)[0][i], dense(whole, point)[0], **close)
        if terms.router is None:
            assert routing in ("each", "label", "uniform")
        else:
            torch.testing.assert_close(matrices(terms.router, x)[0][i], dense(uncentred, point)[0], **close)


def test_one_experts_jacobian_is_its_own_whatever_its_weight(gaussian):
    x, time, samples = states(gaussian, 4, 0.4)
    field = make_field(gaussian, "top1")
    for k in range(gaussian.n_experts):
        norm = spectral_norm(expert_jacobian(field, k, x, time, samples), x).norm
        torch.testing.assert_close(norm, gaussian.jacobian_scale(time)[:, k].abs(), rtol=1e-9, atol=0)


@pytest.mark.long
def test_the_trained_system_is_differentiable_and_sums_to_its_whole():
    from mnist_ddm.systems.mnist import load

    pool = load()
    x, time, samples = states(pool, 2, 0.6, torch.float32)
    for routing in ("top2", "full"):
        field = make_field(pool, routing)
        with torch.no_grad():
            weights = field.evaluate(x, time, samples).weights
            terms = jacobian_terms(field, x, time, samples, 0, weights)
        direction = torch.nn.functional.normalize(normal(*x.shape, key=8).float().flatten(1)).reshape(x.shape)
        step = 1e-2
        with torch.no_grad(), warnings.catch_warnings():
            ahead, behind = (field.evaluate(x + s * direction, time, samples).velocity for s in (step, -step))
            slope = (ahead - behind) / (2 * step)
            torch.testing.assert_close(terms.whole.jvp(direction), slope, rtol=5e-2, atol=5e-3)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_row_without_numbers_leaves_the_others_right(number):
    matrices = normal(5, 12, 12)
    spoiled = matrices.clone()
    spoiled[2, 3, 4] = number
    x = normal(5, 12, key=2)

    def function(matrix):
        return lambda rows: lambda z: torch.einsum("bij,bj->bi", matrix[rows], z)

    every = torch.arange(5)
    whole = jacobian_spectral_norm(function(matrices)(every), x, restrict=function(matrices))
    with pytest.warns(RuntimeWarning, match="1 of 5 spectral norms did not converge"):
        norms = jacobian_spectral_norm(function(spoiled)(every), x, restrict=function(spoiled))
    others = every != 2
    assert norms.norm[2].isnan()
    assert norms.residual[2].isnan()
    assert norms.converged.tolist() == others.tolist()
    assert torch.allclose(norms.norm[others], whole.norm[others], rtol=1e-12)
    assert torch.equal(norms.products[others], whole.products[others])
