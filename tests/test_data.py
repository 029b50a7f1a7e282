import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_ddm import data
from mnist_ddm.data.partition import divide
from mnist_ddm.errors import InputError

TRAIN, TEST = 300, 50


def write_idx(path: Path, array: np.ndarray, *, zipped: bool = False) -> None:
    content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    if zipped:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)


def make_folder(folder: Path, classes: int = 4, *, zipped: bool = False) -> Path:
    """A folder of random images with ``classes`` classes."""
    rng = np.random.Generator(np.random.Philox(0))
    folder.mkdir()
    for prefix, n in (("train", TRAIN), ("t10k", TEST)):
        labels = np.arange(n) % classes
        write_idx(folder / f"{prefix}-images-idx3-ubyte", rng.integers(0, 256, (n, 28, 28)), zipped=zipped)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels, zipped=zipped)
    return folder


def test_the_shipped_mnist_is_the_published_one(images):
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert images.train_labels.bincount().tolist() == counts
    assert images.train_images.shape == (60000, 1, 28, 28)
    assert images.test_images.shape == (10000, 1, 28, 28)
    pixels = images.train_images.double() / 255
    assert float(pixels.mean()) == pytest.approx(0.13066, abs=5e-6)
    assert float(pixels.std()) == pytest.approx(0.30811, abs=5e-6)


def test_states_and_images_are_inverse_and_clamped():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal((data.to_image(data.to_state(levels)) * 255).round().byte(), levels)
    assert data.to_image(torch.tensor([-3.0, 3.0])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("zipped", [False, True])
def test_any_folder_of_the_four_files_is_read_raw_or_gzipped(tmp_path, zipped):
    found = data.load_images(make_folder(tmp_path / "fashion", zipped=zipped))
    assert (found.name, found.classes, len(found.train_images), len(found.test_images)) == ("fashion", 4, TRAIN, TEST)


def test_raw_and_gzipped_folders_have_the_same_digest(tmp_path):
    raw = data.load_images(make_folder(tmp_path / "a"))
    assert raw.digest == data.load_images(make_folder(tmp_path / "b", zipped=True)).digest
    assert raw.digest != data.load_images(make_folder(tmp_path / "c", classes=3)).digest


def spoil(folder: Path, what: str) -> None:
    images, labels = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"
    if what == "missing":
        images.unlink()
    elif what == "text":
        images.write_text("these are not images")
    elif what == "truncated":
        images.write_bytes(images.read_bytes()[:-7])
    elif what == "truncated gzip":
        content = gzip.compress(images.read_bytes())
        images.unlink()
        images.with_name(images.name + ".gz").write_bytes(content[: len(content) // 2])
    elif what == "floats":
        images.write_bytes(b"\x00\x00\x0d" + images.read_bytes()[3:])
    elif what == "other size":
        write_idx(images, np.zeros((TRAIN, 32, 32)))
    elif what == "too few labels":
        write_idx(labels, np.zeros(3))
    elif what == "a class without images":
        write_idx(labels, np.where(np.arange(TRAIN) % 4 == 1, 0, np.arange(TRAIN) % 4))
    elif what == "empty":
        images.write_bytes(b"")


SPOILED = [
    "missing",
    "text",
    "truncated",
    "truncated gzip",
    "floats",
    "other size",
    "too few labels",
    "a class without images",
    "empty",
]


@pytest.mark.parametrize("what", SPOILED)
def test_a_spoiled_folder_gets_one_line_that_names_it(tmp_path, what):
    folder = make_folder(tmp_path / "set")
    spoil(folder, what)
    with pytest.raises(InputError) as error:
        data.load_images(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)


def test_a_damaged_shipped_file_is_noticed(tmp_path, monkeypatch):
    home = Path(data.__file__).parent
    for file in home.glob("*.gz"):
        shutil.copy(file, tmp_path)
    labels = tmp_path / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(labels.read_bytes()))
    content[-1] ^= 1
    labels.write_bytes(gzip.compress(bytes(content)))
    monkeypatch.setattr(data, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(InputError, match="damaged"):
        data.load_images()


def test_the_digit_partition_is_the_labels_and_random_parts_are_equal(images):
    assert torch.equal(divide(images, "digit", 10, 0), images.train_labels)
    random = divide(images, "random", 7, 0)
    assert int(random.bincount().max() - random.bincount().min()) <= 1
    assert not torch.equal(random, divide(images, "random", 7, 1))
    assert torch.equal(random, divide(images, "random", 7, 0))


def test_kmeans_clusters_are_tighter_than_chance_and_repeatable(tmp_path):
    small = data.load_images(make_folder(tmp_path / "set"))
    a = divide(small, "kmeans", 5, 0)
    assert torch.equal(a, divide(small, "kmeans", 5, 0))

    def spread(assignment):
        x = data.to_state(small.train_images).flatten(1)
        return sum(float((x[assignment == k] - x[assignment == k].mean(0)).square().sum()) for k in range(5))

    assert spread(a) < spread(divide(small, "random", 5, 0))


@pytest.mark.parametrize(("partition", "k"), [("digit", 9), ("random", 0), ("random", 10**6), ("alphabet", 10)])
def test_impossible_partitions_are_refused(images, partition, k):
    with pytest.raises(InputError):
        divide(images, partition, k, 0)
