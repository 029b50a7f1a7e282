"""Checkpoints up to a hub and down again, on one that keeps folders: what goes, what comes, what is refused."""

import fnmatch
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mnist_ddm.data import MNIST_DIGEST
from mnist_ddm.errors import InputError
from mnist_ddm.interop.hub import _page, from_hub, to_hub
from mnist_ddm.models.checkpoint import load_part, read_system_card
from mnist_ddm.models.model_card import mnist_model_card


class Hub:
    """A hub that keeps each repository as a folder, and a download in a cache of links, as the real one does."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.calls = []

    def create_repo(self, repo, *, private, exist_ok):
        self.calls.append(("create", repo, private, exist_ok))
        (self.place / repo).mkdir(parents=True, exist_ok=exist_ok)

    def upload_folder(self, *, folder_path, repo_id, commit_message):
        self.calls.append(("upload", repo_id, commit_message))
        shutil.copytree(folder_path, self.place / repo_id, dirs_exist_ok=True)
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

    def snapshot_download(self, repo, *, revision, allow_patterns):
        self.calls.append(("download", repo, revision, len(allow_patterns)))
        source, cache = self.place / repo, self.place / "cache"
        if not source.is_dir():
            raise FileNotFoundError(f"404 for {repo}\nsecond line")
        for file in source.rglob("*"):
            name = str(file.relative_to(source))
            if file.is_file() and any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (cache / name).parent.mkdir(parents=True, exist_ok=True)
                (cache / name).unlink(missing_ok=True)
                (cache / name).symlink_to(file)
        return str(cache)


@pytest.fixture
def hub(tmp_path):
    return Hub(tmp_path / "hub")


def test_a_checkpoint_comes_back_as_it_went(tiny_checkpoint, hub, tmp_path):
    (stray := tiny_checkpoint / "notes.txt").write_text("private")
    try:
        assert to_hub(tiny_checkpoint, "me/digits", api=hub) == "https://hub/me/digits/commit/1"
    finally:
        stray.unlink()
    assert hub.calls[0] == ("create", "me/digits", True, True)
    up = {
        str(file.relative_to(hub.place / "me/digits"))
        for file in (hub.place / "me/digits").rglob("*")
        if file.is_file()
    }
    assert {"card.json", "README.md", "expert-3.json", "expert-3.safetensors", "router.json"} <= up
    assert "notes.txt" not in up
    page = (hub.place / "me/digits/README.md").read_text()
    assert page.startswith(mnist_model_card(tiny_checkpoint).text().rstrip())
    assert page.count('from_hub("me/digits"') == 1
    target = from_hub("me/digits", tmp_path / "down", revision="abc", api=hub)
    assert ("download", "me/digits", "abc", 1) in hub.calls
    card = read_system_card(target)
    assert card == read_system_card(tiny_checkpoint)
    for name in ("expert-0", "router", "classifier"):
        assert load_part(target, name, card) is not None
        assert (target / f"{name}.safetensors").read_bytes() == (tiny_checkpoint / f"{name}.safetensors").read_bytes()
    assert not any(file.is_symlink() for file in target.rglob("*"))
    assert not (target / "README.md").exists()


def test_the_page_is_the_folders_own_and_says_whose_data_do_not_ship(tiny_checkpoint, hub, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(tiny_checkpoint, own)
    (own / "README.md").write_text("# Mine, with my own words\n")
    to_hub(own, "me/own", api=hub)
    page = (hub.place / "me/own/README.md").read_text()
    assert page.startswith("# Mine, with my own words\n\n## From the hub\n")
    card = read_system_card(tiny_checkpoint)
    for digest, told in (("another", True), (MNIST_DIGEST, False)):
        page = _page("me/own", own, replace(card, data_digest=digest, data="my letters"))
        assert (", data_dir=Path(" in page, "The data (my letters) are not here" in page) == (told, told)


def test_what_is_there_already_is_returned_and_another_checkpoint_is_left_alone(tiny_checkpoint, hub, tmp_path):
    to_hub(tiny_checkpoint, "me/digits", api=hub)
    target = from_hub("me/digits", tmp_path / "down", api=hub)
    before = {file: file.stat().st_mtime_ns for file in target.rglob("*")}
    assert from_hub("me/digits", target, api=hub) == target
    assert {file: file.stat().st_mtime_ns for file in target.rglob("*")} == before
    part = (target / "expert-1.json").read_text()
    (target / "expert-1.json").unlink()
    with pytest.raises(InputError, match="holds another checkpoint than me/digits"):
        from_hub("me/digits", target, api=hub)
    (target / "expert-1.json").write_text(part)
    (target / "expert-1.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="was changed"):
        from_hub("me/digits", target, api=hub)


def test_only_what_a_card_names_is_downloaded(tiny_checkpoint, hub, tmp_path):
    to_hub(tiny_checkpoint, "me/digits", api=hub)
    for name in ("payload.pkl", "expert-99.safetensors", "losses/other.csv"):
        (hub.place / "me/digits" / name).write_bytes(b"no")
    target = from_hub("me/digits", tmp_path / "down", api=hub)
    found = {file.name for file in target.rglob("*")} | {file.name for file in (hub.place / "cache").rglob("*")}
    assert not {"payload.pkl", "expert-99.safetensors", "other.csv"} & found


@pytest.mark.parametrize("harm", ["weights", "no weights", "another system", "no card", "deep card"])
def test_a_damaged_checkpoint_leaves_nothing_behind(tiny_checkpoint, hub, tmp_path, harm):
    to_hub(tiny_checkpoint, "me/digits", api=hub)
    there = hub.place / "me/digits"
    if harm == "weights":
        content = bytearray((there / "router.safetensors").read_bytes())
        content[-1] ^= 1
        (there / "router.safetensors").write_bytes(content)
    elif harm == "no weights":
        (there / "expert-2.safetensors").unlink()
    elif harm == "another system":
        card = (there / "card.json").read_text()
        (there / "card.json").write_text(card.replace('"seed": 0', '"seed": 1'))
    elif harm == "no card":
        (there / "card.json").unlink()
    else:
        (there / "card.json").write_text("[" * 1000 + "]" * 1000)
    with pytest.raises(InputError):
        from_hub("me/digits", tmp_path / "down", api=hub)
    assert not (tmp_path / "down").exists()
    assert not list(tmp_path.glob(".*unfinished"))


def test_a_damaged_checkpoint_does_not_go_up(tiny_checkpoint, hub, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_checkpoint, broken)
    (broken / "expert-1.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"expert-1.safetensors is missing, truncated or was changed"):
        to_hub(broken, "me/digits", api=hub)
    assert hub.calls == []


def test_what_the_hub_refuses_is_one_line_and_a_full_folder_is_left_alone(hub, tmp_path):
    with pytest.raises(InputError, match="the hub does not do this for 'no/where': 404 for no/where") as caught:
        from_hub("no/where", tmp_path / "down", api=hub)
    assert "\n" not in str(caught.value)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    with pytest.raises(InputError, match="is not an empty folder"):
        from_hub("no/where", tmp_path / "full", api=hub)
    assert (tmp_path / "full" / "mine").read_text() == "x"


def test_without_the_library_one_line_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'mnist-ddm\[hub\]'"):
        from_hub("me/digits", tmp_path / "down")
