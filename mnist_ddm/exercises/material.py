"""What the exercises are made of: random tensors that are always the same, and small systems with exact answers."""

from collections.abc import Callable

import torch
from torch import Tensor

from mnist_ddm.core.condition import Condition
from mnist_ddm.core.noise import Purpose, generator
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Sampling
from mnist_ddm.systems.gaussian import GaussianPool, load

INK, SOFT = "#222222", "#999999"


def normal(key: int, *shape: int) -> Tensor:
    """Standard normal numbers, float64, the same for the same key."""
    return torch.from_numpy(generator(0, Purpose.EXERCISE, key).standard_normal(shape))


def triangle(scale: float = 0.25, radius: float = 1.6) -> GaussianPool:
    """Three Gaussians in the plane, of unequal weight and width, states ``(B, 1, 1, 2)``."""
    angle = torch.tensor([0.5, 2.6, 4.7], dtype=torch.float64)
    means = radius * torch.stack([angle.cos(), angle.sin()], dim=1)[:, None, None]
    return GaussianPool(means, scale * torch.tensor([1.0, 1.6, 1.2]), torch.tensor([1.0, 2.0, 1.5]))


def experts_of(pool: ExpertPool) -> list[Callable[[Tensor, Tensor], Tensor]]:
    """The experts as functions of states and times alone."""

    def expert(k: int) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda x, t: pool.velocity(k, x, t, nobody(len(x)))

    return [expert(k) for k in range(pool.n_experts)]


def nobody(n: int) -> Condition:
    """A condition for states that belong to no sample."""
    return Condition(torch.zeros(n, dtype=torch.int64))


def router_along_a_trajectory() -> tuple[Tensor, Tensor]:
    """Times ``(T,)`` and router logits ``(T, K)`` of one sample of the `gaussian` system under the full ensemble."""
    recording = sample(load(), Sampling("full", n=1, seed=3, steps=60), observables=("logits",))
    return recording.times, recording.observed["logits"][0].double()
