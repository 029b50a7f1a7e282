"""Where a command spends its time: how much of it is not an evaluation of a network, nor a random number.

    python tests/benchmarks/profile_command.py --out docs/results/benchmarks/profile.json -- \\
        reproduce --system mnist --scale medium --workers 1

Every ten milliseconds of the process's own time (`ITIMER_PROF`, so other jobs of the machine do not count) the stack is
looked at, and the time since the last look is given to the first of these that holds: weights that are read, a network
or what is differentiated through one, a random number, an import, or the innermost function of this project that is
running. A look waits until a call of a library has returned, and then counts all that it took. The command runs in this
process, so it must have one worker; it is slowed by less than a hundredth.
"""

import argparse
import json
import platform
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import mnist_ddm
from mnist_ddm.cli import main as command_line

INTERVAL = 0.01
"""Seconds of processor time between two looks."""
WEIGHTS, NETWORKS, NUMBERS, IMPORTS = "weights that are read", "networks", "random numbers", "imports"
ELSEWHERE = "outside the project"
PACKAGE = Path(mnist_ddm.__file__).parent
_OF_WEIGHTS = ("mnist_ddm/models/checkpoint.py", "paris_ddm/checkpoint.py", "paris_ddm/hashes.py")
_OF_NETWORKS = ("torch/nn/", "torch/autograd/", "torch/_functorch/")
_OF_NUMBERS = ("mnist_ddm/core/noise.py",)
_OF_IMPORTS = ("<frozen importlib",)


def place(frame: FrameType | None) -> str:
    """What a stack is counted as, by its innermost frame."""
    files: list[str] = []
    innermost = ELSEWHERE
    while frame is not None:
        name = frame.f_code.co_filename
        files.append(name)
        if innermost == ELSEWHERE and name.startswith((str(PACKAGE), str(PACKAGE.parent / "paris_ddm"))):
            innermost = f"{Path(name).relative_to(PACKAGE.parent)}: {frame.f_code.co_qualname}"
        frame = frame.f_back
    kinds = {WEIGHTS: _OF_WEIGHTS, NETWORKS: _OF_NETWORKS, NUMBERS: _OF_NUMBERS, IMPORTS: _OF_IMPORTS}
    return next((kind for kind, parts in kinds.items() if any(p in f for f in files for p in parts)), innermost)


def profile(run: Callable[[], object]) -> dict[str, float]:
    """Call a function and return the seconds of processor time that each `place` took."""
    seen: defaultdict[str, float] = defaultdict(float)
    last = time.process_time()

    def look(_: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.process_time()
        seen[place(frame)] += now - last
        last = now

    before = signal.signal(signal.SIGPROF, look)
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
    try:
        run()
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return seen


def main() -> None:
    """Profile a command and write the shares of its time, the largest first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    sys.argv[1:] = given.command
    seen = profile(command_line)
    total, largest = sum(seen.values()), sorted(seen.items(), key=lambda item: -item[1])
    told = {
        "command": " ".join(["mnist-ddm", *given.command]),
        "machine": platform.processor() or platform.machine(),
        "minutes of processor time": total / 60,
        "shares of it": {name: each / total for name, each in largest if each >= total / 1000},
    }
    text = json.dumps(told, indent=1)
    given.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
