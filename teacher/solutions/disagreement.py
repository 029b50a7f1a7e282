"""Disagreement and its integral."""

import torch
from torch import Tensor


def disagreement(velocities: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    k = velocities.shape[2]
    d = torch.cdist(velocities, velocities).sum(dim=(2, 3)) / (k * (k - 1))
    widths = times[:-1] - times[1:]
    inside = ((d[:, :-1] + d[:, 1:]) / 2 * widths).sum(dim=1)
    return d, inside + d[:, -1] * times[-1]
