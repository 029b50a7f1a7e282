"""Hashes of what a Paris folder holds, each computed when it is first asked for: a released expert has gigabytes."""

from collections.abc import Mapping
from pathlib import Path
from typing import final

from mnist_ddm.storage.files import digest, sha256
from paris_ddm.folder import (
    CLASSIFIER,
    CLUSTERS,
    EXPERT_WEIGHTS,
    IMAGE_ENCODER,
    MONOLITH,
    REAL,
    ROUTER,
    ROUTER_WEIGHTS,
    TEXT_ENCODER,
    TOKENIZER,
    VAE,
    ParisFolder,
)


@final
class FolderHashes:
    """SHA-256 of every file that decides a result; of a folder, of all its files together."""

    def __init__(self, folder: ParisFolder) -> None:
        """Look which parts there are; nothing is hashed yet."""
        places = {f"expert_{k}": folder.expert(k) / EXPERT_WEIGHTS for k in range(folder.root.num_experts)}
        places[ROUTER] = folder.path / ROUTER / ROUTER_WEIGHTS
        if (monolith := folder.find(MONOLITH)) is not None:
            places[MONOLITH] = monolith / EXPERT_WEIGHTS
        places |= {name: folder.path / name for name in (TEXT_ENCODER, TOKENIZER, VAE)}
        optional = (CLUSTERS, REAL, IMAGE_ENCODER, CLASSIFIER)
        self._places = places | {name: place for name in optional if (place := folder.find(name)) is not None}
        self._known: dict[str, str] = {}

    def of(self, *names: str) -> list[str | None]:
        """The hashes of some parts; ``None`` for one that there is not."""
        return [self._hash(name) if name in self._places else None for name in names]

    @property
    def all(self) -> Mapping[str, str]:
        """The hash of every part, by name."""
        return {name: self._hash(name) for name in self._places}

    def _hash(self, name: str) -> str:
        if name not in self._known:
            place = self._places[name]
            self._known[name] = sha256(place) if place.is_file() else digest([sha256(file) for file in _files(place)])
        return self._known[name]


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())
