"""A student's function as the judge sees it: in another process, called over a pipe.

The judge calls it like any function, and so do the solvers of an exercise; functions among its arguments are called
back over the same pipe. Nothing of the student runs here, and what comes is plain data, read strictly.
"""

import dataclasses
import inspect
import math
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn, final

from torch import Tensor

from mnist_ddm.exercises.answers import WrongAnswer
from mnist_ddm.exercises.limits import Limits
from mnist_ddm.exercises.processes import Output, Start, end, processor_seconds, register, start_fresh
from mnist_ddm.exercises.wire import (
    LeftBehind,
    MessageError,
    Packer,
    Unpacker,
    nothing_else,
    read_message,
    write_message,
)

POLL_SECONDS = 0.05
START_SECONDS = 120.0
"""Until the process says that it is ready: importing torch on a busy machine."""

_EXTENSIONS = 5
_COMPUTES = 0.3
"""Seconds of the processor, of those on the clock that it was waited for, from which a file is one that computes."""
_RESULTS = ("wrong", "not done", "error", "memory")
_MESSAGE_MOST = 4000


@final
class StudentError(Exception):
    """What the student's process said of a function that did not return.

    Attributes:
        result: `wrong`, `not done`, `error`, `memory` or `time`.
    """

    def __init__(self, result: str, message: str) -> None:
        """Take one word and the message."""
        self.result = result
        super().__init__(message)


@final
class Gone(Exception):  # noqa: N818 (the process is gone; whose error that is, the runner says)
    """The student's process ended, or was ended.

    Attributes:
        late: whether it had had its time.
    """

    def __init__(self, *, late: bool) -> None:
        """Take whether it had had its time."""
        self.late = late
        super().__init__("the student's process is gone")


@final
class RemoteFunction:
    """The function in the student's process."""

    def __init__(self, call: Callable[[tuple[Any, ...]], Any], name: str, parameters: Any) -> None:
        """Take what calls it, its name and its parameters, as its process told them."""
        self._call, self.__name__ = call, name
        self._signature = None if parameters is None else _signature(parameters)

    @property
    def __signature__(self) -> inspect.Signature:
        if self._signature is None:
            raise ValueError("the function does not tell its arguments")
        return self._signature

    def __call__(self, *arguments: Any) -> Any:
        return self._call(arguments)


def _signature(parameters: Any) -> inspect.Signature:
    try:
        return inspect.Signature(
            [
                inspect.Parameter(name[:100], inspect._ParameterKind(kind), default=... if has else inspect._empty)
                for name, kind, has in parameters[:50]
            ]
        )
    except (TypeError, ValueError) as error:
        raise MessageError("the parameters break the rules") from error


