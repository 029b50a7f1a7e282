"""Top-k routing: the weights of the k most probable experts.

`mnist-ddm exercises check topk` says how it went, `mnist-ddm exercises hint topk` helps.
"""

from torch import Tensor


def topk(logits: Tensor, k: int) -> Tensor:
    """The router's probabilities of the k most probable experts, renormalised; 0 for the others.

    Args:
        logits: of the router, shape (B, K): their softmax over dim 1 are probabilities. No two of a row are equal.
        k: how many experts to choose for each row, 1 <= k <= K.

    Returns:
        Weights that sum to 1 in each row, shape (B, K).
    """
    raise NotImplementedError
