"""The process in which a student's file runs: `python -P -m mnist_ddm.exercises.worker NAME FILE SCRATCH ...`.

It imports the file, calls the function on what the judge gives, and sends back what came, as plain data. It knows no
right answer and gives no mark: the judge is another process (`mnist_ddm.exercises.student`), which no code of the
student ever runs in. What that process is asked for stands on its standard input and output; the student's own output
goes to standard error.
"""

import ast
import builtins
import contextlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from mnist_ddm.exercises.wire import Packer, Unpacker


def main(arguments: list[str]) -> None:
    """Run one file for a judge.

    Args:
        arguments: name of the exercise, the file, a folder to write to, seconds of the processor, megabytes, and
            `confined` or nothing.
    """
    name, file, scratch, seconds, megabytes, confined = arguments
    asked, told = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    sys.dont_write_bytecode = True
    from mnist_ddm.exercises import confine

    walled = bool(confined) and confine.raise_walls(Path(scratch))  # before torch starts threads
    import torch

    if not walled:  # else the process that stays outside ends the one within
        from mnist_ddm.compute.parallel import end_with_parent

        end_with_parent()
    torch.set_num_threads(1)
    student = _Student(name, Path(file), asked, told)
    student.tell("ready", walled=walled)
    confine.limit_memory(int(megabytes))
    confine.limit_time(float(seconds))
    if confined:
        confine.limit_files()
    student.load()
    while (request := student.next_request()) is not None:
        if request["do"] == "call":
            student.call(request)
        elif request["do"] == "anew":
            confine.limit_time(float(seconds))


