"""What one GPU takes for the work of this package; a JSON table on standard output.

    python tests/device/benchmark.py [--device cuda] [--seconds 260] [--quick]

Start-up by itself; forwards of each preset by batch, eager and captured, in each precision; a step of training by
Lightning, and one of an expert alone and of ten at once, and what ten take by it; then, from an empty cache and without
the start-up of Python, whole analyses on the shipped checkpoint; forwards compiled by `torch.compile`; and `reproduce
--scale full` in what is left. What the seconds do not reach is named in the table, which is printed whatever happens.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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
from mnist_ddm.training.loop import LOG_EVERY, Fit
from mnist_ddm.training.objectives import TrainingData, VelocityObjective
from mnist_ddm.training.together import fit_together

PRESETS = ("classroom", "paper")
BATCHES = (16, 128, 512, 2048)
REPEATS = 20
STUDIES = {
    "Appendix B, n = 500": (("expert-deviation", "averaging-variance", "disagreement"), 500),
    "jacobian-decomposition, n = 100": (("jacobian-decomposition",), 100),
    "group sensitivity, n = 1000": (tuple(analysis.id for analysis in analyses_in("sensitivity")), 1000),
}
TRAINED_STEPS, TRAINED_BATCH = 60, 64
EXPERTS, EXPERT_STEPS = 10, 10_000
"""Of the aim for training: so many experts for so many steps of `TRAINED_BATCH`."""
TIMED_CHUNKS = 2
"""Chunks of steps that are timed of trainings at once, after a first one."""
COMPILED_BATCHES = (128, 2048)
STARTS = {
    "python and torch": ("-c", "import torch"),
    "the shipped checkpoint": ("-c", "from mnist_ddm.systems.mnist import load; load({device!r})"),
    "mnist-ddm info": ("-m", "mnist_ddm", "info"),
}


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def starts(device: str) -> list[dict[str, object]]:
    """Seconds until a process of its own has ended that does nothing but begin."""
    rows: list[dict[str, object]] = []
    for name, arguments in STARTS.items():
        begin = time.perf_counter()
        program = [sys.executable, *(argument.format(device=device) for argument in arguments)]
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
        rows.append({"what": name, "s": round(time.perf_counter() - begin, 2)})
    return rows


def whole(arguments: list[str], cap: float) -> list[dict[str, object]]:
    """Seconds of a whole command from an empty cache, start-up included, which is ended at the cap."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "MNIST_DDM_CACHE": str(Path(folder) / "cache")}
        program = [sys.executable, "-m", "mnist_ddm", *arguments]
        begin = time.perf_counter()
        try:
            subprocess.run(program, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL, timeout=cap)
            done = True
        except subprocess.TimeoutExpired:
            done = False
        seconds = round(time.perf_counter() - begin, 1)
    return [{"command": " ".join(arguments), "s": seconds, "finished": done}]


@torch.no_grad()
def forwards(
    device: torch.device, precision: str, batches: Sequence[int] = BATCHES, *, compiled: bool = False
) -> list[dict[str, object]]:
    """Milliseconds and TFLOP/s of one forward; of what is compiled also the seconds that this takes."""
    rows: list[dict[str, object]] = []
    for name in PRESETS:
        preset = preset_named(name)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = preset.build("expert", 10, 10).to(device).eval().requires_grad_(False)
        for batch in batches:
            x, t = torch.randn(batch, 1, SIDE, SIDE, device=device), torch.rand(batch, device=device)
            ways: dict[str, Callable[..., torch.Tensor]] = {"eager": network}
            if device.type == "cuda":
                ways["captured"] = Replayed(network, CudaGraphs())
            if compiled:
                ways = {"compiled": torch.compile(network, mode="reduce-overhead", dynamic=False)}
            for way, function in ways.items():
                with computing_in(precision, device):
                    began = time.perf_counter()
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
                row |= {"compile_s": round(begin - began, 1)} if compiled else {}
                rows.append(row | {"ms": round(1e3 * seconds, 3), "TFLOP/s": round(rate, 2)})
    return rows


