"""Whose digits are better after as many seconds of training: ten experts here, or torchcfm's UNet of its example.

    pip install --no-deps --target FOLDER torchcfm pot
    python tests/benchmarks/same_seconds.py FOLDER --out docs/results/benchmarks/same-seconds.json

The UNet is trained on the same digits with their classes as input, in one thread and by the example's recipe (Adam, 128
images a step), for the seconds that stand on the cards of the shipped experts, or those asked for. Both are judged by
the Frechet distance of as many samples to the held-out digits, in features of the classroom's classifier. If the UNet's
is the larger one, it needs more seconds for the same distance than it had: their ratio to ours is at least 1. With
`--also FOLDER` experts that were trained for a tenth of the steps are judged too: if they are better, at least 10.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import torch
from peers import torchcfm_unet
from torch import Tensor, nn

from mnist_ddm.compute.parallel import one_thread
from mnist_ddm.core.noise import initial_noise, sample_seeds
from mnist_ddm.core.recording import sample
from mnist_ddm.core.solvers import Heun
from mnist_ddm.core.visits import Sampling
from mnist_ddm.data import load_images, to_image, to_state
from mnist_ddm.metrics.frechet import extract, frechet_distance
from mnist_ddm.models.shipped import checkpoints_folder
from mnist_ddm.storage.files import read_json
from mnist_ddm.systems.mnist import MnistPool, load

BATCH, RATE, FEATURES = 128, 1e-3, "classifier"


def seconds_of_experts(folder: Path) -> float:
    """What the training of some experts took, by their cards."""
    cards = sorted(folder.glob("expert-*.json"))
    return sum(float(read_json(card)["figures"]["seconds"]) for card in cards)


def trained(network: nn.Module, seconds: float) -> int:
    """Train on all digits for so many seconds of processor time; returns the steps taken."""
    images = load_images()
    numbers, optimizer = torch.Generator().manual_seed(0), torch.optim.Adam(network.parameters(), lr=RATE)
    began, steps = time.thread_time(), 0
    while time.thread_time() - began < seconds:
        rows = torch.randint(len(images.train_images), (BATCH,), generator=numbers)
        clean = to_state(images.train_images[rows])
        noise, t = torch.randn(clean.shape, generator=numbers), torch.rand(BATCH, generator=numbers)
        at = t[:, None, None, None]
        predicted = network(t, (1 - at) * clean + at * noise, images.train_labels[rows])
        optimizer.zero_grad()
        (predicted - (noise - clean)).square().mean().backward()
        optimizer.step()
        steps += 1
    return steps


@torch.no_grad()
def drawn(network: nn.Module, n: int, steps: int) -> Tensor:
    """Final states of so many samples, all classes in turn, by Heun's method."""
    parts = []
    for rows in torch.arange(n).split(250):
        x, solver = initial_noise(sample_seeds(0, len(rows), int(rows[0])), (1, 28, 28)), Heun()

        def velocity(state: Tensor, t: float, classes: Tensor = rows % 10) -> Tensor:
            out: Tensor = network(torch.full((len(state),), t), state, classes)
            return out

        for i in range(steps):
            t, later = 1 - i / steps, 1 - (i + 1) / steps
            x = solver.step(velocity, x, t, later, velocity(x, t))
        parts.append(x)
    return torch.cat(parts)


def distance(pool: MnistPool, states: Tensor) -> float:
    """The Frechet distance of states to all held-out digits."""
    features, real = pool.measures.frechet_features[FEATURES], load_images().test_images
    return frechet_distance(*(extract(features, to_image(part)) for part in (to_state(real), states)))


def ours(judge: MnistPool, folder: Path, n: int, steps: int) -> dict[str, float]:
    """What a training took, and the distances of its samples."""
    pool = load(checkpoint=folder, judge=checkpoints_folder() / "mnist-classroom")
    finals = {routing: sample(pool, Sampling(routing, n, steps=steps)).final for routing in ("top2", "label")}
    distances = {f"fid, {routing}": distance(judge, final) for routing, final in finals.items()}
    return {"seconds": round(seconds_of_experts(folder), 1), **distances}


def main() -> None:
    """Train, sample and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("torchcfm", type=Path, help="Where it is installed.")
    parser.add_argument("--seconds", type=float, default=None, help="By default those of the experts' cards.")
    parser.add_argument("--also", type=Path, default=None, help="Another training of ours.")
    parser.add_argument("--n", type=int, default=1000, help="Samples of each.")
    parser.add_argument("--steps", type=int, default=25, help="Of Heun's method.")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.manual_seed(0)
    with one_thread():
        pool, network = load(), torchcfm_unet(asked.torchcfm)
        trainings = [checkpoints_folder() / "mnist-classroom", *([asked.also] if asked.also else [])]
        seconds = seconds_of_experts(trainings[0]) if asked.seconds is None else asked.seconds
        told_of_ours = {
            f"this package, {folder.name}": ours(pool, folder, asked.n, asked.steps) for folder in trainings
        }
        steps = trained(network, seconds)
        network.eval()
        told = {
            "seconds of training": round(seconds, 1),
            "samples": asked.n,
            "Heun steps": asked.steps,
            "torchcfm, its UNet": {"steps": steps, "fid": distance(pool, drawn(network, asked.n, asked.steps))},
            **told_of_ours,
            "processor": platform.processor() or platform.machine(),
            "torch": torch.__version__,
        }
    asked.out.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
