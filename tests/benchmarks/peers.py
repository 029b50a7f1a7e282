"""What sampling and a step of training cost here, and what they cost what a user would write or pick instead.

    pip install --no-deps --target FOLDER torchcfm pot
    python tests/benchmarks/peers.py --torchcfm FOLDER --out docs/results/benchmarks/peers.json

Against a plain loop over this package's own experts that runs every expert on every sample, and against the UNet of
torchcfm's MNIST example (32 channels, one block a level, classes as input), once and as ten models of which all run.
Every way takes Heun steps; seconds are of processor time in one thread, the median of several runs of a block of
samples and a few steps, scaled to 1000 samples and 10 steps. A block is as large as a recording's: with fewer samples
an expert gets few rows, which are filled up. Quality is not compared: that takes hours.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from mnist_ddm.compute.parallel import one_thread
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.recording import BLOCK, sample
from mnist_ddm.core.solvers import Heun
from mnist_ddm.core.visits import Sampling, start
from mnist_ddm.models.presets import preset_named
from mnist_ddm.systems.mnist import MnistPool, load

SAMPLES, STEPS = 1000, 10
EVALUATIONS = 2 * STEPS - 1
"""Of a trajectory by Heun's method, whose last step is one of Euler's."""


def seconds(function: Callable[[], object], runs: int) -> float:
    """Of processor time that a call takes, the median of some, after one that nobody times."""
    function()
    taken = []
    for _ in range(runs):
        began = time.thread_time()
        function()
        taken.append(time.thread_time() - began)
    return median(taken)


def ours(pool: MnistPool, routing: str, n: int, steps: int, runs: int) -> float:
    """Seconds that one sample takes in one of so many evaluations, whatever experts it asks for."""
    return seconds(lambda: sample(pool, Sampling(routing, n, steps=steps)), runs) / n / (2 * steps - 1)


def plain_loop(pool: MnistPool, n: int, steps: int, runs: int) -> float:
    """The same where every expert and the router run on every sample, in a loop that anybody would write."""
    x, _ = start(pool, sample_seeds(0, n))

    def velocity(state: Tensor, t: float) -> Tensor:
        times = torch.full((n,), t)
        probability = pool._router(state, times).softmax(dim=1)
        values, chosen = probability.topk(2, dim=1)
        weights = torch.zeros_like(probability).scatter(1, chosen, values / values.sum(dim=1, keepdim=True))
        velocities = torch.stack([expert(state, times) for expert in pool._experts], dim=1)
        return torch.einsum("bk,bk...->b...", weights, velocities)

    return trajectory_seconds(velocity, x, steps, runs)


def trajectory_seconds(velocity: Callable[[Tensor, float], Tensor], x: Tensor, steps: int, runs: int) -> float:
    """Seconds that one sample takes in one evaluation of a velocity, along a trajectory."""

    @torch.no_grad()
    def walk() -> Tensor:
        state, solver = x, Heun()
        for i in range(steps):
            t, later = 1 - i / steps, 1 - (i + 1) / steps
            state = solver.step(velocity, state, t, later, velocity(state, t))
        return state

    return seconds(walk, runs) / len(x) / (2 * steps - 1)


def training_step(network: Callable[[Tensor, Tensor], Tensor], weights: list[Tensor], batch: int, runs: int) -> float:
    """Seconds that one image takes in a step of Adam on the flow-matching loss."""
    optimizer = torch.optim.AdamW(weights, lr=1e-4)
    x, noise, t = torch.rand(batch, 1, 28, 28), torch.randn(batch, 1, 28, 28), torch.rand(batch)

    def step() -> None:
        at = t[:, None, None, None]
        loss = (network((1 - at) * x + at * noise, t) - (noise - x)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return seconds(step, runs) / batch


def torchcfm_unet(folder: Path) -> nn.Module:
    """The UNet of torchcfm's example with digits."""
    sys.path.append(str(folder))
    from torchcfm.models.unet import UNetModel  # type: ignore[import-not-found]

    network = UNetModel(dim=(1, 28, 28), num_channels=32, num_res_blocks=1, num_classes=10, class_cond=True)
    assert isinstance(network, nn.Module)
    return network


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torchcfm", type=Path, help="Where it is installed; without it, the plain loop alone.")
    parser.add_argument("--n", type=int, default=BLOCK, help="Samples that are timed.")
    parser.add_argument("--runs", type=int, default=5, help="Of which the median counts.")
    parser.add_argument("--steps", type=int, default=2, help="Steps that are timed.")
    parser.add_argument("--batch", type=int, default=64, help="Images of a step of training.")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.manual_seed(0)
    with one_thread():
        pool = load()
        sizes = asked.n, asked.steps, asked.runs
        each = {f"this package, {name}": ours(pool, name, *sizes) for name in ("top1", "top2")}
        each["a plain loop, Top-2 of all experts"] = plain_loop(pool, *sizes)
        own = preset_named("classroom").build("expert", 10, 10)
        training = {"this package, an expert": training_step(own, list(own.parameters()), asked.batch, asked.runs)}
        parameters = {"this package, an expert": sum(p.numel() for p in own.parameters())}
        if asked.torchcfm:
            peer = torchcfm_unet(asked.torchcfm)
            classes = torch.arange(max(asked.n, asked.batch)) % 10

            def network(x: Tensor, t: Tensor) -> Tensor:
                out: Tensor = peer(t, x, classes[: len(x)])
                return out

            x = torch.randn(asked.n, 1, 28, 28)
            training["torchcfm, its UNet"] = training_step(network, list(peer.parameters()), asked.batch, asked.runs)
            parameters["torchcfm, its UNet"] = sum(p.numel() for p in peer.parameters())
            peer.eval()
            one = trajectory_seconds(lambda z, t: network(z, torch.full((len(z),), t)), x, asked.steps, asked.runs)
            each |= {"torchcfm, one model": one, "torchcfm, ten models that all run": 10 * one}
    base, whole = each["this package, top2"], SAMPLES * EVALUATIONS
    report = {
        "timed": {
            "samples": asked.n,
            "steps": asked.steps,
            "runs": asked.runs,
            "images of a training step": asked.batch,
        },
        f"seconds for {SAMPLES} samples, Heun {STEPS}": {k: round(v * whole, 1) for k, v in each.items()},
        "times those of this package, top2": {k: round(v / base, 2) for k, v in each.items()},
        "milliseconds an image in training": {k: round(1e3 * v, 2) for k, v in training.items()},
        "parameters": parameters,
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }
    asked.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
