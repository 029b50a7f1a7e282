"""What one GPU takes for the work of this package; a JSON table on standard output.

    python tests/device/benchmark.py [--device cuda] [--seconds 260] [--quick]

Forwards of each preset by batch, eager and captured, in each precision; a step of training; then, from an empty cache
and without the start-up of Python, whole analyses on the shipped checkpoint. What the seconds do not reach is named in
the table, which is printed whatever happens.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mnist_ddm.analyses.registry import analyses_in
from mnist_ddm.compute.launches import CudaGraphs, Replayed
from mnist_ddm.compute.precision import computing_in
from mnist_ddm.data import SIDE
from mnist_ddm.models.presets import preset_named
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.study import Study
from mnist_ddm.systems.mnist import load
from mnist_ddm.training.data import Streams
from mnist_ddm.training.loop import Fit
from mnist_ddm.training.objectives import TrainingData, VelocityObjective

PRESETS = ("classroom", "paper")
BATCHES = (16, 128, 512, 2048)
REPEATS = 20
STUDIES = {
    "Appendix B, n = 500": (("expert-deviation", "averaging-variance", "disagreement"), 500),
    "jacobian-decomposition, n = 100": (("jacobian-decomposition",), 100),
    "group sensitivity, n = 1000": (tuple(analysis.id for analysis in analyses_in("sensitivity")), 1000),
}
TRAINED_STEPS, TRAINED_BATCH = 60, 64


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def forwards(device: torch.device, precision: str) -> list[dict[str, object]]:
    """Milliseconds and TFLOP/s of one forward."""
    rows: list[dict[str, object]] = []
    for name in PRESETS:
        preset = preset_named(name)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = preset.build("expert", 10, 10).to(device).eval().requires_grad_(False)
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


def training(device: torch.device, steps: int) -> list[dict[str, object]]:
    """Milliseconds of a step of training, by Lightning as commands train; the first steps are not counted."""
    rows: list[dict[str, object]] = []
    images = torch.randint(0, 256, (2000, 1, SIDE, SIDE), dtype=torch.uint8)
    data = TrainingData(images, torch.zeros(len(images), dtype=torch.int64))
    for name in PRESETS:
        preset, moments = preset_named(name), list[float]()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = preset.build("expert", 10, 10)

        def after_step(module: object, moments: list[float] = moments) -> None:
            synchronize(device)
            moments.append(time.perf_counter())

        recipe = replace(preset.recipes["expert"], steps=steps, batch=TRAINED_BATCH)
        with tempfile.TemporaryDirectory() as folder:
            state = Path(folder) / "state.safetensors"
            fit = Fit(
                name, Streams(0, 0, 0), "", VelocityObjective(), recipe, data, state, str(device), False, after_step
            )
            fit(network, lambda done: None)
        half = moments[len(moments) // 2 :]
        ms = 1e3 * (half[-1] - half[0]) / (len(half) - 1)
        rows.append({"preset": name, "batch": TRAINED_BATCH, "ms": round(ms, 2)})
    return rows


def study(device: str, precision: str, name: str, n: int | None) -> list[dict[str, object]]:
    """Seconds that recordings and answers of some analyses take, from an empty cache."""
    analyses, size = STUDIES[name]
    with tempfile.TemporaryDirectory() as folder:
        own = Study(load(device, precision=precision), analyses, n=n or size, store=RecordingStore(Path(folder)))
        begin = time.perf_counter()
        recordings = own.record(workers=1)
        recorded = time.perf_counter()
        own.answer(recordings)
        ended = time.perf_counter()
    row = {"study": name, "precision": precision, "n": n or size}
    return [row | {"recorded_s": round(recorded - begin, 2), "answered_s": round(ended - recorded, 2)}]


def sections(device: torch.device, quick: bool) -> Iterator[tuple[str, str, Callable[[], list[dict[str, object]]]]]:
    """What is measured, in the order of what matters: the table's part, what it is, and how."""
    precisions = ("float32", "tf32", "bfloat16") if device.type == "cuda" else ("float32",)
    if not quick:
        yield "forwards", "float32", partial(forwards, device, "float32")
    yield "training", "a step", partial(training, device, 6 if quick else TRAINED_STEPS)
    for precision in precisions[:2]:
        for name in STUDIES:
            yield "studies", f"{name}, {precision}", partial(study, str(device), precision, name, 4 if quick else None)
    if not quick:
        for precision in precisions[1:]:
            yield "forwards", precision, partial(forwards, device, precision)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=260, help="No part begins after so many.")
    parser.add_argument("--quick", action="store_true", help="Few samples, to see that it works.")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    device, begin = torch.device(arguments.device), time.monotonic()
    model = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    table: dict[str, Any] = {"device": model, "torch": torch.__version__, "not measured": []}
    try:
        for part, what, measure in sections(device, arguments.quick):
            if time.monotonic() - begin > arguments.seconds:
                table["not measured"].append(f"{part}: {what}")
                continue
            table["measuring"] = f"{part}: {what}"
            try:
                table.setdefault(part, []).extend(measure())
            except Exception as error:  # a part that fails costs no other its figures
                table["not measured"].append(f"{part}: {what} ({type(error).__name__}: {error})")
            del table["measuring"]
    finally:
        print(json.dumps(table, indent=1), flush=True)


if __name__ == "__main__":
    main()
