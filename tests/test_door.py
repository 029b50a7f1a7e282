"""Files that others wrote: read through one door, or named in one line; their names never leave their folder."""

import ast
import errno
import gzip
import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch
from PIL import Image

from mnist_ddm import Study
from mnist_ddm.errors import LONGEST, InputError
from mnist_ddm.models.checkpoint import load_weights, read_part_card, read_system_card
from mnist_ddm.storage.door import read_bytes, read_csv, read_text, read_unpacked
from mnist_ddm.storage.files import read_json, read_tensors, sha256, write_json, write_tensors, write_text
from mnist_ddm.storage.names import delete_inside, inside
from mnist_ddm.storage.pictures import read_picture
from mnist_ddm.storage.typed import read_as
from mnist_ddm.systems.gaussian import load
from paris_ddm.mini.parts import whole_folder

READERS = [read_text, read_json, read_csv, read_unpacked, read_tensors, read_picture, sha256]
ROOT = Path(__file__).parents[1]
OPENING = {
    "open", "os.open", "io.open", "json.load", "tomllib.load", "csv.reader", "csv.DictReader", "safe_open", "load_file",
    "Image.open", "np.load", "np.fromfile", "np.loadtxt", "torch.load", "gzip.open", "pickle.load", "fileinput.input",
}  # fmt: skip
METHODS = {"open", "read_text", "read_bytes", "from_pretrained"}
ALLOWED = {
    # Resources of the package itself, through importlib.
    ("mnist_ddm/analyses/paper.py", "read_text"), ("mnist_ddm/claims/ledger.py", "read_text"),
    ("mnist_ddm/cli/cite.py", "read_text"), ("mnist_ddm/models/presets.py", "read_text"),
    ("mnist_ddm/pages/page.py", "read_text"), ("paris_ddm/mini/parts.py", "read_text"),
    ("mnist_ddm/exercises/registry.py", "read_text"), ("mnist_ddm/study/pace.py", "read_text"),
    # A student's file in the process that runs it, its pipes, and streams to nowhere.
    ("mnist_ddm/exercises/worker.py", "open"), ("mnist_ddm/exercises/worker.py", "read_bytes"),
    # A member of an archive that the door opened.
    ("mnist_ddm/exercises/submissions.py", "open"),
    ("mnist_ddm/terminal/streams.py", "open"), ("mnist_ddm/terminal/streams.py", "os.open"),
    ("mnist_ddm/cli/waiting.py", "open"), ("mnist_ddm/exercises/nursery.py", "os.open"),
    # What the system says of its processes.
    ("mnist_ddm/exercises/processes.py", "read_text"),
    # Opening a run folder; writing to nowhere; what a process of ours wrote for its parent; libraries' own readers
    # behind a look at each file, or behind a hash.
    ("mnist_ddm/cli/analyze.py", "open"), ("mnist_ddm/cli/reproduce.py", "open"), ("mnist_ddm/study/study.py", "open"),
    ("mnist_ddm/cli/trainings.py", "open"),
    ("mnist_ddm/compute/parallel.py", "read_text"),
    ("paris_ddm/text.py", "from_pretrained"), ("mnist_ddm/metrics/pretrained.py", "torch.load"),
}  # fmt: skip


def one_line(reader, *arguments):
    with pytest.raises(InputError) as said:
        reader(*arguments)
    assert str(said.value).isprintable()
    assert len(str(said.value)) <= LONGEST
    return str(said.value)


