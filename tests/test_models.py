import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mnist_ddm.data import to_state
from mnist_ddm.errors import InputError
from mnist_ddm.models.linear import GaussianVelocity
from mnist_ddm.models.presets import PARTS, preset_named, preset_names


def test_the_paper_preset_has_ten_million_parameters_within_five_percent():
    assert abs(preset_named("paper").sizes["expert"].parameters / 10e6 - 1) < 0.05


@pytest.mark.parametrize("name", preset_names())
def test_the_stated_sizes_are_those_of_the_networks(name):
    preset = preset_named(name)
    for part, size in preset.sizes.items():
        with torch.device("meta"):
            model = preset.build(part, 10, 10)
            x, t = torch.empty(1, 1, 28, 28), torch.ones(1)
        assert sum(p.numel() for p in model.parameters()) == size.parameters
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            _ = model(x) if part == "classifier" else model(x, t)
        assert counter.get_total_flops() == size.flops, part


@pytest.mark.parametrize("name", preset_names())
def test_monolith_and_experts_have_the_same_architecture_and_the_same_total_budget(name):
    preset = preset_named(name)
    expert, monolith = preset.recipes["expert"], preset.recipes["monolith"]
    assert expert.steps * expert.batch == monolith.steps * monolith.batch
    assert preset.size("expert") == preset.size("monolith")


def test_an_unknown_preset_is_refused_with_the_list():
    with pytest.raises(InputError, match="classroom, tiny, paper"):
        preset_named("huge")


@pytest.mark.parametrize("part", PARTS)
def test_row_by_row_and_in_one_batch_the_networks_agree(part):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = preset_named("tiny").build(part, 10, 10).eval()
        for p in model.parameters():  # leave the zeros that branches start from
            torch.nn.init.normal_(p, std=0.1)
        x, t = torch.randn(5, 1, 28, 28), torch.rand(5)
    arguments = (x,) if part == "classifier" else (x, t)
    whole = model(*arguments)
    for i in range(5):
        one = model(*(a[i : i + 1] for a in arguments))
        torch.testing.assert_close(one[0], whole[i], rtol=1e-4, atol=1e-5)


def test_a_fresh_unet_is_the_exact_velocity_of_gaussian_data(images):
    """Against the formula with dense matrices: v = -mu + (t I - alpha C)(alpha^2 C + t^2 I)^-1 (x - alpha mu)."""
    model = preset_named("tiny").build("expert", 10, 10)
    states = to_state(images.train_images[images.train_labels == 3][:600])
    model.fit_linear(states)
    flat = states.flatten(1).double()
    mean = flat.mean(0)
    values, vectors = torch.linalg.eigh((flat - mean).T @ (flat - mean) / len(flat))
    r = 16
    smoothed = torch.cat([values[:-r].mean().expand(784 - r), values[-r:]])
    covariance = vectors @ torch.diag(smoothed) @ vectors.T
    x = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for t in (0.05, 0.5, 1.0):
        a, eye = 1 - t, torch.eye(784, dtype=torch.float64)
        gain = torch.linalg.solve(a * a * covariance + t * t * eye, t * eye - a * covariance)
        expected = -mean + (x.flatten(1).double() - a * mean) @ gain
        found = model(x, torch.full((4,), t)).flatten(1).double()
        torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-4)


def test_what_the_linear_velocity_leaves_has_the_stated_scale():
    """On data that really is Gaussian, by Monte Carlo."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([2.0, 1.0, 0.3, 0.3, 0.3])
    data = torch.randn(200_000, 5, generator=generator) * scales
    model = GaussianVelocity(5, 2)
    model.fit(data)
    noise = torch.randn(data.shape, generator=generator)
    t = torch.full((len(data),), 0.4)
    x = 0.6 * data + 0.4 * noise
    velocity, state_scale, left = model(x, t)
    assert float((velocity - (noise - data)).square().mean().sqrt()) == pytest.approx(float(left[0]), rel=0.01)
    assert float(x.square().mean().sqrt()) == pytest.approx(float(state_scale[0]), rel=0.01)


def test_a_plain_unet_is_its_network_alone_and_starts_as_nothing(images):
    preset = preset_named("tiny").started(linear=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, again = (preset.build("expert", 10, 10).eval() for _ in range(2))
    x, t = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.rand(3)
    assert torch.equal(model(x, t), torch.zeros_like(x))
    again.load_state_dict(model.state_dict())
    again.fit_linear(to_state(images.train_images[:50]))
    assert not any(name.startswith("linear.") for name in model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.1)
    assert torch.equal(model(x, t), model._network(x, t))
    assert model.stem.weight.shape[1] == 16


def test_a_preset_that_is_like_another_differs_in_what_it_says_alone():
    for name, other in (("classroom-plain", "classroom"), ("paper-linear", "paper")):
        own, like = preset_named(name), preset_named(other)
        assert own.unet.linear is not like.unet.linear
        assert own.started(linear=like.unet.linear).unet == like.unet
        assert (own.router, own.classifier, own.recipes) == (like.router, like.classifier, like.recipes)
        assert own.sizes["router"] == like.sizes["router"]


def test_a_jacobian_product_works_forward_and_backward():
    """Later analyses need both modes of differentiation through every network."""
    model = preset_named("tiny").build("expert", 10, 10).eval().requires_grad_(False)
    x, t = torch.randn(2, 2, 1, 28, 28, generator=torch.Generator().manual_seed(0))[0], torch.full((2,), 0.5)
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    _, forward = torch.func.jvp(lambda y: model(y, t), (x,), (v,))
    _, pull = torch.func.vjp(lambda y: model(y, t), x)
    u = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close((u * forward).sum(), (pull(u)[0] * v).sum(), rtol=1e-4, atol=1e-4)


def test_no_model_is_built_from_the_global_random_state(tiny_checkpoint, images, global_state):
    from mnist_ddm.systems.mnist import MnistPool

    MnistPool(tiny_checkpoint, images)
