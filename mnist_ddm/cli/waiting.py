"""A process that waits between two checks with torch imported, so that the next check answers at once.

Most of what a check takes is the import of torch. `exercises start` and `exercises check` therefore leave behind
`python -P -m mnist_ddm.cli.waiting PLACE`, which listens at a socket that its owner alone can reach, and ends when
nobody has asked for `MNIST_DDM_WAIT` seconds. It does nothing itself and never runs a student's code: for each check it
forks a process that goes on as the command would have, on the asker's own streams, and ends with the asker. Where there
is none (not on Linux, `MNIST_DDM_WAIT=0`, another version of the package) a check takes its time as ever.
"""

import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from mnist_ddm.errors import InputError
from mnist_ddm.exercises.nursery import Nursery, go_on, wake_by_children

SECONDS: Final = 3600.0
"""It waits so long, unless `MNIST_DDM_WAIT` says how long: an exercise takes 15 to 90 minutes."""
_VARIABLE = "MNIST_DDM_WAIT"
_MESSAGE_MOST = 2**20
_PATH_MOST = 100
"""Bytes of the path of a socket, which has at most 107 (unix(7))."""
_AT_ONCE = 8
"""Checks; whoever asks for one more does it alone."""
_LOOK_EVERY = 5.0
"""Seconds between two looks whether the socket is still its own."""
_nursery: Nursery | None = None


def inherited() -> Nursery | None:
    """The nursery of a process that was forked by one that waits; ``None`` in any other."""
    return _nursery


def seconds_to_wait() -> float:
    """How long a process waits; 0 for none.

    Raises:
        InputError: if `MNIST_DDM_WAIT` is no number of seconds.
    """
    if sys.platform != "linux":
        return 0.0
    given = os.environ.get(_VARIABLE, "").strip()
    try:
        seconds = float(given) if given else SECONDS
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise InputError(f"{_VARIABLE} must be a number of seconds from 0 to 86400, not {given!r}")
    return seconds


def ask(arguments: Sequence[str]) -> int | None:
    """Have a command done by the process that waits.

    Args:
        arguments: of `mnist-ddm`.

    Returns:
        Its exit code; ``None`` if none waits, and nothing was done.
    """
    if _nursery or seconds_to_wait() == 0 or (place := _place()) is None:
        return None
    sys.stdout.flush()
    sys.stderr.flush()
    umask = os.umask(0)
    os.umask(umask)
    asked = {
        "arguments": list(arguments),
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "umask": umask,
        "encoding": sys.stdout.encoding,
    }
    with socket.socket(socket.AF_UNIX) as pipe:
        try:
            pipe.connect(str(place))
            socket.send_fds(pipe, [json.dumps(asked).encode() + b"\n"], [0, 1, 2])
            if not pipe.recv(1):  # it has begun
                return None
        except OSError:
            return None
        with contextlib.suppress(OSError):
            if code := pipe.recv(16):
                return int(code)
    raise InputError("the process that checks was ended; give the command again")


