"""Summaries of samples that need no interval."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def sd(values: Array) -> float:
    """Standard deviation over samples; NaN for fewer than two."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def quartile(values: Array) -> NDArray[np.int64]:
    """The quartile 0 .. 3 of each sample by rank; sizes differ by at most one, ties go by position."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.arange(len(values))
    return ranks * 4 // max(len(values), 1)


def integrate_over_time(values: Array, times: Array) -> Array:
    """The integral over ``t`` in ``[0, 1]`` of what was recorded at falling times, shape ``(n,)``.

    The trapezoid rule between recorded times; below the last one, down to ``t = 0``, the last value is held, because
    the field is never evaluated at ``t = 0``.

    Args:
        values: shape ``(n, T)``.
        times: falling from 1, shape ``(T,)``.
    """
    from scipy.integrate import trapezoid

    inside = trapezoid(values[:, ::-1], times[::-1], axis=1) if len(times) > 1 else np.zeros(len(values))
    return np.asarray(inside + values[:, -1] * times[-1], dtype=np.float64)


def entropy(weights: Array) -> Array:
    """The entropy of weights ``(..., K)`` in nats; a weight of 0 adds nothing."""
    return np.asarray(-(weights * np.log(np.where(weights > 0, weights, 1))).sum(axis=-1), dtype=np.float64)
