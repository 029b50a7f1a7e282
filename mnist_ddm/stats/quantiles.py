"""Quantiles and shares of the distributions that intervals rest on, by `scipy.special`.

`scipy.stats` has the same numbers to the last bit, and takes longer to import than most commands run; only what has no
short form is taken from there, where it is computed.
"""

import math

from scipy import special


def normal_quantile(share: float) -> float:
    """The standard normal value that this share of all lies below."""
    return float(special.ndtri(share))


def normal_share(value: float) -> float:
    """The share of a standard normal distribution below a value."""
    return float(special.ndtr(value))


def student_quantile(share: float, freedom: float) -> float:
    """The value that this share of Student's distribution lies below, for positive degrees of freedom or infinite."""
    return normal_quantile(share) if math.isinf(freedom) else float(special.stdtrit(freedom, share))


def student_share(value: float, freedom: float) -> float:
    """The share of Student's distribution below a value, for positive degrees of freedom or infinite."""
    return normal_share(value) if math.isinf(freedom) else float(special.stdtr(freedom, value))


def chi_square_quantile(share: float, freedom: float) -> float:
    """The value that this share of a chi-square distribution lies below, for positive degrees of freedom."""
    return float(special.chdtri(freedom, 1 - share))


def beta_quantile(share: float, a: float, b: float) -> float:
    """The value that this share of a beta distribution lies below, for positive ``a`` and ``b``."""
    return float(special.betaincinv(a, b, share))
