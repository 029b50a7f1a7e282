"""Router consistency: the Jacobian of a router that the experts imply.

`mnist-ddm exercises check consistency` says how it went, `mnist-ddm exercises hint consistency` helps.
"""

from torch import Tensor


def consistency(velocities: Tensor, weights: Tensor, t: Tensor) -> Tensor:
    """The router's term of the Jacobian of the routed velocity, if the weights are the experts' exact posterior.

    Args:
        velocities: v_k of all experts at each state, shape (B, K, d).
        weights: w_k, shape (B, K); they sum to 1 in each row.
        t: times between 0 and 1, shape (B,); 0 is data and 1 is noise.

    Returns:
        One matrix for each state, shape (B, d, d).
    """
    raise NotImplementedError