def expert(
    name: str, number: int, steps: int, folder: str, device: torch.device, **changes: Any
) -> tuple[Fit[TrainingData], torch.nn.Module]:
    """An expert of a preset with batches of `TRAINED_BATCH`, by its number, to be fitted to noise."""
    images = torch.randint(0, 256, (2000, 1, SIDE, SIDE), dtype=torch.uint8)
    data, preset = TrainingData(images, torch.zeros(len(images), dtype=torch.int64)), preset_named(name)
    recipe = replace(preset.recipes["expert"], steps=steps, batch=TRAINED_BATCH)
    state = Path(folder) / f"{number}.safetensors"
    fit = Fit(name, Streams(0, 0, number), "", VelocityObjective(), recipe, data, state, str(device), **changes)
    with torch.random.fork_rng():
        torch.manual_seed(number)
        return fit, preset.build("expert", 10, 10)


def minutes(ms: float) -> dict[str, object]:
    """What ten experts take whose step takes so many milliseconds."""
    return {"minutes of ten experts": round(ms * EXPERTS * EXPERT_STEPS / 60_000, 1), "steps of each": EXPERT_STEPS}


def training(device: torch.device, steps: int) -> list[dict[str, object]]:
    """Milliseconds of a step of training by Lightning; the first steps are not counted."""
    rows: list[dict[str, object]] = []
    for name in PRESETS:
        moments = list[float]()

        def after_step(module: object, moments: list[float] = moments) -> None:
            synchronize(device)
            moments.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as folder:
            fit, network = expert(name, 0, steps, folder, device, after_step=after_step)
            fit(network, lambda done: None)
        half = moments[len(moments) // 2 :]
        ms = 1e3 * (half[-1] - half[0]) / (len(half) - 1)
        rows.append({"preset": name, "batch": TRAINED_BATCH, "ms": round(ms, 2), **minutes(ms)})
    return rows


def at_once(device: torch.device, name: str, experts: int) -> list[dict[str, object]]:
    """Milliseconds of a step of one expert, alone and beside others, as commands train on a GPU.

    What comes before the end of the first chunk of steps is not counted, nor the writing of states, which is seldom.
    """
    rows: list[dict[str, object]] = []
    steps = LOG_EVERY * (1 + TIMED_CHUNKS)
    for count in (1, experts):
        moments: list[list[float]] = [[] for _ in range(count)]

        def note(done: float, own: list[float]) -> None:
            own.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as folder:
            all_of_them = [expert(name, number, steps + 1, folder, device, every=steps + 1) for number in range(count)]
            wanted = [(*one, partial(note, own=own)) for one, own in zip(all_of_them, moments, strict=True)]
            fit_together(wanted, lambda number, fitted: None, CudaGraphs if device.type == "cuda" else None)
        ms = 1e3 * (moments[-1][TIMED_CHUNKS] - moments[-1][0]) / (TIMED_CHUNKS * LOG_EVERY * count)
        row = {"preset": name, "batch": TRAINED_BATCH, "at once": count, "ms a model-step": round(ms, 2)}
        rows.append({**row, **minutes(ms)})
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


def sections(
    device: torch.device, quick: bool, left: Callable[[], float]
) -> Iterator[tuple[str, str, Callable[[], list[dict[str, object]]]]]:
    """What is measured, in the order of what matters: the table's part, what it is, and how.

    Args:
        device: on which.
        quick: few samples.
        left: seconds that may still be used.
    """
    precisions = ("float32", "tf32", "bfloat16") if device.type == "cuda" else ("float32",)
    yield "start-up", "processes", partial(starts, str(device))
    if not quick:
        yield "forwards", "float32", partial(forwards, device, "float32")
    for name in PRESETS[-1:] if not quick else ("tiny",):
        yield "training at once", name, partial(at_once, device, name, 2 if quick else EXPERTS)
    yield "training", "a step", partial(training, device, 6 if quick else TRAINED_STEPS)
    for precision in precisions[:2]:
        for name in STUDIES:
            yield "studies", f"{name}, {precision}", partial(study, str(device), precision, name, 4 if quick else None)
    if not quick:
        for precision in precisions[1:]:
            yield "forwards", precision, partial(forwards, device, precision)
        if device.type == "cuda":
            compiled = partial(forwards, device, "tf32", COMPILED_BATCHES, compiled=True)
            yield "forwards", "compiled, tf32", compiled
    system, scale = ("gaussian", "small") if quick else ("mnist", "full")
    asked = ["reproduce", "--system", system, "--scale", scale, "--device", str(device), "--out", "run"]
    yield "whole", f"reproduce, {scale}", lambda: whole(asked, max(1.0, left()))


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

        def left() -> float:
            return float(arguments.seconds - (time.monotonic() - begin))

        for part, what, measure in sections(device, arguments.quick, left):
            if left() < 0:
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
