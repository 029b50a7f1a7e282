"""Where a command spends its time: how much of it is not an evaluation of a network, nor a random number.

    python tests/benchmarks/profile_command.py --out docs/results/benchmarks/profile.json -- \\
        reproduce --system mnist --scale medium --workers 1

Every ten milliseconds of the process's own time (`ITIMER_PROF`, so other jobs of the machine do not count) the stack is
looked at, and the time is given to the first of these that holds: a network or what is differentiated through one, a
random number, an import, or the innermost function of this project that is running. The command runs in this process,
so it must have one worker; it is slowed by less than a hundredth.
"""

import argparse
import json
import platform
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import mnist_ddm
from mnist_ddm.cli import main as command_line

INTERVAL = 0.01
"""Seconds of processor time between two looks."""
NETWORKS, NUMBERS, IMPORTS, ELSEWHERE = "networks", "random numbers", "imports", "outside the project"
PACKAGE = Path(mnist_ddm.__file__).parent
_OF_NETWORKS = ("mnist_ddm/models/", "paris_ddm/models/", "torch/nn/", "torch/autograd/", "torch/_functorch/")
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
    kinds = {NETWORKS: _OF_NETWORKS, NUMBERS: _OF_NUMBERS, IMPORTS: _OF_IMPORTS}
    return next((kind for kind, parts in kinds.items() if any(p in f for f in files for p in parts)), innermost)


def profile(arguments: list[str]) -> Counter[str]:
    """Run a command of `mnist-ddm` and count what it does."""
    seen: Counter[str] = Counter()

    def look(_: int, frame: FrameType | None) -> None:
        seen[place(frame)] += 1

    before = signal.signal(signal.SIGPROF, look)
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
    sys.argv[1:] = arguments
    try:
        command_line()
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
    seen = profile(given.command)
    total = sum(seen.values())
    told = {
        "command": " ".join(["mnist-ddm", *given.command]),
        "machine": platform.processor() or platform.machine(),
        "minutes of processor time": total * INTERVAL / 60,
        "shares of it": {name: count / total for name, count in seen.most_common() if count >= total / 1000},
    }
    text = json.dumps(told, indent=1)
    given.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
