"""Jobs as tasks of a Ray cluster, each of which is retried where its worker dies."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mnist_ddm.errors import InputError

Result = TypeVar("Result")

ATTEMPTS = 2
"""A job whose worker was killed is done again once; what kills it a second time would do so for ever."""


def lost_worker() -> InputError:
    """What is said of a job whose worker was killed once too often."""
    return InputError(
        "a worker process was killed twice (out of memory?); what was finished is kept: give the same command again "
        "with fewer --workers"
    )


def start_ray() -> None:
    """Join the cluster of `$RAY_ADDRESS`, or start one on this machine, unless that was done.

    Raises:
        InputError: if Ray is not installed, or there is no such cluster.
    """
    try:
        import ray
    except ImportError:
        raise InputError("--backend ray needs Ray: pip install 'mnist-ddm[ray]'") from None
    if not ray.is_initialized():
        place: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False}
        try:
            ray.init(logging_level="ERROR", log_to_driver=False, **place)
        except (OSError, RuntimeError, ValueError) as error:
            first = str(error).strip().partition("\n")[0]
            raise InputError(f"Ray cannot be started or joined ({first:.150}); is RAY_ADDRESS right?") from error


def on_ray(calls: Sequence[Callable[[], Result]], workers: int, gpus: int = 0) -> list[Result]:
    """The results of calls in order, so many at a time, each with so many GPUs that Ray gives to nobody else.

    Raises:
        InputError: if a worker was killed again and again; or what a call raises.
    """
    import ray

    task = ray.remote(max_retries=ATTEMPTS - 1, num_gpus=gpus)(_call)
    results: dict[int, Result] = {}
    running: dict[Any, int] = {}
    waiting = list(reversed(range(len(calls))))
    while waiting or running:
        while waiting and len(running) < workers:
            number = waiting.pop()
            running[task.remote(calls[number])] = number
        (done, *_), _ = ray.wait(list(running))
        number = running.pop(done)
        try:
            results[number] = ray.get(done)
        except ray.exceptions.RayTaskError as error:  # its message is a traceback, and its cause is what was raised
            raise error.cause from error
        except ray.exceptions.WorkerCrashedError as error:
            raise lost_worker() from error
    return [results[i] for i in range(len(calls))]


def _call(call: Callable[[], Result]) -> Result:
    return call()
