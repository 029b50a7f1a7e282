"""Memory and time of one sample from a model of the release's full size, with random weights.

    python tests/benchmarks/paris_memory.py FOLDER [--out FILE.json]

The first run fills FOLDER with about 11 GB in bfloat16 (eight experts of 605,970,448 parameters, the router, a VAE and
a text encoder of the release's sizes); delete it afterwards. Then one sample is drawn in a process of its own: Top-2,
two Euler steps, guidance 4.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch

from mnist_ddm.storage.files import write_json, write_tensors
from mnist_ddm.versions import versions
from paris_ddm.config import DiTExpertConfig, RouterConfig
from paris_ddm.dit import ExpertDiT, RouterDiT
from paris_ddm.folder import EXPERT_WEIGHTS, ROUTER_WEIGHTS

EXPERT = DiTExpertConfig(1152, 28, 16, 2, 4, 4, 4.0, 768)
ROUTER = RouterConfig(8, 768, 12, 12, 2, 4)


def random_weights(network: torch.nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """Normal weights, small enough that nothing overflows."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: 0.02 * torch.randn(p.shape, generator=generator, dtype=torch.bfloat16)
        for name, p in network.named_parameters()
    }


def make(folder: Path) -> None:
    """Write the model; what is there already stays."""
    from diffusers import AutoencoderKL
    from transformers import CLIPTextConfig, CLIPTextModel

    from paris_ddm.mini.data import caption_table
    from paris_ddm.mini.tokenizer import write_tokenizer

    write_json(folder / "config.json", {"num_experts": 8, "image_size": 32, "num_channels": 4})
    with torch.device("meta"):
        expert, router = ExpertDiT(EXPERT, 32), RouterDiT(ROUTER, 32)
    for k in range(8):
        place = folder / f"expert_{k}"
        write_json(place / "config.json", asdict(EXPERT))
        if not (place / EXPERT_WEIGHTS).exists():
            write_tensors(place / EXPERT_WEIGHTS, random_weights(expert, k))
    write_json(folder / "router" / "config.json", asdict(ROUTER))
    write_tensors(folder / "router" / ROUTER_WEIGHTS, random_weights(router, 8))
    if not (folder / "vae").exists():
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
        )
        vae.save_pretrained(folder / "vae")
    if not (folder / "text_encoder").exists():
        text = CLIPTextConfig(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072)
        CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    write_tokenizer(folder / "tokenizer", caption_table(), 77)


def draw(folder: Path) -> None:
    """One sample; prints what it took."""
    from mnist_ddm.core.recording import sample
    from mnist_ddm.core.visits import Sampling
    from mnist_ddm.systems.registry import load_system

    begin = time.perf_counter()
    pool = load_system("paris", paris_dir=folder, dtype="bfloat16")
    recording = sample(pool, Sampling("top2", n=1, solver="euler", steps=2))
    sampled = time.perf_counter() - begin
    images = pool.decode(recording.final)
    found = {
        "peak resident memory (GB)": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "seconds until the latent": sampled,
        "seconds in all": time.perf_counter() - begin,
        "finite": bool(torch.isfinite(images).all()),
        "expert evaluations": int(recording.evaluations.sum()),
        "processor": next(
            (
                line.split(":")[1].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if "model name" in line
            ),
            "",
        ),
        "versions": versions(),
    }
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--draw", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draw:
        draw(options.folder)
        return
    make(options.folder)
    command = [sys.executable, __file__, str(options.folder), "--draw"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ})
    found = json.loads(answer.stdout.splitlines()[-1])
    print(json.dumps(found, indent=2))
    if options.out:
        write_json(options.out, found)


if __name__ == "__main__":
    main()