def leave_waiting() -> None:
    """Leave such a process behind, if none is there and one is wanted."""
    if _nursery or seconds_to_wait() == 0 or (place := _place()) is None or _is_listening(place):
        return
    with contextlib.suppress(OSError):
        subprocess.Popen(
            [sys.executable, "-P", "-m", "mnist_ddm.cli.waiting", str(place)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def _place() -> Path | None:
    """Where it listens: in a folder of this user alone, under a name that changes with the package."""
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"mnist-ddm-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            return None
        package = Path(__file__).parents[1]
        files = sorted((str(f), f.stat().st_mtime_ns) for f in package.rglob("*.py"))
    except OSError:
        return None
    key = hashlib.sha256(repr((sys.executable, sys.version, sys.path, files)).encode()).hexdigest()[:16]
    place = folder / key
    return place if len(os.fsencode(place)) <= _PATH_MOST else None


def _is_listening(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as pipe:
        try:
            pipe.connect(str(place))
        except OSError:
            return False
        return True


def main(place: Path) -> None:
    """Wait for checks, until nobody has asked for long.

    Args:
        place: of the socket.
    """
    if _is_listening(place):
        return
    seconds = seconds_to_wait()
    _import_what_takes_long()
    listener = socket.socket(socket.AF_UNIX)
    own = place.with_name(f".{os.getpid()}")  # no longer than the other: paths of sockets are short
    listener.bind(str(own))
    number = own.stat().st_ino
    listener.listen()
    own.replace(place)  # whoever listened there before is found by nobody, and ends
    running: dict[int, socket.socket] = {}
    try:
        with wake_by_children() as wakes:
            _serve(listener, wakes, running, seconds, lambda: _inode(place) == number)
    finally:
        for pid in running:
            _end(pid)
        if _inode(place) == number:
            place.unlink(missing_ok=True)


def _serve(
    listener: socket.socket,
    wakes: tuple[int, int],
    running: dict[int, socket.socket],
    seconds: float,
    is_own: Callable[[], bool],
) -> None:
    woken, _ = wakes
    last = time.monotonic()
    while running or (is_own() and time.monotonic() - last < seconds):
        heard: list[Any] = [listener, woken, *running.values()]
        ready, _, _ = select.select(heard, [], [], min(_LOOK_EVERY, seconds))
        for pid, pipe in list(running.items()):
            if pipe in ready:  # whoever asked is gone: interrupted, or killed
                _end(pid)
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, _MESSAGE_MOST)
            while running:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                with running.pop(pid) as pipe, contextlib.suppress(OSError):
                    code = os.waitstatus_to_exitcode(status)
                    pipe.sendall(str(code if code >= 0 else 128 - code).encode())
                last = time.monotonic()
        if listener in ready:
            pipe, _ = listener.accept()
            pipe.settimeout(_LOOK_EVERY)  # who is silent must not keep others waiting
            if len(running) >= _AT_ONCE:
                pipe.close()
            elif (begun := _begin(pipe, [p.fileno() for p in (listener, *running.values())] + [*wakes])) is not None:
                running[begun] = pipe


def _begin(pipe: socket.socket, others: Sequence[int]) -> int | None:
    """Fork the process of one check; ``None`` for somebody who only looked whether one listens."""
    text, given = b"", list[int]()
    with contextlib.suppress(OSError, ValueError):
        while not text.endswith(b"\n") and len(text) < _MESSAGE_MOST:
            part, numbers, _, _ = socket.recv_fds(pipe, _MESSAGE_MOST, 3)
            if not part:
                break
            text, given = text + part, [*given, *numbers]
        asked = json.loads(text)
        if len(given) == 3:
            pipe.sendall(b"+")
            pipe.settimeout(None)
            if (pid := os.fork()) == 0:
                go_on(asked["folder"], given, (pipe.detach(), *others), lambda: _be_the_command(asked))
            for number in given:
                os.close(number)
            return pid
    for number in given:
        os.close(number)
    pipe.close()
    return None


def _end(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _inode(place: Path) -> int | None:
    with contextlib.suppress(OSError):
        return place.stat().st_ino
    return None


def _import_what_takes_long() -> None:
    """All that a check imports, and nothing that computes: threads would not survive a fork."""
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401 (here already for the processes that are forked)
    import scipy.stats  # noqa: F401 (as Matplotlib)
    import torch  # noqa: F401 (as Matplotlib)
    import torchmetrics.image.fid  # noqa: F401 (as Matplotlib)

    import mnist_ddm.cli.exercises
    import mnist_ddm.exercises.material
    import mnist_ddm.exercises.pictures
    import mnist_ddm.exercises.runner
    import mnist_ddm.exercises.student
    import mnist_ddm.exercises.worker
    import mnist_ddm.exercises.workspace  # noqa: F401 (as Matplotlib)


def _be_the_command(asked: dict[str, Any]) -> NoReturn:
    """Go on as `mnist-ddm` with these arguments."""
    global _nursery  # a fact about the process
    _nursery = Nursery(forked=True)  # before there are threads
    from mnist_ddm.compute.parallel import end_with_parent

    end_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.umask(asked["umask"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.environ[_VARIABLE] = "0"  # nothing that is asked for may ask again
    sys.argv = ["mnist-ddm", *asked["arguments"]]
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = open(number, "w", encoding=asked["encoding"], closefd=False, buffering=1)  # noqa: SIM115 (for good)
        setattr(sys, name, stream)
    from mnist_ddm.cli import main as command

    try:
        command()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    raise SystemExit(0)


if __name__ == "__main__":
    from mnist_ddm.cli import waiting  # the module that the command knows, and not this second one

    waiting.main(Path(sys.argv[1]))
