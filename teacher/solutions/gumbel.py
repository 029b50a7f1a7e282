"""Gumbel routing: the argmax of logits plus noise that the sample keeps."""

import torch
from torch import Tensor


def gumbel(logits: Tensor, uniform: Tensor) -> Tensor:
    noise = -torch.log(-torch.log(uniform))
    chosen = (logits + noise).argmax(dim=1)
    return torch.nn.functional.one_hot(chosen, logits.shape[1]).to(logits.dtype)
