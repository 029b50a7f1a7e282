"""Running a student's file in a process of its own, with limits on time, memory and output.

This keeps mistakes away: endless loops, crashes, huge allocations, floods of output. It is no wall against malice: the
file runs with the rights of whoever runs the check.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from mnist_ddm.storage.files import sha256

POLL_SECONDS = 0.02
START_SECONDS = 120.0
"""Until the process says that it is ready: importing torch on a busy machine."""

OUTPUT_KEPT = 2000
"""Characters of what a student prints; the rest is counted and dropped."""

PASSED: Final = "passed"


@dataclass(frozen=True)
class Limits:
    """What a student's file may use.

    Attributes:
        seconds: of the processor's time for import and check, and as much again for the picture.
        megabytes: of memory beyond what the exercise itself takes.
        clock: seconds on the clock, by default many more: the machine may be busy, but a file may also sleep for ever.
    """

    seconds: float = 10.0
    megabytes: int = 1024
    clock: float | None = None

    @property
    def patience(self) -> float:
        """Seconds on the clock."""
        return max(60.0, 6 * self.seconds) if self.clock is None else self.clock


@dataclass(frozen=True)
class CheckResult:
    """What came of one run.

    Attributes:
        result: `passed`, `wrong`, `not done`, `error`, `time`, `memory` or `crash`.
        message: for the student.
        seconds: of the processor that import and check took.
        sha256: of the file.
        printed: what the student's code wrote, shortened.
        picture: whether a picture was drawn.
        score: of an open exercise.
    """

    result: str
    message: str
    seconds: float
    sha256: str
    printed: str = ""
    picture: bool = False
    score: dict[str, Any] | None = None

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.result == PASSED


def run_check(name: str, file: Path, limits: Limits, picture: Path | None = None) -> CheckResult:
    """Check a file in a process of its own.

    Args:
        name: of the exercise.
        file: the student's.
        limits: what it may use.
        picture: where to draw, if the answer is right.

    Raises:
        InputError: if the file cannot be read.
    """
    fingerprint = sha256(file)
    with tempfile.TemporaryDirectory(prefix="mnist-ddm-exercise-") as folder:
        events = Path(folder) / "events"
        events.touch()
        given = [name, str(file.resolve()), str(events), str(picture.resolve()) if picture else ""]
        given += [str(limits.seconds), str(limits.megabytes)]
        # -P: a student's random.py or types.py must not take the place of Python's own.
        process = subprocess.Popen(
            [sys.executable, "-P", "-u", "-m", "mnist_ddm.exercises.worker", *given],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        output = _Output(process.stdout)
        try:
            late = _wait(process, events, limits)
        finally:
            _end(process)
        reported = _read(events)
        printed = output.finish()
    result = next((e for e in reported if e["event"] == "result"), None)
    drawn = any(e["event"] == "picture" and not e["problem"] for e in reported)
    if result is not None:
        told = (result["result"], result["message"], result["seconds"])
        return CheckResult(*told, fingerprint, printed, drawn, result.get("score"))
    if late:
        message = (
            f"no answer after {limits.patience:g} s, so it was stopped: does it wait for something (a sleep, a file)?"
        )
        return CheckResult("time", message, limits.seconds, fingerprint, printed)
    if hasattr(signal, "SIGXCPU") and process.returncode == -signal.SIGXCPU:
        message = (
            f"no answer after {limits.seconds:g} s of computing, so it was stopped: is there a loop without an end?\n"
            "  If it only needs longer, give it more with --time-limit."
        )
        return CheckResult("time", message, limits.seconds, fingerprint, printed)
    code = process.returncode
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    message = f"the process ended without an answer ({how}): os._exit, a crash, or the system ran out of memory"
    return CheckResult("crash", message, 0.0, fingerprint, printed)


def _wait(process: "subprocess.Popen[bytes]", events: Path, limits: Limits) -> bool:
    """Wait until the process ends, or has had its time; returns whether it is late.

    The time starts anew when the process says that it is ready, and when it has told its result.
    """
    since, known = time.monotonic(), 0
    while process.poll() is None:
        now, count = time.monotonic(), len(_read(events))
        if count > known:
            since, known = now, count
        if now - since > (limits.patience if known else START_SECONDS):
            return True
        time.sleep(POLL_SECONDS)
    return False


def _read(events: Path) -> list[dict[str, Any]]:
    """The events so far; a line that is still being written is left for later."""
    lines = events.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


class _Output:
    """Reads what a process prints, so that it never waits for a reader, and keeps the beginning."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._kept, self._dropped = b"", 0
        self._thread = threading.Thread(target=self._drain, args=(pipe,), daemon=True)
        self._thread.start()

    def _drain(self, pipe: IO[bytes]) -> None:
        while chunk := pipe.read1(65536):  # type: ignore[attr-defined]  # a buffered pipe has it
            room = max(0, OUTPUT_KEPT - len(self._kept))
            self._kept += chunk[:room]
            self._dropped += len(chunk[room:])

    def finish(self) -> str:
        self._thread.join(timeout=5)
        text = self._kept.decode("utf-8", errors="replace").rstrip()
        return f"{text}\n... and {self._dropped} characters more" if self._dropped else text
