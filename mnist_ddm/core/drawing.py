"""What states look like: pictures, or points of the plane. Who draws them asks the system, `ExpertPool.draw`."""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from mnist_ddm.errors import InputError


@final
@dataclass(frozen=True)
class Pictures:
    """States as grey or coloured images.

    Attributes:
        images: shape ``(B, C, H, W)`` with C 1 or 3; values outside ``[0, 1]`` are clamped where they are shown.
    """

    images: Tensor


@final
@dataclass(frozen=True)
class Points:
    """States as points of the plane.

    Attributes:
        places: shape ``(B, 2)``.
        axes: what the two coordinates are called.
    """

    places: Tensor
    axes: tuple[str, str] = ("x1", "x2")


Drawing = Pictures | Points


def as_drawing(decoded: Tensor, system: str) -> Drawing:
    """Decoded states as what their shape says that they are.

    Args:
        decoded: shape ``(B, 1 or 3, H, W)`` or ``(B, 2)``.
        system: whose they are, for the message.

    Raises:
        InputError: if they are neither images nor points of the plane.
    """
    if decoded.ndim == 4 and decoded.shape[1] in (1, 3):
        return Pictures(decoded)
    if decoded.ndim == 2 and decoded.shape[1] == 2:
        return Points(decoded)
    shape = tuple(decoded.shape[1:])
    raise InputError(
        f"samples of the system {system!r} have the shape {shape}, which is no image and no point of the plane; "
        "let its `draw` return Pictures or Points of them"
    )
