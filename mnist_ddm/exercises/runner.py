"""Checking a student's file: it runs in a process of its own, and the judge runs here, where it cannot be reached.

The process has limits on time, memory and output; `mnist_ddm.exercises.confine` says what else it may not do. The judge
calls the function over a pipe and compares what comes with what it knows.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mnist_ddm.compute.scratch import scratch_folder
from mnist_ddm.exercises.limits import Limits
from mnist_ddm.exercises.processes import Start, start_fresh
from mnist_ddm.storage.files import sha256

PASSED: Final = "passed"


@dataclass(frozen=True)
class CheckResult:
    """What came of one run.

    Attributes:
        result: `passed`, `wrong`, `not done`, `error`, `time`, `memory` or `crash`.
        message: for the student.
        seconds: of the processor that import and check took in the student's process.
        sha256: of the file.
        printed: what the student's code wrote, shortened.
        picture: whether a picture was drawn.
        score: of an open exercise.
        imports_package: whether the file imports this package, which has solutions inside.
        walled: whether the process was kept from files, network and other processes.
    """

    result: str
    message: str
    seconds: float
    sha256: str
    printed: str = ""
    picture: bool = False
    score: dict[str, Any] | None = None
    imports_package: bool = False
    walled: bool = False

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.result == PASSED


def run_check(
    name: str,
    file: Path,
    limits: Limits,
    picture: Path | None = None,
    *,
    confined: bool = False,
    start: Start = start_fresh,
    on_passed: Callable[[str], None] = lambda message: None,
) -> CheckResult:
    """Check a file.

    Args:
        name: of the exercise.
        file: the student's.
        limits: what it may use.
        picture: where to draw, if the answer is right.
        confined: whether to keep it from files, processes and the network, as far as the system can.
        start: starts the process; see `nursery.py` for many.
        on_passed: called with the message of a right answer, before its picture is drawn.

    Raises:
        InputError: if the file cannot be read.
    """
    from mnist_ddm.exercises.registry import exercise_named
    from mnist_ddm.exercises.student import StudentProcess
    from mnist_ddm.exercises.wire import MessageError

    fingerprint = sha256(file)
    drawn, score = False, None
    with scratch_folder("exercise") as folder:
        with StudentProcess(name, file, folder, limits, confined=confined, start=start) as process:
            exercise = exercise_named(name)  # while the other process starts
            try:
                function = process.load()
                right = exercise.examine(function)
                result, message = PASSED, right.message
                score = vars(right.score) if right.score else None
            except MessageError as error:
                result, message = "error", f"the file disturbed its own check ({error})"
            except Exception as error:  # whatever a student's code leads to is an answer
                result, message = explained(error, file, process, limits)
            seconds = process.seconds
            if result == PASSED:
                on_passed(message)
            if result == PASSED and picture is not None:
                process.begin_anew()
                drawn = _draw(exercise, function, picture)
        printed = process.printed()
    return CheckResult(
        result, message, seconds, fingerprint, printed, drawn, score, process.imports_package, process.walled
    )


def explained(error: Exception, file: Path, process: Any, limits: Limits) -> tuple[str, str]:
    """One word and a message for what a student's process led to.

    Args:
        error: what came.
        file: the student's.
        process: the `StudentProcess`.
        limits: that it had.
    """
    from mnist_ddm.exercises.crashes import explain
    from mnist_ddm.exercises.student import Gone, StudentError, too_long

    if isinstance(error, StudentError):
        return error.result, str(error)
    if not isinstance(error, Gone):
        return explain(error, file)
    if error.late:
        if process.computed >= 1:
            return "time", (
                f"no answer after {process.waited:.0f} s, in which this busy machine let it compute "
                f"{process.computed:.0f} of its {limits.seconds:g} s: is there a loop without an end? If not, check it "
                "again when less runs."
            )
        return "time", (
            f"no answer after {process.waited:.0f} s, so it was stopped: does it wait for something (a sleep, a file)?"
        )
    code = process.exit_code
    if hasattr(signal, "SIGXCPU") and code == -signal.SIGXCPU:
        return "time", too_long(limits)
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return "crash", f"the process ended without an answer ({how}): os._exit, a crash, or the system ran out of memory"


def _draw(exercise: Any, function: Any, picture: Path) -> bool:
    """Draw the picture of a right answer; a failure takes nothing away from the answer."""
    from mnist_ddm.exercises.pictures import save_picture

    try:
        save_picture(exercise, function, picture)
    except Exception:
        return False
    return True
