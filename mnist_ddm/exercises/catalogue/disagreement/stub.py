"""Disagreement between experts, and its integral over a trajectory.

`mnist-ddm exercises check disagreement` says how it went, `mnist-ddm exercises hint disagreement` helps.
"""

from torch import Tensor


def disagreement(velocities: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """The mean pairwise distance of the experts' velocities at each time, and its integral over t.

    Args:
        velocities: of K >= 2 experts at T recorded times of each of B trajectories, shape (B, T, K, d).
        times: falling from 1 to something above 0, shape (T,), not equally spaced.

    Returns:
        D, shape (B, T): the mean over the pairs i < j of the Euclidean distance |v_i - v_j|.
        D_int, shape (B,): its integral from t = 0 to 1 by the trapezoid rule; from the last recorded time down to 0
        the last value is held.
    """
    raise NotImplementedError