def openings(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in OPENING:
                yield called
            elif isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                yield node.func.attr


def test_nothing_but_the_door_opens_files():
    files = [f for package in ("mnist_ddm", "paris_ddm") for f in (ROOT / package).rglob("*.py")]
    names = {f: str(f.relative_to(ROOT)) for f in files}
    elsewhere = {
        (name, call)
        for file, name in names.items()
        if not name.startswith(("mnist_ddm/storage/", "mnist_ddm/exercises/catalogue/"))
        for call in openings(file)
    }
    assert not elsewhere - ALLOWED


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_what_is_no_regular_file_is_refused_at_once(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("pipe", "/dev/zero", "/dev/full", ".", "loop", "nothing", "x" * 300, "a\0b", "\ud800\udfff"):
        assert one_line(reader, tmp_path / name)


def test_files_are_read_up_to_a_limit(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"x" * 100)
    assert read_bytes(file, 100) == b"x" * 100
    assert "too large" in one_line(read_bytes, file, 99)
    file.write_bytes(gzip.compress(b"x" * 100) + gzip.compress(b"y"))
    assert read_unpacked(file, 101) == b"x" * 100 + b"y"
    assert "unpacks to more" in one_line(read_unpacked, file, 100)
    file.write_bytes(gzip.compress(bytes(10**8)))
    assert "unpacks to more" in one_line(read_unpacked, file, 10**6)
    file.write_bytes(gzip.compress(b"x" * 100)[:-1])
    assert "ends too early" in one_line(read_unpacked, file)
    file.write_text('a,"' + "x" * 200_000 + '"\n')
    assert "field larger than" in one_line(read_csv, file)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10**6, '{"a":' * 10**5, '{"a": "\\ud800"}', '{"a": ' + "1" * 5000 + "}", '{"a": ' + "1" * 30 + "}", "",
        "\0", "[1]", "null", "\ufeff", '{"a": ' + "[" * 65 + "]" * 65 + "}",
    ],
)  # fmt: skip
def test_json_that_harms_is_named(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    assert str(tmp_path / "a.json") in one_line(read_json, tmp_path / "a.json")


def test_json_that_only_looks_deep_is_read(tmp_path):
    value = {"a": "[{" * 1000 + '"\\' * 100, "b": [[[1]]] * 1000, "c": [float("inf"), 2**64 - 1, -(2**63)]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}


class Kind(msgspec.Struct):
    a: int


def test_json_of_another_type_is_named(tmp_path):
    file = tmp_path / "a.json"
    for value in ({}, {"a": "1"}, {"a": 1.5}, {"a": None}, {"a": True}):
        write_json(file, value)
        assert "a.json is not a kind" in one_line(read_as, file, Kind, "a kind")
    write_json(file, {"a": 1, "b": 2})
    assert read_as(file, Kind, "a kind").a == 1


def test_a_header_of_tensors_is_read_with_the_same_care(tmp_path):
    file = tmp_path / "a.safetensors"
    for told in ("[" * 10**5, "1", '{"a": "\\ud800"}'):
        header = json.dumps({"__metadata__": {"json": told}}).encode()
        file.write_bytes(struct.pack("<Q", len(header)) + header)
        assert "the header of" in one_line(read_tensors, file)
    deep = b'{"a":' * 100_000
    file.write_bytes(struct.pack("<Q", len(deep)) + deep)
    one_line(read_tensors, file)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_named(tmp_path, bad):
    whole = {"a": torch.ones(3), "b": torch.full((2, 2), 3e38), "c": torch.arange(3)}
    file = tmp_path / "a.safetensors"
    write_tensors(file, whole)
    assert read_tensors(file, finite=True)[0].keys() == whole.keys()
    write_tensors(file, {**whole, "b": torch.tensor([1.0, bad])})
    assert "numbers in 'b' that are not finite" in one_line(lambda: read_tensors(file, finite=True))


def test_a_network_with_nan_is_not_loaded(tiny_checkpoint, tmp_path):
    system = read_system_card(tiny_checkpoint)
    tensors, _ = read_tensors(tiny_checkpoint / "router.safetensors")
    name = sorted(tensors)[0]
    write_tensors(tmp_path / "a.safetensors", {**tensors, name: tensors[name] * float("nan")})
    said = one_line(load_weights, tmp_path / "a.safetensors", "router", system, "cpu")
    assert repr(name) in said


@pytest.mark.parametrize(
    ("card", "change"),
    [
        ("card", {"n_experts": "10"}), ("card", {"n_experts": 10**9}), ("card", {"seed": None}),
        ("card", {"preset": 1}), ("router", {"recipe": []}), ("router", {"recipe": {}}), ("router", {"versions": 3}),
        ("router", {"figures": "x"}), ("router", {"recipe": {"steps": "many", "batch": 1}}),
    ],
)  # fmt: skip
def test_cards_of_another_type_are_named(tiny_checkpoint, tmp_path, card, change):
    stored = read_json(tiny_checkpoint / f"{card}.json")
    write_json(tmp_path / f"{card}.json", {**stored, **change})
    read = read_system_card if card == "card" else lambda folder: read_part_card(folder, card)
    assert f"{card}.json is not a card of schema 1" in one_line(read, tmp_path)


def test_names_stay_in_their_folder(tmp_path):
    folder, outside = tmp_path / "run", tmp_path / "outside"
    (folder / "results").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (folder / "link").symlink_to(outside)
    (folder / "results" / "file").symlink_to(outside / "secret")
    (tmp_path / "other").symlink_to(folder)
    assert inside(tmp_path / "other", "results/a.csv") == tmp_path / "other" / "results" / "a.csv"
    for name in (
        "", ".", "..", "../outside/secret", "results/../../outside/secret", str(outside / "secret"), "a\0b", "x" * 256,
        "x/" * 600 + "y", "link/secret", "results/file", "\ud800", "a\nb", "..\\outside",
    ):  # fmt: skip
        one_line(inside, folder, name)
        one_line(delete_inside, folder, name)
    one_line(delete_inside, folder, "results")
    assert (outside / "secret").read_text() == "secret"


@pytest.mark.parametrize("name", ["../outside/secret", "{outside}/secret", "link/secret", "a\0b", "x" * 300, "results"])
def test_a_manifest_deletes_nothing_outside_its_run(tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    study = Study(load("cpu"), ["averaging-variance"], n=2, steps=2)
    run = study.write(tmp_path / "run").folder
    (run / "link").symlink_to(outside)
    manifest = read_json(run / "manifest.json")
    manifest["code"] = "0" * 64  # so that nothing is taken over and the files of the other code are deleted
    manifest["analyses"]["averaging-variance"]["files"][name.format(outside=outside)] = "0" * 64
    write_json(run / "manifest.json", manifest)
    one_line(study.write, run)
    assert (outside / "secret").read_text() == "secret"
    assert (run / "results").is_dir()


def test_pictures_that_are_too_large_or_damaged_are_named(tmp_path):
    file = tmp_path / "a.png"
    Image.new("1", (20_000, 20_000)).save(file)
    assert "a.png has too many pixels" in one_line(read_picture, file)
    Image.new("1", (12_000, 12_000)).save(file)
    assert read_picture(file).size == (12_000, 12_000)
    Image.new("RGB", (30, 30)).save(file)
    content = file.read_bytes()
    for length in (0, 5, 20, 40):
        file.write_bytes(content[:length])
        one_line(read_picture, file)


def test_messages_are_one_line_whatever_is_in_them():
    assert str(InputError("a\n b\t\x1b[31m\ud800\u202ec")) == "a b \\x1b[31m\\ud800\\u202ec"
    long = str(InputError("x" * 10**6 + "; delete it"))
    assert len(long) == LONGEST
    assert long.endswith("; delete it")
    assert str(InputError(long)) == long


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch, failing):
    (tmp_path / "a.txt").write_text("before")

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    if failing == "write":
        monkeypatch.setattr(Path, "write_text", full)
    elif failing == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    assert "No space left on device" in one_line(write_text, tmp_path / "a.txt", "after")
    assert [f.name for f in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "before"


def test_a_disk_that_is_really_full_leaves_no_half_file(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=200k tmpfs '{place}' 2>/dev/null") != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        assert "cannot write" in one_line(write_text, place / "a.txt", "x" * 10**6)
        assert "cannot write" in one_line(write_tensors, place / "a.safetensors", {"a": torch.ones(10**6)})
        assert list(place.iterdir()) == []
        write_text(place / "a.txt", "fits")
    finally:
        os.system(f"umount '{place}'")


def test_a_name_that_is_too_long_or_none_is_named(tmp_path):
    for name in ("x" * 300, "a\0b"):
        one_line(write_text, tmp_path / name, "text")
    write_text(tmp_path / ("y" * 250), "text")
    assert (tmp_path / ("y" * 250)).read_text() == "text"
    one_line(write_text, tmp_path / "a", "\ud800")
    assert not (tmp_path / "a").exists()


def test_systems_with_spoiled_latents_or_priors_are_named(tmp_path):
    from paris_ddm.clusters import Clusters, read_clusters, write_clusters
    from paris_ddm.real import RealStates, read_real, write_real

    whole = Clusters(torch.ones(2, 3), torch.tensor([0.5, 0.5], dtype=torch.float64))
    for changed in (
        {"centroids": torch.full((2, 3), float("nan"))},
        {"prior": torch.tensor([1.0, float("inf")])},
        {"prior": torch.tensor([-1.0, 2.0])},
        {"prior": torch.zeros(2)},
        {"centroids": torch.ones(2)},
    ):
        write_clusters(tmp_path / "clusters.safetensors", replace(whole, **changed))
        one_line(read_clusters, tmp_path / "clusters.safetensors", 2)
    states = RealStates(torch.ones(2, 1, 2, 2), torch.tensor([0, 1]), ("a", "b"))
    for changed in (
        {"latents": torch.full((2, 1, 2, 2), float("nan"))},
        {"clusters": torch.tensor([0, 2])},
        {"clusters": torch.tensor([0, -1])},
        {"captions": ("a", 5)},
    ):
        write_real(tmp_path / "real.safetensors", {"training": states, "held-out": replace(states, **changed)})
        one_line(read_real, tmp_path / "real.safetensors", (1, 2, 2), 2)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("withheld", [0o077, 0o022, 0o002])
def test_files_and_folders_have_the_permissions_that_the_user_leaves_them(tmp_path, withheld):
    before = os.umask(withheld)
    try:
        write_text(tmp_path / "a.txt", "x")
        with whole_folder(tmp_path / "folder") as folder:
            write_tensors(folder / "b.safetensors", {"a": torch.ones(1)})
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"a.txt": 0o666 & ~withheld, "folder": 0o777 & ~withheld, "b.safetensors": 0o666 & ~withheld}
