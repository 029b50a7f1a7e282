"""Step refinement."""

from collections.abc import Callable

from torch import Tensor


def refinement(
    integrate: Callable[[Tensor, int, int], Tensor],
    noise: Tensor,
    steps: int,
    distance: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    return distance(integrate(noise, steps, 1), integrate(noise, steps, 2))
