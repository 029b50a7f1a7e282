"""Many processes of students that start at once: forked by one that has imported torch and never runs their code.

Most of what a check takes is the import of torch. `python -P -m mnist_ddm.exercises.nursery` does that once; for each
file it forks a process that goes on as `mnist_ddm.exercises.worker`, in a session of its own and with pipes of its own.
It ends when the program that started it is gone. On other systems than Linux each file gets a fresh process.
"""

import contextlib
import json
import math
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn, final

from mnist_ddm.exercises.processes import Process, start_fresh

_LINE_MOST = 2**16
_START_SECONDS = 120.0
_LOOK_EVERY = 0.005


@final
class Child:
    """A process of a nursery, used like a `subprocess.Popen`."""

    def __init__(self, nursery: "Nursery", pid: int, pipes: Sequence[IO[bytes]]) -> None:
        """Take its number and its standard input, output and errors."""
        self._nursery, self.pid = nursery, pid
        self.stdin: IO[bytes] | None = pipes[0]
        self.stdout: IO[bytes] | None = pipes[1]
        self.stderr: IO[bytes] | None = pipes[2]

    @property
    def returncode(self) -> int | None:
        return self._nursery.ended.get(self.pid)

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        with self._nursery.changed:
            if not self._nursery.changed.wait_for(lambda: self.pid in self._nursery.ended, timeout):
                raise subprocess.TimeoutExpired("a student's file", timeout or 0.0)
        return self._nursery.ended[self.pid]

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)