@final
class StudentProcess:
    """A process that runs one file of a student, and ends with the block in which it is used."""

    def __init__(
        self, name: str, file: Path, scratch: Path, limits: Limits, *, confined: bool, start: Start = start_fresh
    ) -> None:
        """Start it; meanwhile the caller may load what judges.

        Args:
            name: of the exercise.
            file: the student's.
            scratch: the folder in which it runs.
            limits: what it may use.
            confined: whether to keep it from files, processes and the network, as far as the system can.
            start: starts the process.
        """
        given = [name, str(file.resolve()), str(scratch), str(limits.seconds), str(limits.megabytes)]
        self._process = start([*given, "confined" if confined else ""], scratch)
        register(self._process)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._limits = limits
        self._output = Output(self._process.stderr)
        self._outgoing: queue.SimpleQueue[tuple[dict[str, Any], bytes] | None] = queue.SimpleQueue()
        self._incoming: queue.Queue[Any] = queue.Queue(maxsize=4)
        self._closed = threading.Event()
        threading.Thread(target=self._write, args=(self._process.stdin,), daemon=True).start()
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        self._deadline = time.monotonic() + START_SECONDS
        self._begun, self._computed, self._extended = time.monotonic(), 0.0, 0
        self._computed_before = 0.0
        self._served = 0.0
        self.seconds = 0.0
        self.walled = False
        self.imports_package = False

    def __enter__(self) -> "StudentProcess":
        return self

    def __exit__(self, *error: object) -> None:
        self._closed.set()
        self._outgoing.put(None)
        end(self._process)

    @property
    def exit_code(self) -> int:
        """Of the process, which is ended if it does not end soon; negative for a signal."""
        try:
            return self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            end(self._process)
            return self._process.wait()

    @property
    def waited(self) -> float:
        """Seconds on the clock since its time began."""
        return time.monotonic() - self._begun

    @property
    def computed(self) -> float:
        """Seconds of the processor that it has taken of them, when it was last looked at."""
        return self._computed - self._computed_before

    def printed(self) -> str:
        """What the student's code wrote, once the process has ended."""
        return self._output.finish()

    def load(self) -> RemoteFunction:
        """Import the file; from here on its time runs.

        Raises:
            StudentError: if it raises, or has no such function.
            Gone: if the process ended, or had its time.
            MessageError: if it sends what it may not.
        """
        self.walled = bool(self._receive("ready")[0].get("walled"))
        self.begin_anew()
        self.imports_package = bool(self._receive("source")[0].get("imports_package"))
        told, _ = self._receive("loaded")
        return RemoteFunction(self._call, _clean(told.get("name"), 100), told.get("parameters"))

    def begin_anew(self) -> None:
        """Give the file its whole time once more."""
        self._deadline = time.monotonic() + self._limits.patience
        self._begun, self._extended = time.monotonic(), 0
        self._computed = self._computed_before = processor_seconds(self._process)
        self._served = 0.0
        self._outgoing.put(({"do": "anew"}, b""))

    def _call(self, arguments: tuple[Any, ...]) -> Any:
        functions: list[Callable[..., Any]] = []
        packer = Packer(_given_out(functions))
        packed = [packer.pack(argument) for argument in arguments]
        self._outgoing.put(({"do": "call", "arguments": packed}, packer.body))
        while True:
            told, body = self._receive("returned", "ask")
            unpacker = Unpacker(body, _taken_in)
            if told["told"] == "returned":
                value = unpacker.unpack(told.get("value"))
                _mirror(arguments, told.get("changed"), unpacker)
                return value
            self._serve(functions, told, unpacker)

    def _serve(self, functions: list[Callable[..., Any]], told: dict[str, Any], unpacker: Unpacker) -> None:
        """Call a function of the judge's for the student, who pays for the time."""
        begin = time.thread_time()
        number, arguments, named = told.get("function"), told.get("arguments"), told.get("named")
        try:
            if type(number) is not int or not 0 <= number < len(functions):
                raise MessageError("there is no such function")
            given, with_names = unpacker.unpack(arguments), unpacker.unpack(named)
            packer = Packer(_given_out(functions))
            value = packer.pack(functions[number](*given, **with_names))
        except MessageError:
            raise
        except Exception as error:
            parts = ("problem", "asked", "expected", "came", "look")
            wrong = [getattr(error, part) for part in parts] if isinstance(error, WrongAnswer) else []
            said = {"kind": type(error).__name__, "message": str(error)[:_MESSAGE_MOST], "wrong": wrong}
            self._outgoing.put(({"do": "refused", **said}, b""))
        else:
            self._outgoing.put(({"do": "answer", "value": value}, packer.body))
        self._served += time.thread_time() - begin
        if self._served > self._limits.seconds:
            end(self._process)
            raise StudentError("time", too_long(self._limits))

    def _receive(self, *kinds: str) -> tuple[dict[str, Any], bytes]:
        while True:
            try:
                came = self._incoming.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if time.monotonic() > self._deadline and not self._extend():
                    self._give_up(late=True)
                # A process that has ended may have left a child with the pipe, which would keep it open.
                if self._process.poll() is not None and self._incoming.empty():
                    self._give_up(late=False)
                continue
            break
        if came is None:
            self._give_up(late=False)
        if isinstance(came, Exception):
            raise came
        told, body = came
        seconds = told.get("seconds")
        if isinstance(seconds, int | float) and 0 <= seconds < math.inf:
            self.seconds = float(seconds)
        if told.get("told") == "raised":
            result = told.get("result")
            raise StudentError(result if result in _RESULTS else "error", _clean(told.get("message"), _MESSAGE_MOST))
        if told.get("told") not in kinds:
            raise MessageError("it is not its turn")
        return told, body

    def _extend(self) -> bool:
        """Give a file that computes more time on the clock if the machine is busy: the processor's limit ends it."""
        before, self._computed = self._computed, processor_seconds(self._process)
        self._extended += 1
        if self._limits.clock is not None or self._extended > _EXTENSIONS or self._computed - before < _COMPUTES:
            return False
        self._deadline = time.monotonic() + self._limits.patience
        return True

    def _give_up(self, *, late: bool) -> NoReturn:
        if late:
            self.seconds = max(self.seconds, self.computed)
            end(self._process)
        raise Gone(late=late)

    def _write(self, pipe: IO[bytes]) -> None:
        try:
            while (message := self._outgoing.get()) is not None:
                write_message(pipe, *message)
            pipe.close()
        except (OSError, ValueError):
            pass  # the process is gone, which whoever waits for it notices

    def _read(self, pipe: IO[bytes]) -> None:
        while True:
            try:
                message: Any = read_message(pipe)
            except (OSError, ValueError) as error:
                message = error if isinstance(error, MessageError) else None
            while not self._closed.is_set():
                try:
                    self._incoming.put(message, timeout=1)
                    break
                except queue.Full:
                    continue
            if self._closed.is_set() or not isinstance(message, tuple):
                return