@final
class _Student:
    """The student's function, and what it needs to talk with the judge."""

    def __init__(self, name: str, file: Path, asked: IO[bytes], told: IO[bytes]) -> None:
        self._name, self._file = name, file
        self._asked, self._told = asked, told
        self._begin = time.process_time()
        self._body = b""
        self._function: Callable[..., Any] | None = None
        self._kept: list[Any] = []
        self._turn = threading.Lock()  # a student may call an expert from threads

    def tell(self, what: str, body: bytes = b"", **more: Any) -> None:
        from mnist_ddm.exercises.wire import write_message

        write_message(self._told, {"told": what, "seconds": time.process_time() - self._begin, **more}, body)

    def next_request(self) -> dict[str, Any] | None:
        from mnist_ddm.exercises.wire import read_message

        message = read_message(self._asked)
        if message is None:
            return None
        request, self._body = message
        return request

    def load(self) -> None:
        """Import the file, and tell what function is in it."""
        source = self._file.read_bytes()
        self.tell("source", imports_package=imports_package(source))
        try:
            self._function = load_function(self._file, self._name)
            parameters = _parameters(self._function)
            called = str(getattr(self._function, "__name__", self._name))[:100]
        except BaseException as error:  # whatever a student's code does, sys.exit included, is an answer
            self._fail(error)
            return
        _same_dice()
        self.tell("loaded", name=called, parameters=parameters)

    def call(self, request: dict[str, Any]) -> None:
        """Call the function, and tell what came of it."""
        from mnist_ddm.exercises.wire import Packer, TooLarge, Unpacker

        try:
            assert self._function is not None
            unpacker = Unpacker(self._body, self._other)
            arguments = [unpacker.unpack(node) for node in request["arguments"]]
            before = _copies(arguments)
            value = self._function(*arguments)
            packer = Packer(self._keep)
            packed = packer.pack(value)
            changed = [[*place, packer.pack(now)] for place, now in _changed(arguments, before)]
            self.tell("returned", packer.body, value=packed, changed=changed)
        except TooLarge as error:
            self.tell("raised", result="memory", message=f"the function returned {error}")
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        from mnist_ddm.exercises.crashes import explain

        try:
            result, message = explain(error, self._file)
        except BaseException:  # an exception whose own text raises
            result, message = "error", f"the code raised {type(error).__name__}"
        self.tell("raised", result=result, message=message[:4000])

    def _keep(self, packer: "Packer", value: Any) -> Any:
        """Something that is no plain data: the judge gets its number, and what it looks like."""
        try:
            shown = repr(value)[:200]
        except Exception:
            shown = "something without a repr"
        self._kept.append(value)
        return {"kept": [len(self._kept) - 1, shown, type(value).__name__[:100]]}

    def _other(self, unpacker: "Unpacker", form: str, told: Any) -> Any:
        if form == "kept":
            return self._kept[told]
        if form == "object":
            place, fields = told
            module, _, name = place.partition(":")
            made = getattr(importlib.import_module(module), name)
            return made(**{key: unpacker.unpack(node) for key, node in fields.items()})
        number, name = told

        def ask(*arguments: Any, **named: Any) -> Any:
            return self._ask(number, arguments, named)

        ask.__name__ = ask.__qualname__ = name
        return ask

    def _ask(self, number: int, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a function of the judge's."""
        from mnist_ddm.exercises.answers import WrongAnswer
        from mnist_ddm.exercises.wire import Packer, Unpacker

        packer = Packer(self._keep)
        given, with_names = packer.pack(list(arguments)), packer.pack(named)
        with self._turn:
            self.tell("ask", packer.body, function=number, arguments=given, named=with_names)
            answer = self.next_request()
        if answer is None:
            os._exit(1)
        if answer["do"] == "answer":
            return Unpacker(self._body, self._other).unpack(answer["value"])
        if answer["wrong"]:
            raise WrongAnswer(*answer["wrong"])
        kind = getattr(builtins, answer["kind"], RuntimeError)
        is_error = isinstance(kind, type) and issubclass(kind, Exception)
        raise (kind if is_error and kind not in _OF_MORE_PARTS else RuntimeError)(answer["message"])


_OF_MORE_PARTS = (UnicodeDecodeError, UnicodeEncodeError, UnicodeTranslateError, BaseExceptionGroup, ExceptionGroup)


def _parameters(function: Callable[..., Any]) -> list[list[Any]] | None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None  # some built-in functions do not tell
    return [[p.name, int(p.kind), p.default is not p.empty] for p in signature.parameters.values()]


def _copies(arguments: list[Any]) -> list[Any]:
    from torch import Tensor

    return [a.clone() if isinstance(a, Tensor) else None for a in arguments]


def _changed(arguments: list[Any], before: list[Any]) -> list[tuple[tuple[int, str], Any]]:
    """The tensors that a function changed, and all dictionaries: argument's number, field, and what it is now."""
    import torch

    changed: list[tuple[tuple[int, str], Any]] = []
    for number, (now, old) in enumerate(zip(arguments, before, strict=True)):
        if (old is not None and not torch.equal(now, old)) or isinstance(now, dict):
            changed.append(((number, ""), now))
        elif hasattr(now, "__dataclass_fields__"):
            changed += [((number, key), part) for key, part in vars(now).items() if isinstance(part, dict)]
    return changed


def _same_dice() -> None:
    """Let Python's, numpy's and torch's random numbers begin at one seed, so that a score cannot be rolled again."""
    import random

    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (a student may use it)
    torch.default_generator.manual_seed(0)


def imports_package(source: bytes) -> bool:
    """Whether a source says `import mnist_ddm` or `from mnist_ddm... import`, other than for names of types."""
    try:
        tree = ast.parse(source)
        names = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
        names += [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(name.split(".")[0] == "mnist_ddm" and not name.endswith("catalogue.contest") for name in names)


_EMPTY = "an empty file"


def load_function(file: Path, name: str) -> Callable[..., Any]:
    """The student's function, from a file that may import its neighbours.

    Raises:
        WrongAnswer: if the file has no such function.
        BaseException: whatever the file raises.
    """
    from mnist_ddm.exercises.answers import WrongAnswer

    sys.path.append(str(file.resolve().parent))
    # Whatever the file is called: some systems hand in `flow.py.txt`.
    loader = importlib.machinery.SourceFileLoader(f"students_{name}", str(file))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses of the file look for their module
    loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        others = sorted(n for n, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == spec.name)
        came = f"def {', '.join(others)}" if others else "no function at all" if file.read_bytes().strip() else _EMPTY
        raise WrongAnswer(
            f"{file.name} has no function {name}",
            expected=f"def {name}(...)",
            came=came,
            look="keep the first line of the function as the stub has it",
        )
    return function  # type: ignore[no-any-return]  # callable() says no more


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main(sys.argv[1:])
