"""The task: coloured digits on coloured grounds, 32 x 32 RGB, with captions.

Every image of MNIST gets one ink and one ground, drawn by its own number, and a caption that says digit, ink and
ground. Some combinations of the three are held out: no image and no caption of the training shows them.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mnist_ddm.core.noise import Purpose, generator
from mnist_ddm.data import Images
from paris_ddm.attributes import Attribute

SIDE = 32
COLOURS = {
    "red": (0.86, 0.15, 0.15),
    "orange": (0.96, 0.55, 0.10),
    "yellow": (0.96, 0.88, 0.20),
    "green": (0.15, 0.62, 0.25),
    "blue": (0.15, 0.35, 0.85),
    "purple": (0.55, 0.25, 0.70),
    "white": (0.95, 0.95, 0.95),
    "black": (0.08, 0.08, 0.08),
}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ATTRIBUTES = ("digit", "ink", "ground")
"""What an image shows, in the order of `ColouredDigits.attributes`."""
_NAMES = tuple(COLOURS)
_RGB = torch.tensor(list(COLOURS.values()))
_JITTER = 0.03
"""Standard deviation of each image's own shade of a colour."""
_HELD_OUT_ONE_IN = 11
_SPLITS = {"training": 0, "held-out": 1}


def is_held_out(digit: Tensor, ink: Tensor, ground: Tensor) -> Tensor:
    """Whether a combination is kept from the training: about one in eleven, spread over all digits and colours."""
    return (7 * digit + 5 * ink + 3 * ground) % _HELD_OUT_ONE_IN == 0


def attributes() -> tuple[Attribute, ...]:
    """What captions say, and how to read it from them."""
    colour, digit = "|".join(_NAMES), "|".join(DIGITS)
    return (
        Attribute("digit", DIGITS, rf"\b({digit})\b"),
        Attribute("ink", _NAMES, rf"\b({colour}) (?:{digit})\b|\bin ({colour})\b"),
        Attribute("ground", _NAMES, rf"\b({colour}) ground\b|\bon ({colour})\b"),
    )


def captions_of(digit: int, ink: int, ground: int) -> tuple[str, ...]:
    """The ways to say a combination."""
    number, first, second = DIGITS[digit], _NAMES[ink], _NAMES[ground]
    return (
        f"{_article(first)} {number} on {_article(second)} ground",
        f"{_article(second)} ground with {_article(first)} {number}",
        f"{number} in {first} on {second}",
    )


def _article(colour: str) -> str:
    return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour}"


_CAPTIONS, _COLOURS = 0, 1
"""Indices of what is drawn; the part of each stream is the split."""

WAYS = 3
"""Captions of each combination."""


def all_captions(*, held_out: bool) -> tuple[str, ...]:
    """One caption of each combination of one kind, in a fixed random order, each in one of its ways."""
    grid = torch.cartesian_prod(torch.arange(10), torch.arange(8), torch.arange(8))
    grid = grid[(grid[:, 1] != grid[:, 2]) & (is_held_out(*grid.T) == held_out)]
    rng = generator(0, Purpose.DATA, _CAPTIONS, int(held_out))
    rows = [grid[int(i)].tolist() for i in rng.permutation(len(grid))]
    return tuple(captions_of(*row)[int(way)] for row, way in zip(rows, rng.integers(WAYS, size=len(rows)), strict=True))


@dataclass(frozen=True)
class ColouredDigits:
    """The images of one split; row ``i`` is a pure function of digit ``i``, the seed and ``i``.

    Attributes:
        digits: MNIST's images, uint8, shape ``(N, 1, 28, 28)``.
        labels: their digits, int64, shape ``(N,)``.
        seed: of the colours.
        split: `training` or `held-out`.
    """

    digits: Tensor
    labels: Tensor
    seed: int
    split: str

    def __len__(self) -> int:
        return len(self.digits)

    @cached_property
    def _drawn(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rng = generator(self.seed, Purpose.DATA, _COLOURS, _SPLITS[self.split])
        n = len(self)
        ink = torch.from_numpy(rng.integers(8, size=n))
        ground = (ink + 1 + torch.from_numpy(rng.integers(7, size=n))) % 8
        way = torch.from_numpy(rng.integers(WAYS, size=n))
        shades = torch.from_numpy(rng.normal(scale=_JITTER, size=(n, 2, 3)).astype(np.float32))
        while bool((bad := is_held_out(self.labels, ink, ground) | (ink == ground)).any()):
            ground = torch.where(bad, (ground + 1) % 8, ground)
        return ink, ground, way, shades

    @property
    def ink(self) -> Tensor:
        """The colour of each digit, int64, shape ``(N,)``."""
        return self._drawn[0]

    @property
    def ground(self) -> Tensor:
        """The colour behind it, int64, shape ``(N,)``."""
        return self._drawn[1]

    @staticmethod
    def colour(number: int) -> str:
        """The name of an ink or a ground."""
        return _NAMES[number]

    @property
    def attributes(self) -> Tensor:
        """Digit, ink and ground of each image, int64, shape ``(N, 3)``."""
        return torch.stack([self.labels, self.ink, self.ground], dim=1)

    @property
    def caption_rows(self) -> Tensor:
        """The number of each image's caption in `caption_table`, int64, shape ``(N,)``."""
        return ((self.labels * 8 + self.ink) * 8 + self.ground) * WAYS + self._drawn[2]

    def captions(self, rows: Tensor) -> tuple[str, ...]:
        """The captions of some images."""
        table = caption_table()
        return tuple(table[int(i)] for i in self.caption_rows[rows])

    def images(self, rows: Tensor) -> Tensor:
        """Images ``(B, 3, 32, 32)`` in ``[0, 1]``."""
        ink, ground, _, shades = self._drawn
        cover = functional.pad(self.digits[rows].float() / 255, [(SIDE - 28) // 2] * 4)
        front, back = _RGB[ink[rows]] + shades[rows, 0], _RGB[ground[rows]] + shades[rows, 1]
        mixed = cover * front[:, :, None, None] + (1 - cover) * back[:, :, None, None]
        return mixed.clamp(0, 1)


def caption_table() -> tuple[str, ...]:
    """Every caption that there can be, in the order of `ColouredDigits.caption_rows`."""
    return tuple(c for d in range(10) for i in range(8) for g in range(8) for c in captions_of(d, i, g))


def training_set(images: Images, seed: int) -> ColouredDigits:
    """MNIST's training images, coloured."""
    return ColouredDigits(images.train_images, images.train_labels, seed, "training")


def held_out_set(images: Images, seed: int) -> ColouredDigits:
    """MNIST's test images, coloured in combinations that the training has too."""
    return ColouredDigits(images.test_images, images.test_labels, seed, "held-out")
