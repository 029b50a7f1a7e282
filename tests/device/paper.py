"""Trains the `paper` preset on one GPU and measures it, in at most eight minutes; a JSON object on standard output.

    sh tests/device/paper.sh [--steps 800] [--device cuda] [--seconds 450]

Experts and router first; then quality by the classifier that ships, the angles of Table 4, the consistency of the
router and the map; the monolith last. No part begins after the seconds, none goes on beyond them, and what they do not
reach is named in the object, which is printed whatever happens: the machine keeps nothing, weights neither.

    sh tests/device/paper.sh --device cpu --preset tiny --steps 1 --n 6 --analysis-steps 2

is a dry run.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from mnist_ddm.cli import cli

JUDGE = Path(__file__).parents[2] / "checkpoints" / "mnist-classroom"
ROUTINGS = "full,top2,top1,gumbel"
ANALYSES = {"quality": 1000, "expert-deviation": 200, "router-consistency": 50, "regime-map": 100}
"""With their numbers of samples, in the order of what matters."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Stop the block after so long.

    Raises:
        TimeoutError: if it took longer.
    """

    def stop(number: int, frame: object) -> None:
        raise TimeoutError(f"stopped after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def parts(chosen: argparse.Namespace, folder: Path) -> Iterator[tuple[str, list[str], Path | None]]:
    """What is done, in order: its name, the words of the command, and the run folder of what measures."""
    out, device = folder / "system", ["--device", chosen.device, "--workers", "1"]
    training = ["--preset", chosen.preset, "--out", str(out), *device, "--steps"]
    measuring = ["analyze", "--system", "mnist", "--checkpoint", str(out), "--judge", str(JUDGE), *device]
    steps = [] if chosen.analysis_steps is None else ["--steps", str(chosen.analysis_steps)]
    yield "experts", ["train-experts", *training, str(chosen.steps)], None
    yield "router", ["train-router", *training, str(3 * chosen.steps)], None
    for name in chosen.analyses.split(","):
        n = ANALYSES[name]
        run, routings = folder / name, ["--routing", ROUTINGS] if name == "quality" else []
        words = ["--analysis", name, "--n", str(chosen.n or n), *routings, *steps, "--out", str(run)]
        yield name, [*measuring, *words], run
    yield "monolith", ["train-monolith", *training, str(chosen.steps)], None
    run, n = folder / "monolith-quality", str(chosen.n or ANALYSES["quality"])
    words = ["--analysis", "quality", "--n", n, "--routing", "monolith", *steps, "--out", str(run)]
    yield "quality of the monolith", [*measuring, *words], run


def tables_of(run: Path) -> dict[str, Any]:
    """The tables that a run wrote, by name."""
    return {file.stem: json.loads(file.read_text()) for file in sorted((run / "results").glob("*.json"))}


def main() -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--steps", type=int, default=800, help="Of each expert; the router has three times as many.")
    parser.add_argument("--analyses", default=",".join(ANALYSES), help="Which, with commas between.")
    parser.add_argument("--n", type=int, default=None, help="Samples of every analysis instead of its own.")
    parser.add_argument("--analysis-steps", type=int, default=None, help="Solver steps instead of each analysis' own.")
    parser.add_argument("--seconds", type=float, default=450)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    begin = time.monotonic()
    model = torch.cuda.get_device_name(chosen.device) if chosen.device.startswith("cuda") else chosen.device
    told: dict[str, Any] = {"device": model, "torch": torch.__version__, "preset": chosen.preset, "steps": chosen.steps}
    told |= {"seconds": {}, "tables": {}, "not measured": {}}
    with tempfile.TemporaryDirectory() as place:
        os.environ["MNIST_DDM_CACHE"] = f"{place}/cache"
        try:
            for name, words, run in parts(chosen, Path(place)):
                started = time.monotonic()
                left = chosen.seconds - (started - begin)
                try:
                    if left <= 0:
                        raise TimeoutError("no time was left")
                    with at_most(left), contextlib.redirect_stdout(sys.stderr):
                        cli.main(words, standalone_mode=False)
                    told["seconds"][name] = round(time.monotonic() - started, 1)
                    if run is not None:
                        told["tables"][name] = tables_of(run)
                except Exception as error:  # a part that fails costs no other its figures
                    told["not measured"][name] = f"{type(error).__name__}: {error}"
        finally:
            print(json.dumps(told, indent=1), flush=True)


if __name__ == "__main__":
    main()
