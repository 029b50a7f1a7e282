"""Captions to what the experts see of them, by CLIP's tokenizer and text model."""

from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, final

import msgspec
import torch
from torch import Tensor

from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import check_file, parse_json, read_text
from mnist_ddm.storage.files import check_finite
from mnist_ddm.storage.typed import as_kind
from paris_ddm.config import Details
from paris_ddm.folder import CONFIG, TEXT_ENCODER, TOKENIZER, ParisFolder

_JSON_BYTES = 64 << 20
"""Of a tokenizer's vocabulary or a configuration."""
_KEPT = 512
"""Captions whose encodings are kept, those that were asked for last: about 120 MB of the released model's size."""


@final
class TextEncoder:
    """The frozen text encoder; every caption is encoded by itself, so that it does not depend on others, and kept."""

    def __init__(self, folder: ParisFolder, device: torch.device, details: Details) -> None:
        """Take the parts from a folder; they are loaded when the first caption comes."""
        self._folder = folder
        self._device = device
        self._details = details
        self._known: OrderedDict[str, tuple[Tensor, Tensor]] = OrderedDict()

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
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(caption)
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
    network = issubclass(kind, torch.nn.Module)
    try:
        if network:
            part, told = kind.from_pretrained(str(folder), local_files_only=True, output_loading_info=True, **options)
        else:
            part, told = kind.from_pretrained(str(folder), local_files_only=True, **options), {}
    except Exception as error:  # these libraries raise many kinds for a spoiled folder
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{folder} cannot be read as a {kind.__name__} ({first[:120]}); restore it") from error
    for name in (*told.get("missing_keys", ()), *told.get("mismatched_keys", ())):  # else these are random numbers
        raise InputError(f"{folder} lacks the tensor {str(name)[:80]!r} that its configuration asks for; restore it")
    if network:
        check_finite(folder, part.state_dict())
    return part


def _check(file: Path) -> None:
    """Look at a file of a part before a library opens it by its name."""
    if file.is_dir():
        return
    check_file(file)
    if file.suffix == ".json":
        value = parse_json(read_text(file, _JSON_BYTES), str(file))
        if file.name == CONFIG:
            sizes = as_kind(value, _Sizes, str(file), "a configuration of a network of a size that can be; restore it")
            held = sum(weights.stat().st_size for weights in file.parent.glob("*.safetensors") if weights.is_file())
            if sizes.numbers > held:
                raise InputError(f"{file} asks for a larger network than the weights beside it hold; restore it")


@final
class _Sizes(msgspec.Struct, frozen=True):
    """What decides the memory of a network of diffusers or transformers; of what a file leaves out, the least."""

    num_hidden_layers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    hidden_size: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)] = 1
    intermediate_size: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 1
    mlp_ratio: Annotated[float, msgspec.Meta(gt=0, le=64)] = 0.1
    vocab_size: Annotated[int, msgspec.Meta(ge=1, le=1 << 22)] = 1
    max_position_embeddings: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 1
    image_size: Annotated[int, msgspec.Meta(ge=1, le=1 << 13)] = 1
    patch_size: Annotated[int, msgspec.Meta(ge=1, le=1 << 13)] = 1 << 13
    block_out_channels: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=1, le=1 << 16)], ...], msgspec.Meta(max_length=16)
    ] = ()
    layers_per_block: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1

    @property
    def numbers(self) -> float:
        """Fewer numbers than the network has; each takes at least a byte."""
        inner = max(self.intermediate_size, self.mlp_ratio * self.hidden_size)
        layers = self.num_hidden_layers * self.hidden_size * (4 * self.hidden_size + 2 * inner)
        rows = self.vocab_size + self.max_position_embeddings + (self.image_size / self.patch_size) ** 2
        blocks = sum(9 * channels**2 for channels in self.block_out_channels) * (2 * self.layers_per_block + 1)
        return 0.9 * (layers + (rows - 3) * self.hidden_size + blocks)
