"""Top-k: the softmax of the chosen logits is renormalised already."""

import torch
from torch import Tensor


def topk(logits: Tensor, k: int) -> Tensor:
    values, chosen = torch.topk(logits, k, dim=1)
    return torch.full_like(logits, -torch.inf).scatter(1, chosen, values).softmax(dim=1)
