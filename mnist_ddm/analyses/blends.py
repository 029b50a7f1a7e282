"""The blend that an expert is compared with when it is left out, for any selection of experts."""

import numpy as np
from numpy.typing import NDArray

from mnist_ddm.core.recording import Recording
from mnist_ddm.stats.intervals import Array
from mnist_ddm.stats.permutation import Ties, ties_of

Mask = NDArray[np.bool_]

PRODUCTS = ("velocity-products@tenths", "weights@tenths")
"""From which the blends of any other weights follow."""


def mean_over_experts(values: Array, mask: Mask) -> Array:
    """The mean over the masked experts that have a value at each state, shape ``(n, T)``; NaN where there are none."""
    mask = mask & ~np.isnan(values)
    count = mask.sum(axis=2)
    total = np.where(mask, values, 0).sum(axis=2)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def blend_ties(along: Recording) -> Ties:
    """By how much selected experts are nearer than the others to the blend of all but themselves, and both nulls.

    Unlike a reference of its own, that blend is another one for every other selection.

    Args:
        along: a recording with `PRODUCTS`.
    """
    products, weights = (along.observed[name].double().numpy() for name in PRODUCTS)
    return ties_of(lambda given: np.nanmean(left_out_reduction(products, given), axis=1), weights)


def left_out_reduction(products: Array, weights: Array) -> Array:
    r"""By how much less selected experts than the others turn from the blend of all but themselves, in degrees.

    The angle of :math:`v_k` and :math:`b_k = \sum_{j \ne k} w_j v_j` follows from the products
    :math:`G_{jl} = v_j \cdot v_l` alone.

    Args:
        products: shape ``(n, T, K, K)``.
        weights: of any routing, shape ``(n, T, K)``.
    """
    others = weights[:, :, None, :] * (1 - np.eye(weights.shape[2]))
    along = np.einsum("ntkj,ntjk->ntk", others, products)
    length = np.sqrt(np.einsum("ntkj,ntjl,ntkl->ntk", others, products, others, optimize=True).clip(min=0))
    own = np.sqrt(np.diagonal(products, axis1=2, axis2=3))
    with np.errstate(invalid="ignore", divide="ignore"):
        angles = np.degrees(np.arccos((along / (length * own)).clip(-1, 1)))
    selected = weights > 0
    reduction: Array = mean_over_experts(angles, ~selected) - mean_over_experts(angles, selected)
    return reduction