@final
class Nursery:
    """Starts processes of students, and ends with the block in which it is used."""

    def __init__(self, *, forked: bool = False) -> None:
        """Take nothing: the process that forks starts with the first that is wanted.

        Args:
            forked: begin now, with a process that is itself forked from this one, which must have imported torch, not
                used it, and have no other threads.
        """
        self.ended: dict[int, int] = {}
        """How the processes that have ended did, by number; negative for a signal."""
        self.changed = threading.Condition()
        """Notified when one has ended."""
        self._answers: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._turn = threading.Lock()
        self._pipe: socket.socket | None = None
        self._process: _Process | None = None
        self._children: set[int] = set()
        self._gone = sys.platform != "linux"
        if forked and not self._gone:
            self._begin(_Forked)

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *error: object) -> None:
        with self._turn:
            self._gone = True
            if self._pipe is not None:
                with contextlib.suppress(OSError):
                    self._pipe.shutdown(socket.SHUT_RDWR)  # closing alone would wait for the thread that reads it
                self._pipe.close()
            if self._process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=5)
                self._process.kill()
                self._process.wait()

    @property
    def gone(self) -> bool:
        """Whether there is none, or none any more."""
        return self._gone

    def start(self, arguments: Sequence[str], folder: Path) -> Process:
        """Start a process; a fresh one where there is no nursery."""
        with self._turn:
            if not self._gone and self._pipe is None:
                self._begin(_fresh)
            child = None if self._gone else self._fork(arguments, folder)
        return child or start_fresh(arguments, folder)

    def _begin(self, start: Callable[[socket.socket, socket.socket], "_Process"]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = start(ours, theirs)
        self._pipe = ours
        threading.Thread(target=self._listen, args=(ours,), daemon=True).start()

    def _fork(self, arguments: Sequence[str], folder: Path) -> Child | None:
        assert self._pipe is not None
        (stdin, to), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
        line = json.dumps({"arguments": list(arguments), "folder": str(folder)}).encode() + b"\n"
        pid = None
        try:
            socket.send_fds(self._pipe, [line], [stdin, stdout, stderr])
            pid = self._answers.get(timeout=_START_SECONDS)
        except (OSError, queue.Empty):
            self._gone = True
        finally:
            for number in (stdin, stdout, stderr):
                os.close(number)
        pipes: list[Any] = [os.fdopen(to, "wb"), os.fdopen(out, "rb"), os.fdopen(err, "rb")]
        if pid is None:
            for pipe in pipes:
                pipe.close()
            return None
        return Child(self, pid, pipes)

    def _listen(self, pipe: socket.socket) -> None:
        """Read what the process says: numbers of new processes, and how others ended."""
        with contextlib.suppress(OSError, ValueError), pipe.makefile("rb") as lines:
            for line in lines:
                told: dict[str, Any] = json.loads(line)
                if "started" in told:
                    self._children.add(told["started"])
                    self.ended.pop(told["started"], None)  # numbers come again
                    self._answers.put(told["started"])
                else:
                    self._end({told["ended"]: os.waitstatus_to_exitcode(told["status"])})
        # Whatever it had started is ended with it.
        self._gone = True
        self._answers.put(None)
        for pid in self._children - set(self.ended):
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        self._end(dict.fromkeys(self._children - set(self.ended), -signal.SIGKILL))

    def _end(self, ended: dict[int, int]) -> None:
        with self.changed:
            self.ended |= ended
            self.changed.notify_all()


@final
class _Forked:
    """The process of a nursery, forked from this one and used like a `subprocess.Popen`."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            nothing = [os.open(os.devnull, os.O_RDWR) for _ in range(3)]
            go_on("/", nothing, (ours.detach(),), lambda: main(theirs.detach()))

    def wait(self, timeout: float = math.inf) -> int:
        deadline = time.monotonic() + timeout
        while (ended := os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a nursery", timeout)
            time.sleep(_LOOK_EVERY)
        return ended.si_status

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)


def _fresh(ours: socket.socket, theirs: socket.socket) -> "subprocess.Popen[bytes]":
    """The process of a nursery, with a Python of its own."""
    return subprocess.Popen(
        [sys.executable, "-P", "-u", "-m", "mnist_ddm.exercises.nursery", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


_Process = subprocess.Popen[bytes] | _Forked


def main(number: int) -> None:
    """Fork processes for the program at the other end of a socket, until that is closed.

    Args:
        number: the socket's.
    """
    pipe = socket.socket(fileno=number)
    import numpy as np  # noqa: F401 (here already for the processes that are forked)
    import torch

    import mnist_ddm.exercises.answers
    import mnist_ddm.exercises.confine
    import mnist_ddm.exercises.crashes
    import mnist_ddm.exercises.wire
    import mnist_ddm.exercises.worker  # noqa: F401 (as numpy)

    torch.set_num_threads(1)
    running: set[int] = set()
    with wake_by_children() as (woken, wake):
        while True:
            ready, _, _ = select.select([number, woken], [], [])
            if woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, _LINE_MOST)
                _tell_ended(pipe, running)
            if number in ready:
                line, given, _, _ = socket.recv_fds(pipe, _LINE_MOST, 3)
                if not line:
                    break
                asked = json.loads(line)
                if (pid := os.fork()) == 0:
                    be = partial(_be_the_worker, asked["arguments"])
                    go_on(asked["folder"], given, (pipe.detach(), woken, wake), be)
                for pipe_end in given:
                    os.close(pipe_end)
                running.add(pid)
                pipe.sendall(json.dumps({"started": pid}).encode() + b"\n")
    for pid in running:
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


@contextlib.contextmanager
def wake_by_children() -> Iterator[tuple[int, int]]:
    """The ends of a pipe that can be read when a child has ended, for `select`; a child has to close both."""
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False), signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        yield woken, wake
    finally:
        signal.set_wakeup_fd(before[0])
        signal.signal(signal.SIGCHLD, before[1])
        os.close(woken)
        os.close(wake)


def _tell_ended(pipe: socket.socket, running: set[int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            break
        running.discard(pid)
        pipe.sendall(json.dumps({"ended": pid, "status": status}).encode() + b"\n")


def go_on(folder: str, given: Sequence[int], others: Sequence[int], be: Callable[[], object]) -> NoReturn:
    """Be another process from here on, after a fork: in a session of its own, and with streams of its own.

    Args:
        folder: where it works.
        given: file numbers of its standard input, output and errors.
        others: that are not its business.
        be: what it does; its end is the end of the process.
    """
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        for place, number in enumerate(given):
            os.dup2(number, place)
        for number in (*given, *others):
            os.close(number)
        os.chdir(folder)
        be()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _be_the_worker(arguments: Sequence[str]) -> None:
    from mnist_ddm.exercises import worker

    with contextlib.suppress(BrokenPipeError):
        worker.main(list(arguments))


if __name__ == "__main__":
    main(int(sys.argv[1]))
