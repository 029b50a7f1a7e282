"""What one GPU takes for the work of this package; a JSON table on standard output.

    python tests/device/benchmark.py [--device cuda] [--quick]

Forwards of each preset by batch, eager and captured, in each precision; then, from an empty cache and without the
start-up of Python, whole analyses on the shipped checkpoint.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch

from mnist_ddm.compute.launches import CudaGraphs, Replayed
from mnist_ddm.compute.precision import computing_in
from mnist_ddm.data import SIDE
from mnist_ddm.models.presets import preset_named
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.study import Study
from mnist_ddm.systems.mnist import load

PRESETS = ("classroom", "paper")
BATCHES = (16, 128, 512, 2048)
REPEATS = 20
STUDIES = {
    "Appendix B, n = 500": (("expert-deviation", "averaging-variance", "disagreement"), 500),
    "jacobian-decomposition, n = 100": (("jacobian-decomposition",), 100),
}


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def forwards(device: torch.device, precisions: tuple[str, ...]) -> list[dict[str, object]]:
    """Milliseconds and TFLOP/s of one forward."""
    rows: list[dict[str, object]] = []
    for name in PRESETS:
        preset = preset_named(name)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = preset.build("expert", 10, 10).to(device).eval().requires_grad_(False)
        for precision in precisions:
            for batch in BATCHES:
                x, t = torch.randn(batch, 1, SIDE, SIDE, device=device), torch.rand(batch, device=device)
                ways = {"eager": network}
                if device.type == "cuda":
                    ways["captured"] = Replayed(network, CudaGraphs())
                for way, function in ways.items():
                    with computing_in(precision, device):
                        for _ in range(3):
                            function(x, t)
                        synchronize(device)
                        begin = time.perf_counter()
                        for _ in range(REPEATS):
                            function(x, t)
                        synchronize(device)
                    seconds = (time.perf_counter() - begin) / REPEATS
                    rate = preset.sizes["expert"].flops * batch / seconds / 1e12
                    row = {"preset": name, "precision": precision, "batch": batch, "launches": way}
                    rows.append(row | {"ms": round(1e3 * seconds, 3), "TFLOP/s": round(rate, 2)})
    return rows


def studies(device: str, precisions: tuple[str, ...], n: int | None) -> list[dict[str, object]]:
    """Seconds that recordings and answers of whole analyses take, from an empty cache."""
    rows: list[dict[str, object]] = []
    for precision in precisions:
        pool = load(device, precision=precision)
        for name, (analyses, size) in STUDIES.items():
            with tempfile.TemporaryDirectory() as folder:
                study = Study(pool, analyses, n=n or size, store=RecordingStore(Path(folder)))
                begin = time.perf_counter()
                recordings = study.record(workers=1)
                recorded = time.perf_counter()
                study.answer(recordings)
                ended = time.perf_counter()
            row = {"study": name, "precision": precision, "n": n or size}
            rows.append(row | {"recorded_s": round(recorded - begin, 2), "answered_s": round(ended - recorded, 2)})
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="Few samples, to see that it works.")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    precisions = ("float32", "tf32", "bfloat16") if device.type == "cuda" else ("float32",)
    model = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    table = {"device": model, "torch": torch.__version__}
    if not arguments.quick:
        table["forwards"] = forwards(device, precisions)
    table["studies"] = studies(str(device), precisions[:2], 4 if arguments.quick else None)
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
