"""How long commands take on two idle cores from an empty cache, start-up of Python included.

    python tests/benchmarks/aims.py --out docs/results/benchmarks/aims.json [--only NAME]

Seconds on the clock and of processor time; the load of other jobs at the start stands beside. What was measured before
stays in the file.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from mnist_ddm.compute.cores import default_workers

COMMANDS = {
    "small": "reproduce --system mnist --scale small --out run",
    "medium": "reproduce --system mnist --scale medium --out run",
    "sensitivity, n = 100": "analyze --system mnist --group sensitivity --n 100 --out run",
    "interventions, n = 50": "analyze --system mnist --group interventions --n 50 --out run",
    "ten classroom experts": "train-experts --preset classroom --out run",
    "first samples": "sample --n 1 --steps 1 --out run.png",
    "info": "info",
}
"""Without `mnist-ddm`, in a folder of their own."""


def measured(command: str) -> dict[str, float]:
    """What one command takes."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "MNIST_DDM_CACHE": str(Path(folder) / "cache")}
        load, before, began = os.getloadavg()[0], _processor(), time.perf_counter()
        program = [sys.executable, "-m", "mnist_ddm", *command.split()]
        subprocess.run(program, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        taken = {"seconds": time.perf_counter() - began, "processor seconds": _processor() - before}
    return {name: round(value, 2) for name, value in {**taken, "load before": load}.items()}


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and write, command by command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", action="append", choices=list(COMMANDS), help="May be repeated; by default all.")
    given = parser.parse_args()
    report = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {"commands": {}}
    machine = {"cores": default_workers(), "processor": platform.processor() or platform.machine()}
    for name in given.only or COMMANDS:
        report["commands"][name] = {"command": COMMANDS[name], **measured(COMMANDS[name])}
        text = json.dumps({**report, **machine, "torch": torch.__version__}, indent=1)
        given.out.write_text(text + "\n", encoding="utf-8")
        print(name, report["commands"][name], flush=True)


if __name__ == "__main__":
    main()
