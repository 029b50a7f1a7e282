"""Ctrl-C: within seconds, in one line and with one exit code, whatever a library makes of it.

A `KeyboardInterrupt` can be lost (in a destructor, in a callback), turned into something else, or wait for minutes
until a computation in C is done, or for processes that do not end. As everything that is written is whole at any
moment, a command may as well be ended hard: a thread sees the signal at once, and ends the process if that takes long.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import final

EXIT_INTERRUPTED = 130
MESSAGE = "interrupted; what was finished is kept, and the same command goes on from there"
GRACE_SECONDS = 2.0
"""So long a command may clean up."""
_TWICE_SECONDS = 1.0
"""A second signal within this time is the same key, which reached us by two ways."""


@final
class Interrupts:
    """What became of Ctrl-C in a command."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._told = False

    @property
    def seen(self) -> bool:
        """Whether there was one."""
        return self._first is not None

    def end_if_seen(self) -> None:
        """End the process if there was one: what is left to clean up could take long, and is done by the next start."""
        if self._first is not None:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
            self.end()

    def tell(self) -> None:
        """Say so on the standard error, once."""
        if not self._told:
            self._told = True
            print(MESSAGE, file=sys.stderr, flush=True)

    def end(self) -> None:
        """End the process now."""
        if not self._told:
            self._told = True
            with contextlib.suppress(OSError):  # past Python's own locks, which another thread may hold
                os.write(2, f"{MESSAGE}\n".encode())
        os._exit(EXIT_INTERRUPTED)

    def answer(self, number: int, frame: FrameType | None) -> None:
        """Python's answer to the signal: raise the first time, end the process if somebody insists."""
        if self._first is None:
            self._first = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - self._first > _TWICE_SECONDS:
            self.end()

    def watch(self, signals: socket.socket) -> None:
        """Wait for the signal, and end the process if it is still there a while after."""
        while number := signals.recv(1):
            if number[0] == signal.SIGINT:
                time.sleep(GRACE_SECONDS)
                self.end()


@contextlib.contextmanager
def watched() -> Iterator[Interrupts]:
    """Answer Ctrl-C inside the block; where somebody else does already, or ignores it, that stays so."""
    interrupts = Interrupts()
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    wakeup, hook = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False), sys.unraisablehook
    signal.signal(signal.SIGINT, interrupts.answer)
    threading.Thread(target=interrupts.watch, args=(reader,), daemon=True).start()

    def quiet(unraisable: "sys.UnraisableHookArgs") -> None:
        """An interrupt in a destructor is answered all the same."""
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            hook(unraisable)

    sys.unraisablehook = quiet
    try:
        yield interrupts
    finally:
        if not interrupts.seen:  # else the process ends, and must be watched to its last moment
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.set_wakeup_fd(wakeup)
            sys.unraisablehook = hook
            writer.close()
