"""The path from data to noise: make x_t and the velocity target.

`mnist-ddm exercises check flow` says how it went, `mnist-ddm exercises hint flow` helps.
"""

from torch import Tensor


def flow(clean: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The noisy state x_t = (1 - t) x_0 + t eps, and its velocity v = d x_t / dt.

    Args:
        clean: x_0, shape (B, ...): any number of axes after the first.
        noise: eps, same shape.
        t: one time in [0, 1] for each row, shape (B,); t = 0 is data, t = 1 is noise.

    Returns:
        x_t and v, both of the shape of `clean`.
    """
    raise NotImplementedError
