"""Power iteration: the spectral norm of a Jacobian without the Jacobian.

`mnist-ddm exercises check power` says how it went, `mnist-ddm exercises hint power` helps.
"""

from collections.abc import Callable

from torch import Tensor

Product = Callable[[Tensor], Tensor]


def power(jvp: Product, vjp: Product, start: Tensor, iterations: int) -> Tensor:
    """The largest singular value of one matrix J for each row, by power iteration on J^T J.

    Args:
        jvp: from v to J v, both (B, d), each row with a matrix of its own.
        vjp: from u to J^T u, both (B, d).
        start: any vectors, shape (B, d); not of unit length.
        iterations: how many times to apply J and J^T.

    Returns:
        The spectral norms, shape (B,).
    """
    raise NotImplementedError
