"""Heun's method: integrate with two slopes for each step.

`mnist-ddm exercises check heun` says how it went, `mnist-ddm exercises hint heun` helps.
"""

from collections.abc import Callable, Sequence

from torch import Tensor


def heun(velocity: Callable[[Tensor, float], Tensor], x: Tensor, times: Sequence[float]) -> Tensor:
    """Integrate dx/dt = v(x, t) along falling times.

    Each step averages the slope where it starts and the slope where Euler's step would end. A step into t = 0 is
    Euler's.

    Args:
        velocity: from states (B, ...) and one time to velocities (B, ...). It is expensive: call it once for the
            first slope and once for the second, not more.
        x: the states at times[0].
        times: falling, such as [1.0, 0.7, 0.2, 0.0]; the steps need not be equally long.

    Returns:
        The states at times[-1].
    """
    raise NotImplementedError
