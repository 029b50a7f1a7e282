"""Independent jobs in parallel processes, with progress.

The engine is joblib: its loky back end on one machine, and whatever back end a caller chose with
``joblib.parallel_config`` (Ray, say) elsewhere. Each process gets one thread: for many small operations two processes
of one thread beat one process of two.
"""

import contextlib
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Generic, TypeVar, final

import cloudpickle
import joblib
import numpy as np
import torch

from mnist_ddm.errors import InputError

Result = TypeVar("Result")
OnProgress = Callable[[float], None]
"""Called by a job with the fraction of its work that is done."""

POLL_SECONDS = 0.5


def default_workers() -> int:
    """One worker for each core that this process may use, the limits of a container among what decides that."""
    return max(1, int(joblib.cpu_count()))


def run_jobs(
    jobs: Sequence[Callable[[OnProgress], Result]],
    workers: int,
    on_progress: Callable[[int, float], None] = lambda job, fraction: None,
) -> list[Result]:
    """Run jobs and return their results in order.

    Args:
        jobs: functions of an `OnProgress`; with more than one worker they must be picklable.
        workers: how many processes; with 1 everything runs in this process, in one thread like everywhere.
        on_progress: called here with a job's number and the fraction of it that is done.

    Raises:
        InputError: if ``workers`` is less than 1.
    """
    if workers < 1:
        raise InputError(f"the number of workers must be at least 1, not {workers}")
    if workers == 1 or len(jobs) < 2:
        with one_thread():
            return [job(partial(on_progress, i)) for i, job in enumerate(jobs)]
    with (
        tempfile.TemporaryDirectory(prefix="mnist-ddm-progress-") as name,
        _polling(Path(name), on_progress),
        _safe_path(),
    ):
        parallel = joblib.Parallel(n_jobs=min(workers, len(jobs)))
        results: list[Result] = parallel(joblib.delayed(_run)(job, Path(name) / str(i)) for i, job in enumerate(jobs))
        return results


@final
class Shared(Generic[Result]):
    """Something large that many jobs take: pickled once for all of them, and unpickled once in each worker.

    Passed as it is, it would be pickled again for every job, and what it had computed and kept would be lost after
    each.
    """

    def __init__(self, value: Result) -> None:
        """Take what is shared."""
        self._value = value
        self._key = uuid.uuid4().hex
        self._pickled: np.ndarray[Any, Any] | None = None

    @property
    def value(self) -> Result:
        """What is shared."""
        return self._value

    def __reduce__(self) -> tuple[Any, ...]:
        if self._pickled is None:
            # An array, because joblib maps large ones into the memory of all workers instead of sending them.
            self._pickled = np.frombuffer(cloudpickle.dumps(self._value), dtype=np.uint8)
        return _received, (self._key, self._pickled)


_last: dict[str, Shared[Any]] = {}
"""What this process received last; only one, as it is large."""


def _received(key: str, pickled: "np.ndarray[Any, Any]") -> Shared[Any]:
    if key not in _last:
        _last.clear()
        _last[key] = Shared(cloudpickle.loads(pickled.tobytes()))
    return _last[key]


@contextlib.contextmanager
def _safe_path() -> Iterator[None]:
    """Let workers that start inside the block not import from the working folder, where a `random.py` may lie."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside the block: sums split among threads round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run(job: Callable[[OnProgress], Result], progress: Path) -> Result:
    end_with_parent()

    def report(fraction: float) -> None:
        with contextlib.suppress(OSError):  # on another machine the parent's folder may be out of reach
            temporary = progress.with_suffix(".new")
            temporary.write_text(str(fraction))
            temporary.replace(progress)

    with one_thread():
        return job(report)


@cache
def end_with_parent() -> None:
    """End this worker soon after the process that started it is gone, even if that was killed.

    A worker would else finish its job, beside the same command that somebody has started again.
    """
    parent = os.getppid()

    def loop() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=loop, daemon=True).start()


@contextlib.contextmanager
def _polling(folder: Path, on_progress: Callable[[int, float], None]) -> Iterator[None]:
    done = threading.Event()

    def poll() -> None:
        for file in folder.glob("*"):
            with contextlib.suppress(OSError, ValueError):
                if file.suffix == "":
                    on_progress(int(file.name), float(file.read_text()))

    def loop() -> None:
        while not done.wait(POLL_SECONDS):
            poll()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
        poll()
    finally:
        done.set()
        thread.join()
