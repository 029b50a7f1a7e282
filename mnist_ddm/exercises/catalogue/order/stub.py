"""The order of a solver, from measured errors.

`mnist-ddm exercises check order` says how it went, `mnist-ddm exercises hint order` helps.
"""

from collections.abc import Sequence


def order(step_sizes: Sequence[float], errors: Sequence[float]) -> float:
    """The order p of a method whose error is about C h^p, by least squares of log error against log h.

    Args:
        step_sizes: h of each measurement, at least two different ones, in any order.
        errors: the error measured with each of them; positive.

    Returns:
        p, for instance 1.02 for Euler's method.
    """
    raise NotImplementedError
