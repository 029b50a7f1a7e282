"""Two clusters in the plane with exact experts: a system of callables that keeps every promise."""

import torch

PROMISES = 14
"""Of `check-system`."""
MEANS, VARIANCE = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), 0.1


def expert(k):
    def velocity(x, t):
        t, mean = t[:, None], MEANS[k].to(x)
        return (t - (1 - t) * VARIANCE) / ((1 - t) ** 2 * VARIANCE + t**2) * (x - (1 - t) * mean) - mean

    return velocity


def router(x, t):
    distances = (x[:, None] - (1 - t)[:, None, None] * MEANS.to(x)).norm(dim=2)
    return -(distances**2) / (2 * ((1 - t) ** 2 * VARIANCE + t**2))[:, None]


def real(n=300, seed=0):
    clusters = torch.arange(n) % 2
    return MEANS[clusters] + VARIANCE**0.5 * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)), clusters
