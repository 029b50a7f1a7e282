"""The path from data to noise."""

from torch import Tensor


def flow(clean: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    t = t.reshape(-1, *(1,) * (clean.ndim - 1))
    return (1 - t) * clean + t * noise, noise - clean
