"""Models of one's own as a system, in a few lines: pictures of 3 x 16 x 16, two experts, a router.

Run it: it trains for some seconds, says what its system promises, and writes `pictures.png`.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from mnist_ddm import Sampling, SimplePool, check_system, sample
from mnist_ddm.core.flow import interpolate, velocity_target
from mnist_ddm.figures.samples import save_samples


def pictures(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Red pictures that brighten to the right, and blue ones that brighten downwards; states in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.arange(n) % 2
    ramp = torch.linspace(-1, 1, 16).expand(16, 16)
    light = ramp * (0.5 + 0.5 * torch.rand(n, 1, 1, generator=generator))
    states = torch.full((n, 3, 16, 16), -1.0)
    states[kind == 0, 0], states[kind == 1, 2] = light[kind == 0], light[kind == 1].transpose(1, 2)
    return states, kind


class Network(nn.Module):
    """A function of a state and its time: put your own here."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(769, 128), nn.SiLU(), nn.Linear(128, outputs))
        self.shape = (3, 16, 16) if outputs == 768 else (outputs,)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layers(torch.cat([x.flatten(1), t[:, None]], dim=1)).reshape(len(x), *self.shape)


def trained(network: Network, states: Tensor, kind: Tensor | None = None, steps: int = 300) -> Network:
    """Learn velocities, or with ``kind`` which cluster a noisy picture is of."""
    generator, optimizer = torch.Generator().manual_seed(0), torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(steps):
        rows = torch.randint(len(states), (64,), generator=generator)
        noise, t = torch.randn(64, 3, 16, 16, generator=generator), torch.rand(64, generator=generator)
        answer = network(interpolate(states[rows], noise, t), t)
        if kind is None:
            loss = nn.functional.mse_loss(answer, velocity_target(states[rows], noise))
        else:
            loss = nn.functional.cross_entropy(answer, kind[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval().requires_grad_(False)


def make_pool(steps: int = 300) -> SimplePool:
    """Two experts, each of which saw its own pictures alone, and a router that saw all."""
    states, kind = pictures(400, seed=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # initial weights
        experts = [trained(Network(768), states[kind == k], steps=steps) for k in range(2)]
        router = trained(Network(2), states, kind, steps)
    return SimplePool(
        experts, router, pictures(200, seed=1), training=(states, kind), decode=lambda x: (x + 1) / 2, name="pictures"
    )


if __name__ == "__main__":
    pool = make_pool()
    print(*(f"{'no' if p.breach else 'ok'}  {p.what}  {p.breach}" for p in check_system(pool)), sep="\n")
    save_samples(pool, sample(pool, Sampling("top1", n=16, steps=10)).final, Path("pictures.png"), {})
