"""Independent jobs in parallel processes, with progress.

The engine is joblib: its loky back end, or whatever back end a caller chose with ``joblib.parallel_config``; or Ray
(`backend_named`). Each process gets one thread: for many small operations two processes of one thread beat one process
of two.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import cache, partial
from multiprocessing import resource_tracker as python_resource_tracker
from pathlib import Path
from typing import Any, Generic, TypeVar, final

import cloudpickle
import joblib
import numpy as np
import torch
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.process_executor import BrokenProcessPool

from mnist_ddm.compute.devices import shared_gpus, take_gpu
from mnist_ddm.compute.ray_tasks import ATTEMPTS, lost_worker, on_ray, start_ray
from mnist_ddm.compute.scratch import scratch_folder
from mnist_ddm.errors import InputError, unknown

Result = TypeVar("Result")
OnProgress = Callable[[float], None]
"""Called by a job with the fraction of its work that is done."""

BACKENDS = ("loky", "ray")
"""Where parallel jobs run: processes on this machine, or a Ray cluster."""
POLL_SECONDS = 0.5
_PROC = Path("/proc/self/stat")
_log = logging.getLogger("mnist_ddm")
_UNTIDY = "ignore:resource_tracker:UserWarning"
"""What trackers would say when they clean up after a command that was ended hard."""
_backend: ContextVar[str] = ContextVar("backend", default="loky")


def run_jobs(
    jobs: Sequence[Callable[[OnProgress], Result]],
    workers: int,
    on_progress: Callable[[int, float], None] = lambda job, fraction: None,
    device: str | torch.device = "cpu",
) -> list[Result]:
    """Run jobs and return their results in order.

    Args:
        jobs: functions of an `OnProgress`; with more than one worker they must be picklable. A job whose worker was
            killed is run again, once.
        workers: how many processes; with 1 everything runs in this process, in one thread like everywhere, and so it
            does on a Linux without ``/proc``, where joblib's processes die.
        on_progress: called here with a job's number and the fraction of it that is done.
        device: where the jobs compute; with `cuda`, all GPUs, each worker sees one of them.

    Raises:
        InputError: if ``workers`` is less than 1, or workers were killed twice.
    """
    if workers < 1:
        raise InputError(f"the number of workers must be at least 1, not {workers}")
    if workers > 1 and _backend.get() == "loky" and sys.platform == "linux" and not _PROC.exists():
        _log.warning("there is no %s, so everything runs in one process", _PROC)
        workers = 1
    if workers == 1 or len(jobs) < 2:
        with one_thread():
            return [job(partial(on_progress, i)) for i, job in enumerate(jobs)]
    with scratch_folder("progress") as folder, _polling(folder, on_progress), _safe_path():
        calls = [partial(_run, job, folder / str(i)) for i, job in enumerate(jobs)]
        gpus = shared_gpus(device)
        if _backend.get() == "ray":
            return on_ray(calls, workers, gpus=1 if gpus else 0)
        return _in_processes(calls, workers, partial(_begin, gpus, folder) if gpus else end_with_parent)


def _in_processes(calls: Sequence[Callable[[], Result]], workers: int, begin: Callable[[], None]) -> list[Result]:
    """The results of calls, by joblib; those whose worker was killed are made again, once."""
    results: dict[int, Result] = {}
    for attempt in range(1, ATTEMPTS + 1):
        try:
            rest = [joblib.delayed(_numbered)(i, call) for i, call in enumerate(calls) if i not in results]
            # With one process joblib would run the last of them here.
            results.update(_as_they_come(rest, max(2, min(workers, len(rest))), begin))
            break
        except BrokenProcessPool as error:
            if attempt == ATTEMPTS:
                raise lost_worker() from error
    return [results[i] for i in range(len(calls))]


def _numbered(number: int, call: Callable[[], Result]) -> tuple[int, Result]:
    return number, call()


def _as_they_come(calls: list[Any], count: int, begin: Callable[[], None]) -> Iterator[Any]:
    if type(joblib.parallel.get_active_backend()[0]).__name__ == "LokyBackend":
        with _no_interrupts():
            results = joblib.Parallel(n_jobs=count, return_as="generator_unordered", initializer=begin)(calls)
        yield from results
    else:  # others may hand over everything at the end alone
        yield from joblib.Parallel(n_jobs=count)(calls)


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Put Ctrl-C off inside the block, and from processes that begin in it keep it for good.

    A keyboard sends it to them too, but it is their parent's to answer, whose end is their end.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    told = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (told, _UNTIDY)))
    for tracker in (resource_tracker, python_resource_tracker):  # they unblock the signal when they start
        tracker.ensure_running()
    if told is None:
        del os.environ["PYTHONWARNINGS"]
    else:
        os.environ["PYTHONWARNINGS"] = told
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def backend_named(name: str) -> Iterator[None]:
    """Let `run_jobs` run its jobs on one of `BACKENDS` inside the block.

    Raises:
        InputError: if there is no such back end, or Ray is not installed.
    """
    if name not in BACKENDS:
        raise unknown("backend", name, BACKENDS)
    if name == "ray":
        start_ray()
    token = _backend.set(name)
    try:
        yield
    finally:
        _backend.reset(token)


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


def _begin(gpus: Sequence[str], folder: Path) -> None:
    """What a worker does first where there are GPUs to divide."""
    end_with_parent()
    take_gpu(gpus, folder)


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
