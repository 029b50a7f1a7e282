"""Step refinement: how much would twice as many steps change each sample?

`mnist-ddm exercises check refinement` says how it went, `mnist-ddm exercises hint refinement` helps.
"""

from collections.abc import Callable

from torch import Tensor


def refinement(
    integrate: Callable[[Tensor, int, int], Tensor],
    noise: Tensor,
    steps: int,
    distance: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Delta_refine of each sample: the distance between the N-step and the 2N-step result.

    Args:
        integrate: integrate(noise, steps, refine) samples on a grid of `steps` intervals, each cut into `refine` solver
            steps; it returns the samples. A routing that draws at random draws once for each interval.
        noise: the start states, shape (B, C, H, W).
        steps: N.
        distance: from two batches of samples to one distance for each pair, shape (B,).

    Returns:
        Delta_refine, shape (B,).
    """
    raise NotImplementedError
