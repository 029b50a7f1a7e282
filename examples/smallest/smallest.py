"""The smallest own system: two Gaussians in the plane, their exact experts, and the exact posterior as the router."""

import torch
from torch import Tensor

from mnist_ddm.core.condition import Condition
from mnist_ddm.core.measures import Measures
from mnist_ddm.core.pool import ExpertPool

MEANS, VARIANCE = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), 0.1


class Blobs(ExpertPool):
    """What is sampled."""

    name, n_experts, state_shape = "blobs", 2, (2,)

    def velocity(self, expert: int, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        t, mean = t[:, None], MEANS[expert].to(x)
        return (t - (1 - t) * VARIANCE) / ((1 - t) ** 2 * VARIANCE + t**2) * (x - (1 - t) * mean) - mean

    def router_logits(self, x: Tensor, t: Tensor) -> Tensor:
        distances = (x[:, None] - (1 - t)[:, None, None] * MEANS.to(x)).norm(dim=2)
        return -(distances**2) / (2 * ((1 - t) ** 2 * VARIANCE + t**2))[:, None]

    @property
    def measures(self) -> Measures:
        return BlobMeasures(2)


class BlobMeasures(Measures):
    """What samples are compared with; may be left out."""

    def real_states(self, n: int, cluster: int | None = None, *, held_out: bool = True) -> tuple[Tensor, Tensor]:
        states = torch.randn(1000, 2, generator=torch.Generator().manual_seed(int(held_out)))[:n]
        clusters = torch.arange(len(states)) % 2 if cluster is None else torch.full((len(states),), cluster)
        return MEANS[clusters] + VARIANCE**0.5 * states, clusters
