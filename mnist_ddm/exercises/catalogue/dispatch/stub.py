"""Batched dispatch: evaluate each expert once, on exactly the states that need it.

`mnist-ddm exercises check dispatch` says how it went, `mnist-ddm exercises hint dispatch` helps.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

Expert = Callable[[Tensor, Tensor], Tensor]


def dispatch(experts: Sequence[Expert], weights: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """The routed velocity sum_k w_k v_k(x, t), without evaluating what has no weight.

    Each expert is called at most once, with exactly the rows that have weight for it, and not at all if there are none.

    Args:
        experts: K functions from states (b, C, H, W) and times (b,) to velocities (b, C, H, W).
        weights: shape (B, K); most of them are exactly 0.
        x: states, shape (B, C, H, W).
        t: times, shape (B,); they differ between rows.

    Returns:
        The velocity, shape (B, C, H, W).
    """
    raise NotImplementedError
