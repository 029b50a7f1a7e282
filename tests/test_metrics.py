import hashlib
import math
from dataclasses import astuple

import numpy as np
import pytest
import scipy.linalg
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchmetrics.functional.image.lpips import _LPIPS
from torchmetrics.image.kid import poly_mmd

from mnist_ddm.analyses.disagreement import Disagreement
from mnist_ddm.analyses.quality import Quality, QualitySettings
from mnist_ddm.analyses.settings import RefinementSettings
from mnist_ddm.core.measures import Features
from mnist_ddm.errors import InputError
from mnist_ddm.metrics import frechet, manifold, perceptual
from mnist_ddm.metrics.fidelity import ALL, nearest_training_distance
from mnist_ddm.metrics.frechet import ENOUGH, KernelDistance, extract, frechet_distance
from mnist_ddm.metrics.frechet_limit import LimitDistance
from mnist_ddm.metrics.inception import _prepare, build_inception
from mnist_ddm.metrics.manifold import precision_and_coverage
from mnist_ddm.metrics.perceptual import TRUNKS, build_lpips, lpips_distance, trunk_file
from mnist_ddm.metrics.pretrained import Pretrained
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.systems.gaussian import load
from mnist_ddm.systems.mnist import MnistPool
from mnist_ddm.systems.registry import load_system


