"""Reading the dissociation: do stability and quality go together?

`mnist-ddm exercises check dissociation` says how it went, `mnist-ddm exercises hint dissociation` helps.
"""

from collections.abc import Mapping


def dissociation(stability: Mapping[str, float], quality: Mapping[str, float]) -> tuple[float, str, str, bool]:
    """Read a table of routings.

    Args:
        stability: Delta_refine of each routing; small is stable.
        quality: FID of the same routings, in any order; small is good.

    Returns:
        rho: Spearman's rank correlation of Delta_refine and FID over the routings.
        most_stable: the name of the most stable routing.
        best: the name of the routing with the best quality.
        dissociated: True if the most stable routing has the worst quality of all.
    """
    raise NotImplementedError
