"""Router consistency: the weighted spread of the velocities about their blend."""

import torch
from torch import Tensor


def consistency(velocities: Tensor, weights: Tensor, t: Tensor) -> Tensor:
    blend = (weights[:, :, None] * velocities).sum(dim=1)
    apart = velocities - blend[:, None]
    return -((1 - t) / t)[:, None, None] * torch.einsum("bk,bki,bkj->bij", weights, apart, apart)
