"""Angular deviation: the angle between each expert's velocity and a reference.

`mnist-ddm exercises check angle` says how it went, `mnist-ddm exercises hint angle` helps.
"""

from torch import Tensor


def angle(velocities: Tensor, reference: Tensor) -> Tensor:
    """The angle between each expert's velocity and the reference, in degrees.

    Args:
        velocities: of K experts for each state, shape (B, K, C, H, W).
        reference: one velocity for each state, shape (B, C, H, W).

    Returns:
        Angles between 0 and 180, shape (B, K). The angle between a vector and itself is 0, never NaN.
    """
    raise NotImplementedError
