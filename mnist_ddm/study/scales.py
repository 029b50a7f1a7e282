"""Scales: how large a study is. Each analysis says its own sizes; here stands what a scale is for."""

from collections.abc import Mapping
from dataclasses import dataclass

from mnist_ddm.analyses.analysis import SCALES
from mnist_ddm.errors import unknown


@dataclass(frozen=True)
class Scale:
    """The size of a study.

    Attributes:
        name: on the command line.
        purpose: in a phrase.
        makes_claims: whether there are enough samples to say anything about the paper.
    """

    name: str
    purpose: str
    makes_claims: bool


_PURPOSES: Mapping[str, tuple[str, bool]] = {
    "small": ("to see everything work and to look at; too few samples for any claim", False),
    "medium": ("verdicts in about an hour on two cores; fewer samples than the paper, so more stay undecided", True),
    "full": ("the paper's numbers of samples; hours on two cores", True),
}

_SCALES: Mapping[str, Scale] = {name: Scale(name, *_PURPOSES[name]) for name in SCALES}


def scales() -> Mapping[str, Scale]:
    """The scales by name, the smallest first."""
    return _SCALES


def scale_named(name: str) -> Scale:
    """The scale of that name.

    Raises:
        InputError: if there is none; the message lists those that exist.
    """
    if name not in _SCALES:
        raise unknown("scale", name, list(_SCALES))
    return _SCALES[name]
