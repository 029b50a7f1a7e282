"""Many processes of students that start at once: forked by one that has imported torch and never runs their code.

Most of what a check takes is the import of torch. `python -P -m mnist_ddm.exercises.nursery` does that once; for each
file it forks a process that goes on as `mnist_ddm.exercises.worker`, in a session of its own and with pipes of its own.
It ends when the program that started it is gone. On other systems than Linux each file gets a fresh process.
"""

import contextlib
import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NoReturn, final

from mnist_ddm.exercises.processes import Process, start_fresh

_LINE_MOST = 2**16
_START_SECONDS = 120.0


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

    def __init__(self) -> None:
        """Take nothing: the process that forks starts with the first that is wanted."""
        self.ended: dict[int, int] = {}
        """How the processes that have ended did, by number; negative for a signal."""
        self.changed = threading.Condition()
        """Notified when one has ended."""
        self._answers: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._turn = threading.Lock()
        self._pipe: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._children: set[int] = set()
        self._gone = sys.platform != "linux"

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *error: object) -> None:
        with self._turn:
            self._gone = True
            if self._pipe is not None:
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
                self._begin()
            child = None if self._gone else self._fork(arguments, folder)
        return child or start_fresh(arguments, folder)

    def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-m", "mnist_ddm.exercises.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
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
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: set[int] = set()
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
                _go_on(asked, given, (pipe.detach(), woken, wake))
            for pipe_end in given:
                os.close(pipe_end)
            running.add(pid)
            pipe.sendall(json.dumps({"started": pid}).encode() + b"\n")
    for pid in running:
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


def _tell_ended(pipe: socket.socket, running: set[int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            break
        running.discard(pid)
        pipe.sendall(json.dumps({"ended": pid, "status": status}).encode() + b"\n")


def _go_on(asked: dict[str, Any], given: Sequence[int], others: Sequence[int]) -> NoReturn:
    """Be the process of a student from here on."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        for place, number in enumerate(given):
            os.dup2(number, place)
        for number in (*given, *others):
            os.close(number)
        os.chdir(asked["folder"])
        from mnist_ddm.exercises import worker

        with contextlib.suppress(BrokenPipeError):
            worker.main(asked["arguments"])
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]))
