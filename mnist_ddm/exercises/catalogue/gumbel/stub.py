"""Gumbel routing: one expert a state, drawn from the router by noise that a trajectory keeps.

`mnist-ddm exercises check gumbel` says how it went, `mnist-ddm exercises hint gumbel` helps.
"""

from torch import Tensor


def gumbel(logits: Tensor, uniform: Tensor) -> Tensor:
    """Choose the expert with the largest logit plus Gumbel noise.

    Args:
        logits: of the router, shape (B, K): their softmax over dim 1 are probabilities.
        uniform: numbers between 0 and 1, shape (B, K), drawn once for each sample and kept for its whole trajectory.

    Returns:
        Weights: 1 for the expert that was chosen, 0 for the others, shape (B, K).
    """
    raise NotImplementedError
