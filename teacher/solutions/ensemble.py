"""The full ensemble."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Expert = Callable[[Tensor, Tensor], Tensor]


def ensemble(experts: Sequence[Expert], router: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor) -> Tensor:
    weights = router(x, t).softmax(dim=1)
    velocities = torch.stack([expert(x, t) for expert in experts], dim=1)
    return torch.einsum("bk,bk...->b...", weights, velocities)
