"""Pretrained networks of torchvision that some metrics need: downloaded on first use, always checked by hash."""

import urllib.error
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import sha256


@final
@dataclass(frozen=True)
class Pretrained:
    """A file of weights; the hex digits in its name begin its SHA-256."""

    file: str

    @property
    def url(self) -> str:
        """Where torchvision keeps it."""
        return f"https://download.pytorch.org/models/{self.file}"

    @property
    def hash_start(self) -> str:
        """The first eight hex digits of its SHA-256."""
        return Path(self.file).stem.rsplit("-", 1)[1]

    @property
    def path(self) -> Path:
        """Where it is looked for: in torch's hub folder."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file

    def fetch(self, purpose: str, instead: str, *, download: bool = True) -> Path:
        """The checked file.

        Args:
            purpose: what needs it, for the message.
            instead: what a user without it can do, for the message.
            download: fetch it if it is not there.

        Raises:
            InputError: if it is not there and cannot be fetched, or if its hash is wrong.
        """
        path = self.path
        if not path.exists():
            if download:
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    torch.hub.download_url_to_file(self.url, str(path), hash_prefix=self.hash_start, progress=False)
                except (urllib.error.URLError, OSError, RuntimeError):
                    path.unlink(missing_ok=True)
            if not path.exists():
                raise InputError(
                    f"{purpose} needs {path}, which cannot be downloaded now; put {self.url} there, or use {instead}"
                )
        if not sha256(path).startswith(self.hash_start):
            raise InputError(f"{path} is damaged (its hash does not begin with {self.hash_start}); delete it")
        return path


def load_weights(path: Path) -> dict[str, Any]:
    """The tensors in a file of torch's, read with its restricted unpickler, which executes nothing."""
    weights: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return weights
