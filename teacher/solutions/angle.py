"""Angular deviation in degrees."""

import torch
from torch import Tensor


def angle(velocities: Tensor, reference: Tensor) -> Tensor:
    a, b = velocities.flatten(2), reference.flatten(1)[:, None]
    cosine = (a * b).sum(dim=2) / (a.norm(dim=2) * b.norm(dim=2))
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))