def test_the_frechet_distance_agrees_with_the_formula():
    a, b = torch.randn(2, 400, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    b = b * 1.5 + 0.3
    ca, cb = np.cov(a.T.numpy()), np.cov(b.T.numpy())
    root = scipy.linalg.sqrtm(ca @ cb).real
    expected = float((a.mean(0) - b.mean(0)).square().sum()) + np.trace(ca + cb - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert 0 <= frechet_distance(a, a) < 1e-9
    for seed in range(20):  # of equal sets it may round to below 0
        c = torch.randn(300, 40, generator=torch.Generator().manual_seed(seed)) * 1e3
        assert frechet_distance(c, c) >= 0
    with pytest.raises(InputError, match="not finite"):
        frechet_distance(a, b * torch.nan)


def test_one_sample_has_no_frechet_distance():
    with pytest.raises(InputError, match="at least two"):
        frechet_distance(torch.zeros(1, 3), torch.zeros(5, 3))


def test_features_do_not_depend_on_the_batches():
    features = Features("sum", lambda images: images.flatten(1)[:, :2])
    images = torch.rand(1100, 1, 3, 3)
    assert torch.equal(extract(features, images), images.flatten(1)[:, :2].double())


def test_the_digit_feature_distance_is_a_distance_of_directions(tiny_checkpoint, images):
    pool = MnistPool(tiny_checkpoint, images)
    distance = pool.measures.distances["digits"]
    a, b = (pool.decode(pool.measures.real_states(20, cluster=k)[0]) for k in (3, 8))
    between = distance(a, b)
    assert torch.equal(distance(a, a), torch.zeros(20))
    torch.testing.assert_close(between, distance(b, a), rtol=1e-6, atol=1e-7)
    assert between.min() > 0
    assert between.max() <= 4
    maps = zip(pool.measures._classifier.maps(a * 2 - 1), pool.measures._classifier.maps(b * 2 - 1), strict=True)
    expected = [
        np.mean([((x / np.linalg.norm(x, axis=0) - y / np.linalg.norm(y, axis=0)) ** 2).sum(0).mean()])
        for x, y in ((f[0].double().numpy(), g[0].double().numpy()) for f, g in maps)
    ]
    assert float(between[0]) == pytest.approx(np.mean(expected), rel=1e-4)


def test_a_missing_trunk_gets_one_line_that_says_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(InputError) as error:
        lpips_distance("squeeze")(torch.zeros(1, 1, 28, 28), torch.zeros(1, 1, 28, 28))
    message = str(error.value)
    assert "\n" not in message
    assert str(tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth") in message


def test_a_trunk_with_a_wrong_hash_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / TRUNKS["alex"].file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not weights")
    with pytest.raises(InputError, match="damaged"):
        trunk_file("alex", download=False)


def _features(n, shift=0.0, seed=0, dim=6):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def test_the_kernel_distance_is_torchmetrics_for_equal_sizes_and_a_plain_sum_for_others():
    a, b = _features(40, 0.3), _features(40, seed=1)
    assert KernelDistance(a)(b).value == pytest.approx(float(poly_mmd(a, b)), rel=1e-12)
    c = _features(13, seed=2)

    def kernel(x, y):
        return (float(x @ y) / 6 + 1) ** 3

    within_a = np.mean([kernel(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j])
    within_c = np.mean([kernel(x, y) for i, x in enumerate(c) for j, y in enumerate(c) if i != j])
    across = np.mean([kernel(x, y) for x in a for y in c])
    assert KernelDistance(a)(c).value == pytest.approx(within_a + within_c - 2 * across, rel=1e-11)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that is made inside the block, in bytes."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = [t.nbytes for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
        self.bytes = max([self.bytes, *made])
        return result


def _plain(real, fake):
    return astuple(KernelDistance(real)(fake))


def _stratified(real, fake):
    classes = torch.arange(len(fake)) % 2
    return astuple(KernelDistance(real).stratified(fake, classes, torch.full((2,), 0.5).double()))


def _asked(real, fake):
    return astuple(KernelDistance(real)(fake, [f"caption {i % 1100}" for i in range(len(fake))]))


@pytest.mark.parametrize("measure", [_plain, _stratified, _asked, precision_and_coverage])
def test_what_compares_all_with_all_does_so_a_tile_at_a_time(measure, monkeypatch):
    """At n = 20,000 a table of all pairs with 10,000 real vectors would take 1.6 GB, one row of blocks 80 MB."""
    real, fake = _features(1100), _features(2500, seed=1)
    whole = measure(real, fake)
    for module in (frechet, manifold):
        monkeypatch.setattr(module, "_WIDEST", 1100)
    with Largest() as largest:
        parts = measure(real, fake)
    assert largest.bytes == 512 * 1100 * 8
    assert parts == pytest.approx(whole, rel=1e-11)


def test_the_kernel_distances_interval_covers_the_truth_about_as_often_as_it_says():
    population = KernelDistance(_features(4000, 0.4, seed=100))(_features(4000, seed=101)).value
    covered = 0
    for i in range(100):
        estimate = KernelDistance(_features(200, 0.4, seed=2 * i))(_features(200, seed=2 * i + 1))
        covered += estimate.low <= population <= estimate.high
    assert 88 <= covered <= 100


def _cloud(n, dim=5, shift=0.0, seed=0):
    x = torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x * torch.linspace(0.5, 2, dim) + shift * x[:, :1].abs()


def test_the_influence_of_a_sample_on_a_frechet_distance_is_its_derivative():
    real, fake = _cloud(300), _cloud(120, shift=0.3, seed=1)
    influence = LimitDistance(real)(fake).influence

    def weighted(weights):
        weights = weights / weights.sum()
        mean = weights @ fake
        centred = fake - mean
        covariance = centred.T @ (weights[:, None] * centred)
        root = scipy.linalg.sqrtm((covariance @ torch.cov(real.T)).numpy()).real
        apart = (mean - real.mean(0)).square().sum() + covariance.trace() + torch.cov(real.T).trace()
        return float(apart) - 2 * np.trace(root)

    step = 1e-4
    for i in (0, 7, 63):
        moved = [torch.ones(len(fake), dtype=torch.float64) for _ in range(2)]
        moved[0][i], moved[1][i] = 1 + step, 1 - step
        derivative = (weighted(moved[0]) - weighted(moved[1])) / (2 * step) * len(fake)
        assert influence[i] - influence.mean() == pytest.approx(derivative, rel=0.02, abs=0.02)


def test_the_limit_of_a_frechet_distance_has_no_bias_where_the_distance_has():
    real = _cloud(4000)
    limit = LimitDistance(real)
    many = frechet_distance(real, _cloud(200_000, shift=0.3, seed=2))
    drawn = [_cloud(60, shift=0.3, seed=100 + i) for i in range(200)]
    plain, free = [frechet_distance(real, x) for x in drawn], [limit(x).value for x in drawn]
    error = np.std(free) / len(drawn) ** 0.5
    assert np.mean(plain) - many > 8 * np.std(plain) / len(drawn) ** 0.5
    assert abs(np.mean(free) - many) < 3 * error


def test_a_limit_needs_halves_that_vary_in_every_direction():
    limit = LimitDistance(_cloud(100, dim=30))
    assert limit(_cloud(61, dim=30, seed=1)) is None
    assert limit(_cloud(62, dim=30, seed=1)) is not None


def test_a_limit_knows_that_captions_came_in_turn():
    """Each of 200 captions comes twice, and decides most of its sample: random halves do not hold each once."""
    rng = np.random.Generator(np.random.Philox(4))
    captions = rng.normal(size=(200, 8))
    real = torch.from_numpy(captions[rng.integers(0, 200, 20_000)] + 0.3 * rng.normal(size=(20_000, 8)))
    limit, asked = LimitDistance(real), [f"caption {i % 200}" for i in range(400)]
    drawn = [torch.from_numpy(np.tile(captions, (2, 1)) + 0.3 * rng.normal(size=(400, 8))) for _ in range(60)]
    plain, told = (np.array([limit(x, *more).value for x in drawn]) for more in ((), (asked,)))
    whole = limit(torch.from_numpy(captions[np.arange(200_000) % 200] + 0.3 * rng.normal(size=(200_000, 8)))).value
    error = told.std(ddof=1) / len(told) ** 0.5
    assert abs(told.mean() - whole) < 4 * error
    assert plain.mean() < whole - 20 * error


def test_captions_that_all_differ_and_none_are_halved_at_random():
    limit, fake = LimitDistance(_cloud(300)), _cloud(201, seed=1)
    each = limit(fake, [str(i) for i in range(201)]).halves
    assert each.std() == pytest.approx(limit(fake).halves.std(), rel=0.7)
    assert np.array_equal(limit(fake, ()).halves, limit(fake).halves)


def test_differences_of_limits_are_paired():
    limit, fake = LimitDistance(_cloud(500)), _cloud(200, shift=0.3, seed=1)
    near = limit(fake + 1e-3 * _cloud(200, seed=2))
    paired = limit(fake).minus(near)
    assert limit(fake).minus(limit(fake)) == Estimate(0.0, 0.0, 0.0)
    assert paired.high - paired.low < 0.05 * (near.estimate.high - near.estimate.low)


def test_precision_and_coverage_by_hand():
    real, fake = _features(30), torch.cat([_features(10, seed=1), _features(5, 50.0, seed=2)])
    radius = [sorted(float((x - y).norm()) for y in real)[5] for x in real]
    inside = np.array([[float((x - y).norm()) <= r for y in fake] for x, r in zip(real, radius, strict=True)])
    precision, coverage = precision_and_coverage(real, fake)
    assert precision == pytest.approx(inside.any(axis=0).mean(), abs=1e-15)
    assert coverage == pytest.approx(inside.any(axis=1).mean(), abs=1e-15)
    assert precision_and_coverage(real, real) == (1, 1)
    assert precision_and_coverage(real, real[:1].expand(20, -1))[1] < 0.5
    assert precision_and_coverage(real, real + 100) == (0, 0)


@given(st.permutations(range(30)))
@settings(max_examples=25)
def test_no_metric_depends_on_the_order_of_samples(order):
    real, fake = _features(50), _features(30, 0.2, seed=1)
    mixed = fake[list(order)]
    assert frechet_distance(real, mixed) == pytest.approx(frechet_distance(real, fake), abs=1e-9)
    assert precision_and_coverage(real, mixed) == precision_and_coverage(real, fake)
    many = _features(ENOUGH, 0.2, seed=2)
    shuffled = many[torch.randperm(ENOUGH, generator=torch.Generator().manual_seed(3))]
    for some, again in ((mixed, fake), (shuffled, many)):
        a, b = KernelDistance(real)(some), KernelDistance(real)(again)
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), abs=1e-10, nan_ok=True)


def test_a_kernel_distance_of_few_samples_has_no_interval():
    real, fake = _features(300), _features(ENOUGH, 0.4, seed=1)
    assert math.isnan(KernelDistance(real)(fake[:-1]).low)
    whole = KernelDistance(real)(fake)
    assert whole.low < whole.value < whole.high


def test_the_nearest_training_image_is_the_nearest():
    pool = load()
    states, clusters = pool.measures.real_states(200, held_out=False)
    images = pool.decode(states[:9]) + 0.01
    nearest = nearest_training_distance(pool, images, None)
    assert nearest.max() <= 0.01 * 8 + 1e-6
    (first,) = nearest_training_distance(pool, images[:1], clusters[:1])
    ours, _ = pool.measures.real_states(ALL, int(clusters[0]), held_out=False)
    assert float(first) == pytest.approx(float((ours - images[0]).flatten(1).norm(dim=1).min()), rel=1e-5)


def _offline(*arguments, **options):
    raise OSError("no network")


def test_a_metric_without_its_weights_says_what_to_do_before_any_sampling(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", _offline)
    pool = load_system("mnist")
    with pytest.raises(InputError, match=r"; put https://.*inception_v3_google-0cc3c7bd\.pth there"):
        Quality().needs(pool, QualitySettings(n=1, features="inception"))
    with pytest.raises(InputError, match="LPIPS with squeeze needs"):
        Disagreement().needs(pool, RefinementSettings(n=1, steps=1, distance="squeeze"))


@pytest.mark.slow
def test_inception_features_of_grey_images():
    model = build_inception(None)
    vectors = model(_prepare(torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))))
    assert vectors.shape == (2, 2048)
    assert vectors.isfinite().all()


def test_lpips_is_torchmetrics_lpips_on_the_same_trunk(tmp_path, monkeypatch):
    """With a random trunk in torchvision's format and its own hash: loading, heads, scaling and enlarging."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = torchvision.models.squeezenet1_1(weights=None).state_dict()
    plain = tmp_path / "plain.pth"
    torch.save(weights, plain)
    start = hashlib.sha256(plain.read_bytes()).hexdigest()[:8]
    trunk = Pretrained(f"squeezenet1_1-{start}.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setitem(perceptual.TRUNKS, "squeeze", trunk)
    place = tmp_path / "hub" / "checkpoints" / trunk.file
    place.parent.mkdir(parents=True)
    plain.rename(place)
    a, b = torch.rand(2, 3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    distance = lpips_distance("squeeze")(a, b)
    with torch.random.fork_rng():
        reference = _LPIPS(pretrained=True, net="squeeze", pnet_rand=True)
    trunk_weights = [value for name, value in weights.items() if name.startswith("features.")]
    reference.net.load_state_dict(dict(zip(reference.net.state_dict(), trunk_weights, strict=True)))
    expected = reference.eval()(*(2 * x.expand(-1, 3, -1, -1) - 1 for x in (a, b))).flatten()
    torch.testing.assert_close(distance, expected.detach(), rtol=1e-5, atol=1e-7)
    assert distance.min() > 0


@pytest.mark.parametrize("name", list(TRUNKS))
def test_lpips_accepts_small_grey_images_and_is_zero_for_equal_ones(name):
    model = build_lpips(name, None)
    image = perceptual._prepare(torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)), name)
    assert torch.equal(model(image, image).flatten(), torch.zeros(2))
