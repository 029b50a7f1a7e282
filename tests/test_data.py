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


def member(folder: Path, name: str, array: np.ndarray, *, kind: int = 8) -> None:
    """A file of a set, gzipped if its name says so."""
    numbers = array.astype(">i4" if kind == 12 else np.uint8).tobytes()
    content = struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + numbers
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


def drawn(n: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(n)).integers(0, 256, (n, 28, 28))


def a_set(folder: Path, names: str, labels: np.ndarray, test: str = "t10k", **options: int) -> Path:
    """A set whose files are called ``names``, with ``{}`` for what they hold; test images are the first ones."""
    images, n = drawn(len(labels)), len(labels) // 2
    for split, rows in (("train", slice(None)), (test, slice(n))):
        member(folder, names.format(split=split, what="images", axes=3, type="ubyte"), images[rows])
        axes, kind = (2, "int") if options else (1, "ubyte")
        member(folder, names.format(split=split, what="labels", axes=axes, type=kind), labels[rows], **options)
    return folder


def test_emnist_stands_upright_and_its_letters_are_numbered_anew_when_asked(tmp_path):
    names = "emnist-letters-{split}-{what}-idx{axes}-{type}.gz"
    folder = a_set(tmp_path / "gzip", names, np.arange(60) % 26 + 1, test="test")
    with pytest.raises(InputError, match=r"must be 0 \.\. 25, .* not 1 \.\. 26; train with --relabel"):
        data.load_images(folder)
    letters = data.load_images(folder, relabel=True)
    assert (letters.classes, letters.labels) == (26, tuple(range(1, 27)))
    assert letters.train_labels.tolist() == [i % 26 for i in range(60)]
    assert np.array_equal(letters.train_images[:, 0].numpy(), drawn(60).transpose(0, 2, 1))
    plain = a_set(tmp_path / "plain", "{split}-{what}-idx{axes}-{type}", np.arange(60) % 26)
    lying = data.load_images(plain)
    assert lying.labels == ()
    assert np.array_equal(lying.train_images[:, 0].numpy(), drawn(60))
    assert lying.digest != letters.digest


def test_qmnist_has_its_class_in_the_first_of_eight_columns(tmp_path):
    labels = np.stack([np.arange(40) % 10, *np.full((7, 40), 700)], axis=1)
    folder = a_set(tmp_path / "QMNIST" / "raw", "qmnist-{split}-{what}-idx{axes}-{type}.gz", labels, "test", kind=12)
    for place in (folder, folder.parent):  # as torchvision keeps it, and its folder above
        digits = data.load_images(place)
        assert (digits.name, digits.classes, digits.train_labels.tolist()) == (
            "QMNIST",
            10,
            [i % 10 for i in range(40)],
        )


@pytest.mark.parametrize("names", ["{split}-{what}.idx{axes}-{type}", "{split}-{what}-idx{axes}-{type}.gz"])
def test_fashion_and_kmnist_are_read_as_archives_call_and_browsers_unpack_them(tmp_path, names):
    folder = a_set(tmp_path / "fashion", names, np.arange(20) % 10)
    known = data.load_images(folder).digest
    for file in folder.iterdir():  # a browser unpacked what it loaded; an archive put each file into a folder
        content = file.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        file.unlink()
        file.mkdir()
        (file / file.name).write_bytes(content)
    assert data.load_images(folder).digest == known


def test_labels_that_miss_a_class_can_be_numbered_anew(tmp_path):
    folder = a_set(tmp_path / "some", "{split}-{what}-idx{axes}-{type}", np.array([0, 2, 3, 7] * 5))
    with pytest.raises(InputError, match=r"must be 0 \.\. 3, .* not 0, 2, 3, 7; train with --relabel"):
        data.load_images(folder)
    some = data.load_images(folder, relabel=True)
    assert (some.labels, some.train_labels[:4].tolist()) == ((0, 2, 3, 7), [0, 1, 2, 3])
    member(folder, "t10k-labels-idx1-ubyte", np.array([0, 2, 3, 7, 5] * 2))
    with pytest.raises(InputError, match="test images have the label 5"):
        data.load_images(folder, relabel=True)


def test_folders_that_hold_no_set_or_several_say_what_to_do(tmp_path):
    for name in ("digits", "letters"):
        a_set(
            tmp_path / "gzip", f"emnist-{name}-{{split}}-{{what}}-idx{{axes}}-{{type}}.gz", np.arange(20) % 10, "test"
        )
    a_set(tmp_path / "torch" / "KMNIST" / "raw", "{split}-{what}-idx{axes}-{type}", np.arange(20) % 10)
    for name, file in (("matlab", "emnist-letters.mat"), ("numpy", "kmnist-train-imgs.npz"), ("packed", "gzip.zip")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_bytes(b"?")
    for place, told in {
        "gzip": "several sets (emnist-digits, emnist-letters); put the four files of one into a folder",
        "torch": "sets in its folders; give one of them: KMNIST",
        "matlab": "Matlab files; take the binary version",
        "numpy": "NumPy files; take the IDX files",
        "packed": "an archive; unpack it",
        "nowhere": "no train-images-idx3-ubyte",
    }.items():
        with pytest.raises(InputError) as error:
            data.load_images(tmp_path / place)
        assert told in str(error.value)
        assert len(str(error.value).removeprefix(str(tmp_path))) <= 300
        assert "\n" not in str(error.value)


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
