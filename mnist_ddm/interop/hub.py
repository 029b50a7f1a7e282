"""Checkpoint folders on the Hugging Face hub: safetensors and JSON cards go up and come down, nothing else."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mnist_ddm.compute.scratch import scratch_folder
from mnist_ddm.data import MNIST_DIGEST
from mnist_ddm.errors import InputError
from mnist_ddm.models.checkpoint import (
    SystemCard,
    is_finished,
    part_names,
    read_part_card,
    read_system_card,
    system_digest,
)
from mnist_ddm.models.model_card import MODEL_CARD, mnist_model_card
from mnist_ddm.models.shipped import CARD
from mnist_ddm.storage.door import read_bytes, read_text
from mnist_ddm.storage.files import is_empty, replacing, sha256, write_text

_LARGEST = 4 << 30
"""Bytes of a file of weights."""


def to_hub(folder: Path, repo: str, *, private: bool = True, api: Any = None) -> str:
    """Put a checkpoint on the hub in one commit, with its model card as the page; returns the commit's address.

    Args:
        folder: of `mnist-ddm train`; parts that are not trained yet are left out.
        repo: such as ``owner/name``, made if there is none.
        private: whether a repository that is made is.
        api: a `huggingface_hub.HfApi`; by default one with the user's own login.

    Raises:
        InputError: if the folder is no checkpoint, one of its parts is damaged, or the hub refuses.
    """
    card = read_system_card(folder)
    names = _checked(folder, card)
    api = _api() if api is None else api
    with scratch_folder("hub") as staged:
        _copy(folder, staged, names)
        write_text(staged / MODEL_CARD, _page(repo, folder, card))
        with _told(repo):
            api.create_repo(repo, private=private, exist_ok=True)
            done = api.upload_folder(
                folder_path=str(staged), repo_id=repo, commit_message=f"{card.preset} checkpoint of {card.data}"
            )
    return str(getattr(done, "commit_url", done))


def from_hub(repo: str, target: Path, *, revision: str | None = None, api: Any = None) -> Path:
    """Get a checkpoint from the hub into a new folder, once the hash of every part is that of its card.

    The names of its files follow from its card; whatever else the repository has is not even downloaded. Files are read
    through the door, and the folder appears whole or not at all.

    Args:
        repo: such as ``owner/name``.
        target: a folder that does not exist, is empty, or holds this checkpoint already.
        revision: a commit, so that the same files come every time; ``None`` for the newest.
        api: a `huggingface_hub.HfApi`.

    Raises:
        InputError: if the hub refuses, it is no checkpoint, a part is damaged, or ``target`` holds anything else.
    """
    taken = target.exists() and not is_empty(target)
    if taken and not (target / CARD).exists():
        raise InputError(f"{target} is not an empty folder; choose another one")
    api = _api() if api is None else api
    with _told(repo):
        first = Path(api.snapshot_download(repo, revision=revision, allow_patterns=[CARD]))
    card = read_system_card(first)
    wanted = [CARD, *(file for name in part_names(card.n_experts) for file in _files_of(name))]
    with _told(repo):
        found = Path(api.snapshot_download(repo, revision=revision, allow_patterns=wanted))
    if taken:
        if not _same(found, target, card):
            raise InputError(f"{target} holds another checkpoint than {repo}; choose another folder")
        return target
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        _copy(found, unfinished, _checked(found, card))
        _checked(unfinished, card)  # what was checked may have been changed before it was copied
        if target.exists():
            target.rmdir()
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _files_of(part: str) -> tuple[str, str, str]:
    """The card, the weights and the log of losses of a part."""
    return f"{part}.json", f"{part}.safetensors", f"losses/{part}.csv"


def _checked(folder: Path, card: SystemCard) -> list[str]:
    """The names of the finished parts, whose files are what their cards say."""
    names = [name for name in part_names(card.n_experts) if is_finished(folder, name)]
    if not names:
        raise InputError(f"{folder} has no part that is trained")
    for name in names:
        stated, weights = read_part_card(folder, name), folder / f"{name}.safetensors"
        if stated.system != system_digest(card):
            raise InputError(f"{name}.json belongs to another system than {CARD} in {folder}; do not mix them")
        if not weights.exists() or sha256(weights) != stated.sha256:
            raise InputError(f"{weights} is missing, truncated or was changed: its hash is not that of its card")
    return names


def _same(found: Path, target: Path, card: SystemCard) -> bool:
    """Whether a folder has the parts of another one, with the weights that their cards say."""
    if read_system_card(target) != card:
        return False
    names = _checked(found, card)
    return names == _checked(target, card) and all(
        read_part_card(found, name) == read_part_card(target, name) for name in names
    )


def _copy(source: Path, target: Path, names: list[str]) -> None:
    """Copy the files of a checkpoint by name, through the door."""
    needed = [CARD, *(file for name in names for file in _files_of(name)[:2])]
    logs = [log for name in names if (source / (log := _files_of(name)[2])).exists()]
    for file in (*needed, *logs):
        place = target / file
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as temporary:
            temporary.write_bytes(read_bytes(source / file, _LARGEST))


def _page(repo: str, folder: Path, card: SystemCard) -> str:
    """The folder's own model card, and how to load it from the hub."""
    own = folder / MODEL_CARD
    text = read_text(own) if own.exists() else mnist_model_card(folder).text()
    ships = card.data_digest == MNIST_DIGEST
    data = f"\nThe data ({card.data}) are not here: `data_dir` is the folder with their four IDX files.\n"
    return f"""{text.rstrip()}

## From the hub

```python
from pathlib import Path

from mnist_ddm import load_system
from mnist_ddm.interop.hub import from_hub

checkpoint = from_hub("{repo}", Path("checkpoint"))
pool = load_system("mnist", checkpoint=checkpoint{"" if ships else ', data_dir=Path("data")'})
```
{"" if ships else data}"""


def _api() -> Any:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise InputError("the hub needs huggingface_hub: pip install 'mnist-ddm[hub]'") from None
    return HfApi()


@contextlib.contextmanager
def _told(repo: str) -> Iterator[None]:
    """Whatever the hub's library says, in a line."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError) as error:  # its own errors are those of requests, and of names that are none
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"the hub does not do this for {repo!r}: {first}") from None
