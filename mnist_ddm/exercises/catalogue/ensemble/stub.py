"""The full ensemble: all experts, weighted by the router.

`mnist-ddm exercises check ensemble` says how it went, `mnist-ddm exercises hint ensemble` helps.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

Expert = Callable[[Tensor, Tensor], Tensor]


def ensemble(experts: Sequence[Expert], router: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor) -> Tensor:
    """The routed velocity of the full ensemble, sum_k p(k | x_t) v_k(x_t, t).

    Args:
        experts: K functions from states (B, C, H, W) and times (B,) to velocities (B, C, H, W).
        router: a function from states and times to logits (B, K).
        x: states, shape (B, C, H, W).
        t: times, shape (B,).

    Returns:
        The velocity, shape (B, C, H, W).
    """
    raise NotImplementedError
