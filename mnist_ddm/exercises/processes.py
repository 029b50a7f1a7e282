"""The processes of students: how they start, what they print, and their end."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Protocol, final

_SESSION, _USER, _SYSTEM = 3, 11, 12
"""Places in what Linux says of a process, after its name (proc(5))."""
OUTPUT_KEPT = 2000
"""Characters of what a student prints; the rest is counted and dropped."""


class Process(Protocol):
    """A process that runs a student's file: a `subprocess.Popen`, or one of a nursery (`nursery.Child`)."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    @property
    def returncode(self) -> int | None:
        """How it ended, negative for a signal; ``None`` while it runs."""

    def poll(self) -> int | None:
        """Look whether it has ended."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: if that takes longer.
        """

    def kill(self) -> None:
        """End it."""


Start = Callable[[Sequence[str], Path], Process]
"""Starts a process, from the arguments of `worker.main` and the folder in which it runs."""

_running: set[Process] = set()
_lock = threading.Lock()


def start_fresh(arguments: Sequence[str], folder: Path) -> Process:
    """A process of its own, with a Python of its own."""
    return subprocess.Popen(
        # -P: a student's random.py or types.py must not take the place of Python's own.
        [sys.executable, "-P", "-u", "-m", "mnist_ddm.exercises.worker", *arguments],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def register(process: Process) -> None:
    """Note a process that `end_all` ends."""
    with _lock:
        _running.add(process)


def end(process: Process) -> None:
    """End a process and whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
    with _lock:
        _running.discard(process)


def processor_seconds(process: Process) -> float:
    """The processor's time that a process and all that it started have taken; 0 where the system does not tell."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[_SESSION]) == process.pid:
                ticks += int(fields[_USER]) + int(fields[_SYSTEM])
    return ticks / os.sysconf("SC_CLK_TCK") if ticks else 0.0


def end_all() -> None:
    """End all of them: whoever waits for one notices."""
    with _lock:
        processes = list(_running)
    for process in processes:
        end(process)


@final
class Output:
    """Reads what a process prints, so that it never waits for a reader, and keeps the beginning."""

    def __init__(self, pipe: IO[bytes]) -> None:
        """Begin to read."""
        self._kept, self._dropped = b"", 0
        self._thread = threading.Thread(target=self._drain, args=(pipe,), daemon=True)
        self._thread.start()

    def _drain(self, pipe: IO[bytes]) -> None:
        while chunk := pipe.read1(65536):  # type: ignore[attr-defined]  # a buffered pipe has it
            room = max(0, OUTPUT_KEPT - len(self._kept))
            self._kept += chunk[:room]
            self._dropped += len(chunk[room:])

    def finish(self) -> str:
        """What was printed, shortened, once the process has ended."""
        self._thread.join(timeout=5)
        text = self._kept.decode("utf-8", errors="replace").rstrip()
        text = "".join(c if c in "\n\t" or c.isprintable() else "?" for c in text)
        return f"{text}\n... and {self._dropped} characters more" if self._dropped else text