def _given_out(functions: list[Callable[..., Any]]) -> Callable[[Packer, Any], Any]:
    """Packs what an exercise gives a student beside plain data: functions, and objects with fields."""

    def pack(packer: Packer, value: Any) -> Any:
        if isinstance(value, LeftBehind):
            return {"kept": value.number}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: packer.pack(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return {"object": [f"{type(value).__module__}:{type(value).__qualname__}", fields]}
        if callable(value):
            functions.append(value)
            return {"function": [len(functions) - 1, getattr(value, "__name__", "function")]}
        raise TypeError(f"an exercise cannot give a student {value!r}")

    return pack


def _taken_in(unpacker: Unpacker, form: str, told: Any) -> Any:
    """Unpacks what a student may give beside plain data: the number of something that stays there."""
    if form != "kept":
        return nothing_else(unpacker, form, told)
    number, shown, kind = told
    if type(number) is not int:
        raise ValueError("no number")
    return LeftBehind(number, _clean(shown, 200), _clean(kind, 100))


def _mirror(arguments: tuple[Any, ...], changed: Any, unpacker: Unpacker) -> None:
    """Change arguments here as the student's function changed its own.

    Raises:
        MessageError: if it names what it was not given.
    """
    if not isinstance(changed, list):
        raise MessageError("there is no list of changes")
    for entry in changed:
        try:
            number, field, node = entry
            if type(number) is not int or number < 0:
                raise ValueError("no number")
            target = vars(arguments[number])[field] if field else arguments[number]
        except (TypeError, ValueError, LookupError) as error:
            raise MessageError("a change has no place") from error
        value = unpacker.unpack(node)
        if isinstance(target, Tensor) and isinstance(value, Tensor) and value.dtype == target.dtype:
            target.data = value.to(target.device)
        elif isinstance(target, dict) and isinstance(value, dict):
            target.clear()
            target.update(value)
        elif not isinstance(target, Tensor):
            raise MessageError("a change has another kind")


def too_long(limits: Limits) -> str:
    """What is said of a file that computes too long."""
    return (
        f"no answer after {limits.seconds:g} s of computing, so it was stopped: is there a loop without an end?\n"
        "  If it only needs longer, give it more with --time-limit."
    )


def _clean(text: Any, most: int) -> str:
    """A text of a student for a terminal or a table: without control characters, and not too long."""
    shown = "".join(c if c == "\n" or c.isprintable() else "?" for c in str(text))
    return shown if len(shown) <= most else f"{shown[:most]}..."
