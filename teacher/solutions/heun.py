"""Heun's method, with Euler's step into t = 0."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor


def heun(velocity: Callable[[Tensor, float], Tensor], x: Tensor, times: Sequence[float]) -> Tensor:
    for t, t_next in pairwise(times):
        h, first = t_next - t, velocity(x, t)
        guess = x + h * first
        x = guess if t_next == 0 else x + h / 2 * (first + velocity(guess, t_next))
    return x
