import hashlib

import numpy as np
import pytest
import scipy.linalg
import torch
import torchvision
from torchmetrics.functional.image.lpips import _LPIPS

from mnist_ddm.core.errors import InputError
from mnist_ddm.core.pool import Features
from mnist_ddm.metrics import perceptual
from mnist_ddm.metrics.frechet import extract, frechet_distance
from mnist_ddm.metrics.perceptual import TRUNKS, Trunk, build_lpips, lpips_distance, trunk_file
from mnist_ddm.systems.mnist import MnistPool


def test_the_frechet_distance_agrees_with_the_formula():
    a, b = torch.randn(2, 400, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    b = b * 1.5 + 0.3
    ca, cb = np.cov(a.T.numpy()), np.cov(b.T.numpy())
    root = scipy.linalg.sqrtm(ca @ cb).real
    expected = float((a.mean(0) - b.mean(0)).square().sum()) + np.trace(ca + cb - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_one_sample_has_no_frechet_distance():
    with pytest.raises(InputError, match="at least two"):
        frechet_distance(torch.zeros(1, 3), torch.zeros(5, 3))


def test_features_do_not_depend_on_the_batches():
    features = Features("sum", 2, lambda images: images.flatten(1)[:, :2])
    images = torch.rand(1100, 1, 3, 3)
    assert torch.equal(extract(features, images), images.flatten(1)[:, :2].double())


def test_the_digit_feature_distance_is_a_distance_of_directions(tiny_checkpoint, images):
    pool = MnistPool(tiny_checkpoint, images)
    distance = pool.distances["digits"]
    a, b = (pool.decode(pool.real_states(20, cluster=k)[0]) for k in (3, 8))
    found = distance(a, b)
    assert torch.equal(distance(a, a), torch.zeros(20))
    torch.testing.assert_close(found, distance(b, a), rtol=1e-6, atol=1e-7)
    assert found.min() > 0
    assert found.max() <= 4
    maps = zip(pool._classifier.maps(a * 2 - 1), pool._classifier.maps(b * 2 - 1), strict=True)
    expected = [
        np.mean([((x / np.linalg.norm(x, axis=0) - y / np.linalg.norm(y, axis=0)) ** 2).sum(0).mean()])
        for x, y in ((f[0].double().numpy(), g[0].double().numpy()) for f, g in maps)
    ]
    assert float(found[0]) == pytest.approx(np.mean(expected), rel=1e-4)


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


def test_lpips_is_torchmetrics_lpips_on_the_same_trunk(tmp_path, monkeypatch):
    """With a random trunk in torchvision's format and its own hash: loading, heads, scaling and enlarging."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = torchvision.models.squeezenet1_1(weights=None).state_dict()
    plain = tmp_path / "plain.pth"
    torch.save(weights, plain)
    start = hashlib.sha256(plain.read_bytes()).hexdigest()[:8]
    trunk = Trunk(f"squeezenet1_1-{start}.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setitem(perceptual.TRUNKS, "squeeze", trunk)
    place = tmp_path / "hub" / "checkpoints" / trunk.file
    place.parent.mkdir(parents=True)
    plain.rename(place)
    a, b = torch.rand(2, 3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    found = lpips_distance("squeeze")(a, b)
    with torch.random.fork_rng():
        reference = _LPIPS(pretrained=True, net="squeeze", pnet_rand=True)
    trunk_weights = [value for name, value in weights.items() if name.startswith("features.")]
    reference.net.load_state_dict(dict(zip(reference.net.state_dict(), trunk_weights, strict=True)))
    expected = reference.eval()(*(2 * x.expand(-1, 3, -1, -1) - 1 for x in (a, b))).flatten()
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-7)
    assert found.min() > 0


@pytest.mark.parametrize("name", list(TRUNKS))
def test_lpips_accepts_small_grey_images_and_is_zero_for_equal_ones(name):
    model = build_lpips(name, None)
    image = perceptual._prepare(torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)), name)
    assert torch.equal(model(image, image).flatten(), torch.zeros(2))
