"""Where the processor time of a whole reproduction goes, in one process and one thread.

    python tests/benchmarks/profile_run.py --scale medium --n 4 --steps 5 --out docs/results/benchmarks/profile.json

Records and answers what `mnist-ddm reproduce --system mnist` asks at a scale, from an empty cache, and writes the run
folder. Every second goes to the innermost of the named parts that is running; a part that evaluates networks for
products with Jacobians keeps them. Fewer samples than the scale's make everything but networks look larger than it is.
"""

import argparse
import functools
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mnist_ddm.claims.ledger import ledger
from mnist_ddm.cli.reproduce import analyses_of
from mnist_ddm.compute.parallel import one_thread
from mnist_ddm.compute.runner import Runner
from mnist_ddm.core import linear, noise, spectral
from mnist_ddm.metrics import fidelity, frechet
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.study import Study
from mnist_ddm.systems.registry import load_system

NETWORKS, PRODUCTS, NUMBERS = "network evaluations", "products with Jacobians", "random numbers"
ALGEBRA, STORE, REST = "algebra of the searches", "reading and writing recordings", "the rest of recording"
ANSWERS, FOLDER = "answers", "the run folder"


class Clock:
    """Gives every moment to the innermost part that runs."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._stack = [REST]
        self._since = time.thread_time()

    def turn(self) -> None:
        """Give the time since the last turn to the part that ran."""
        now = time.thread_time()
        self.spent[self._stack[-1]] += now - self._since
        self._since = now

    def watching(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time given to a part."""

        @functools.wraps(function)
        def watched(*arguments: Any, **named: Any) -> Any:
            if self._stack[-1] == PRODUCTS:
                return function(*arguments, **named)
            self.turn()
            self._stack.append(part)
            try:
                return function(*arguments, **named)
            finally:
                self.turn()
                self._stack.pop()

        return watched

    def everywhere(self, part: str, module: object, *names: str) -> None:
        """Watch functions of a module, also where others have imported them by name."""
        for name in names:
            function = getattr(module, name)
            self.put(function, self.watching(part, function))

    @staticmethod
    def put(function: object, other: object) -> None:
        """Put something in the place of a function, wherever it is known."""
        for known in [m for key, m in list(sys.modules.items()) if key.startswith("mnist_ddm")]:
            for name in [name for name, value in vars(known).items() if value is function]:
                setattr(known, name, other)


def watch(clock: Clock) -> None:
    """Name the parts."""
    plain = linear.linearize

    def linearize(*arguments: Any, **named: Any) -> linear.LinearMap:
        found = clock.watching(PRODUCTS, plain)(*arguments, **named)
        jvp, vjp = (clock.watching(PRODUCTS, product) for product in (found.jvp, found.vjp))
        return replace(found, jvp=jvp, vjp=vjp)

    clock.put(plain, linearize)
    numbers = ("initial_noise", "normals", "uniforms", "gumbels", "signs", "subsets", "sample_seeds")
    clock.everywhere(NUMBERS, noise, *numbers)
    clock.everywhere(ALGEBRA, spectral, "spectral_norm", "spectral_norm_within")
    clock.everywhere(NETWORKS, frechet, "extract")
    clock.everywhere(NETWORKS, fidelity, "classify")
    for owner, name, part in (
        (Runner, "__call__", NETWORKS),
        (RecordingStore, "read", STORE),
        (RecordingStore, "write", STORE),
        (Study, "answer_one", ANSWERS),
        (Study, "write", FOLDER),
    ):
        setattr(owner, name, clock.watching(part, getattr(owner, name)))


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="medium")
    parser.add_argument("--n", type=int, help="Samples of each analysis instead of the scale's.")
    parser.add_argument("--steps", type=int, help="Steps instead of the scale's.")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, one_thread():
        pool = load_system("mnist")
        names = analyses_of(tuple(ledger().claims.values()))
        choices = {key: value for key, value in (("n", asked.n), ("steps", asked.steps)) if value is not None}
        study = Study(pool, names, scale=asked.scale, store=RecordingStore(Path(folder) / "recordings"), **choices)
        clock = Clock()
        watch(clock)
        study.write(Path(folder) / "run", study.record())
        clock.turn()
    whole = clock.spent.total()
    report = {
        "scale": asked.scale,
        "n": asked.n,
        "steps": asked.steps,
        "seconds": round(whole, 1),
        "share": {part: round(spent / whole, 4) for part, spent in clock.spent.most_common()},
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }
    asked.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
