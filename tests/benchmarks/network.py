"""How much of a core's own rate of matrix products the classroom's expert reaches.

    python tests/benchmarks/network.py --out docs/results/benchmarks/network.json

Floating-point operations of an evaluation (a multiply and an add are two) per second of processor time in one thread,
over those of a float32 product of two 1024 x 1024 matrices in the same run; the best of several repetitions of each.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mnist_ddm.compute.parallel import one_thread
from mnist_ddm.systems.mnist import load

SIDE, BATCHES, REPETITIONS = 1024, (1, 16, 64, 250), 7


def seconds(function: Callable[[], Tensor]) -> float:
    """Of processor time that a call takes at best, after one that nobody times."""
    function()
    taken = []
    for _ in range(REPETITIONS):
        began = time.thread_time()
        function()
        taken.append(time.thread_time() - began)
    return min(taken)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    pool, numbers = load(), torch.Generator().manual_seed(0)
    rates = {}
    with one_thread(), torch.no_grad():
        a, b = (torch.randn(SIDE, SIDE, generator=numbers) for _ in range(2))
        for batch in BATCHES:
            x, t = torch.randn(batch, 1, 28, 28, generator=numbers), torch.rand(batch, generator=numbers)
            with FlopCounterMode(display=False) as counter:
                pool.velocity(0, x, t, None)
            product = 2 * SIDE**3 / seconds(lambda: a @ b)
            expert = counter.get_total_flops() / seconds(lambda x=x, t=t: pool.velocity(0, x, t, None))
            rates[str(batch)] = {
                "of the matrix product": round(expert / product, 3),
                "GFLOP/s": round(expert / 1e9, 1),
                "GFLOP/s of the matrix product": round(product / 1e9, 1),
            }
    report = {"batch": rates, "processor": platform.processor() or platform.machine(), "torch": torch.__version__}
    asked.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
