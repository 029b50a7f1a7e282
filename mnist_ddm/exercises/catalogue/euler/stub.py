"""Euler's method: integrate a velocity field from noise down to data.

`mnist-ddm exercises check euler` says how it went, `mnist-ddm exercises hint euler` helps.
"""

from collections.abc import Callable, Sequence

from torch import Tensor


def euler(velocity: Callable[[Tensor, float], Tensor], x: Tensor, times: Sequence[float]) -> Tensor:
    """Integrate dx/dt = v(x, t) along falling times.

    Args:
        velocity: from states (B, ...) and one time to velocities (B, ...).
        x: the states at times[0].
        times: falling, such as [1.0, 0.7, 0.2, 0.0]; the steps need not be equally long.

    Returns:
        The states at times[-1], after one look at the velocity in each step.
    """
    raise NotImplementedError
