"""Euler's method."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor


def euler(velocity: Callable[[Tensor, float], Tensor], x: Tensor, times: Sequence[float]) -> Tensor:
    for t, t_next in pairwise(times):
        x = x + (t_next - t) * velocity(x, t)
    return x
