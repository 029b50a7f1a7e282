"""Captions to what the experts see of them, by CLIP's tokenizer and text model."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import check_file, parse_json, read_text
from mnist_ddm.storage.files import check_finite
from paris_ddm.config import Details
from paris_ddm.folder import TEXT_ENCODER, TOKENIZER, ParisFolder

_JSON_BYTES = 64 << 20
"""Of a tokenizer's vocabulary or a configuration."""


@final
class TextEncoder:
    """The frozen text encoder; every caption is encoded once and by itself, so that it does not depend on others."""

    def __init__(self, folder: ParisFolder, device: torch.device, details: Details) -> None:
        """Take the parts from a folder; they are loaded when the first caption comes."""
        self._folder = folder
        self._device = device
        self._details = details
        self._known: dict[str, tuple[Tensor, Tensor]] = {}

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        from transformers import CLIPTextModel, CLIPTokenizer

        tokenizer = load_pretrained(CLIPTokenizer, self._folder.path / TOKENIZER)
        model = load_pretrained(CLIPTextModel, self._folder.path / TEXT_ENCODER, use_safetensors=True)
        return tokenizer, model.to(self._device).eval().requires_grad_(False)

    def embedding(self, caption: str) -> Tensor:
        """What the experts see of a caption: the last hidden state of all tokens, padded to the longest, ``(L, E)``."""
        return self._encode(caption)[0]

    def pooled(self, caption: str) -> Tensor:
        """One vector for the whole caption, shape ``(E,)``."""
        return self._encode(caption)[1]

    def null(self) -> Tensor:
        """What the experts see without a caption, ``(L, E)``: the empty string, or zeros if the details say so."""
        empty = self.embedding("")
        return empty if self._details.null_text == "empty" else torch.zeros_like(empty)

    @property
    def length(self) -> int:
        """Tokens that a caption may have, its start and its end among them; what is longer is cut."""
        tokenizer, model = self._parts
        return int(min(tokenizer.model_max_length, model.config.max_position_embeddings))

    def cut(self, captions: Iterable[str]) -> list[str]:
        """Those of some captions that are longer than the model reads."""
        tokenizer, length = self._parts[0], self.length
        # A token is at least a byte, so most need no second look.
        long = [caption for caption in dict.fromkeys(captions) if len(caption.encode()) > length - 2]
        return [caption for caption in long if len(tokenizer([caption])["input_ids"][0]) > length]

    @torch.no_grad()
    def _encode(self, caption: str) -> tuple[Tensor, Tensor]:
        if caption not in self._known:
            tokenizer, model = self._parts
            length = self.length
            tokens = tokenizer([caption], padding="max_length", max_length=length, truncation=True, return_tensors="pt")
            encoded = model(tokens["input_ids"].to(self._device))
            self._known[caption] = (encoded.last_hidden_state[0].float(), encoded.pooler_output[0].float())
        return self._known[caption]


def quieten() -> None:
    """Keep progress bars and advice of diffusers and transformers off the screen."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.disable_progress_bar()
        logging.set_verbosity_error()


def load_pretrained(kind: Any, folder: Path, **options: object) -> Any:
    """Load a part of diffusers or transformers from a local folder; nothing is fetched and nothing unpickled.

    Raises:
        InputError: if the folder is missing or its files are not those of the part.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; restore that part of the model")
    for file in sorted(folder.iterdir()):
        _check(file)
    quieten()
    with torch.device("cpu"):
        # Torch keeps a list of the functions that a device context changes, made at the first use. Transformers
        # replaces one of them while it loads; if that were the first use, the wrong one would be listed for good.
        torch.empty(0)
    try:
        part = kind.from_pretrained(str(folder), local_files_only=True, **options)
    except Exception as error:  # these libraries raise many kinds for a spoiled folder
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{folder} cannot be read as a {kind.__name__} ({first[:120]}); restore it") from error
    if isinstance(part, torch.nn.Module):
        check_finite(folder, part.state_dict())
    return part


def _check(file: Path) -> None:
    """Look at a file of a part before a library opens it by its name."""
    if file.is_dir():
        return
    check_file(file)
    if file.suffix == ".json":
        parse_json(read_text(file, _JSON_BYTES), str(file))
