"""A small classifier of what captions say of an image: one head for each attribute, such as digit or colour.

Metrics alone use it: which class a sample shows, whether it shows what its caption asks, and features for Frechet
distances. A model without a `classifier/` folder is measured without.
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, final

import msgspec
import torch
from torch import Tensor, nn

from mnist_ddm.storage.files import write_json, write_tensors
from mnist_ddm.storage.typed import read_as
from paris_ddm.checkpoint import load_mapped
from paris_ddm.folder import CONFIG, MODEL_WEIGHTS

UNSAID = -1
"""The label of an attribute that a caption says nothing of."""
_MOST_LABELS = 4096
_MOST_WAYS = 5000
"""In which a pattern can match: with a file of somebody else's, a search must end."""
_DEEPEST = 16
"""Groups within groups."""
_LONGEST = 500
"""Characters of a caption that are searched; text encoders read far fewer."""
_TOKEN = re.compile(r"\\b|\(\?:|[()|]|[\w ,'-]")
_Channels = Annotated[int, msgspec.Meta(ge=4, le=4096, multiple_of=4)]
"""Groups of four are normalised together."""


@dataclass(frozen=True)
class Attribute:
    r"""One attribute that captions may state.

    Attributes:
        name: such as `digit`.
        labels: the words for its values.
        pattern: a regular expression of words, `|`, groups and ``\b``; its first group that took part is the word in a
            caption.
    """

    name: str
    labels: tuple[str, ...]
    pattern: str

    def label(self, caption: str) -> int:
        """The number of the label that a caption states, or `UNSAID`."""
        match = re.search(self.pattern, caption[:_LONGEST])
        word = next((group for group in match.groups() if group), "") if match else ""
        return self.labels.index(word) if word in self.labels else UNSAID


@final
class _ClassifierConfig(msgspec.Struct, frozen=True):
    channels: Annotated[tuple[_Channels, ...], msgspec.Meta(min_length=1, max_length=8)]
    attributes: Annotated[tuple[Attribute, ...], msgspec.Meta(min_length=1, max_length=64)]

    def __post_init__(self) -> None:
        for attribute in self.attributes:
            if not 1 <= len(attribute.labels) <= _MOST_LABELS:
                raise ValueError(f"the attribute {attribute.name!r} has {len(attribute.labels)} labels")
            if not 1 <= _ways(attribute.pattern) <= _MOST_WAYS:
                raise ValueError(
                    f"the pattern of {attribute.name!r} is more than words in groups with '|', or too large"
                )


def _ways(pattern: str) -> int:
    r"""In how many ways a pattern can match, at the most; 0 if it is more than words, `|`, groups and ``\b``.

    Without repetitions that number bounds the steps of a search; with them it may take for ever.
    """
    sums, products = [0], [1]  # of the groups that are open: of the alternatives before, and of the current one
    if any(_TOKEN.split(pattern)):
        return 0
    for token in _TOKEN.findall(pattern):
        if token.startswith("("):
            sums.append(0)
            products.append(1)
        elif token == "|":
            sums[-1] += products[-1]
            products[-1] = 1
        elif token == ")":
            if len(sums) == 1:
                return 0
            products[-2] *= sums.pop() + products[-1]
            products.pop()
        if len(sums) > _DEEPEST or products[-1] > _MOST_WAYS or sums[-1] > _MOST_WAYS:
            return _MOST_WAYS + 1
    return sums[0] + products[0] if len(sums) == 1 else 0


@final
class AttributeClassifier(nn.Module):
    """Three convolutions with pooling, then one linear head for each attribute."""

    def __init__(self, channels: tuple[int, ...], attributes: tuple[Attribute, ...]) -> None:
        """Build for RGB images in ``[0, 1]``."""
        super().__init__()
        self.channels, self.attributes = channels, attributes
        layers: list[nn.Module] = []
        for before, after in zip((3, *channels[:-1]), channels, strict=True):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(4, after), nn.SiLU(), nn.MaxPool2d(2)]
        self.trunk = nn.Sequential(*layers)
        self.embedding = nn.Linear(channels[-1] * 16, self.dim)
        self.heads = nn.ModuleList(nn.Linear(self.dim, len(a.labels)) for a in attributes)

    @property
    def dim(self) -> int:
        """Numbers in `embed`."""
        return 2 * self.channels[-1]

    def embed(self, images: Tensor) -> Tensor:
        """Features of images ``(B, 3, H, W)`` in ``[0, 1]``, shape ``(B, dim)``."""
        maps = nn.functional.adaptive_avg_pool2d(self.trunk(images * 2 - 1), 4)
        out: Tensor = nn.functional.silu(self.embedding(maps.flatten(1)))
        return out

    def forward(self, images: Tensor) -> list[Tensor]:
        """For each attribute the logits ``(B, labels)``."""
        features = self.embed(images)
        return [head(features) for head in self.heads]


def write_classifier(folder: Path, model: AttributeClassifier) -> None:
    """Write weights and configuration."""
    write_tensors(folder / MODEL_WEIGHTS, dict(model.named_parameters()))
    attributes = [asdict(attribute) for attribute in model.attributes]
    write_json(folder / CONFIG, {"channels": list(model.channels), "attributes": attributes})


def read_classifier(folder: Path, device: torch.device) -> AttributeClassifier:
    """Read a classifier strictly.

    Raises:
        InputError: if a file is missing, damaged, or does not fit the configuration.
    """
    config = read_as(folder / CONFIG, _ClassifierConfig, "the configuration of a classifier; restore it")
    with torch.device("meta"):
        model = AttributeClassifier(config.channels, config.attributes)
    return load_mapped(model, folder / MODEL_WEIGHTS).to(device)
