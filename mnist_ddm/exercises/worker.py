"""The process in which a student's file runs: `python -P -m mnist_ddm.exercises.worker NAME FILE EVENTS ...`.

It loads the exercise, says that it is ready (from then on the clock runs), limits its own time and memory, imports the
file, checks the function and draws the picture. What it finds goes into the file of events, one JSON object a line;
standard output belongs to the student.
"""

import contextlib
import importlib.util
import inspect
import json
import linecache
import math
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

MEGABYTE = 2**20


def main(arguments: list[str]) -> None:
    """Judge one file.

    Args:
        arguments: name of the exercise, the file, the file of events, the picture to draw (or nothing), seconds of the
            processor, megabytes.
    """
    name, file, events, picture, seconds, megabytes = arguments
    sys.dont_write_bytecode = True
    import torch

    from mnist_ddm.core.parallel import end_with_parent
    from mnist_ddm.exercises.registry import exercise_named

    end_with_parent()
    torch.set_num_threads(1)
    exercise = exercise_named(name)
    with Path(events).open("a", encoding="utf-8") as sink:
        begin = time.process_time()

        def tell(**event: object) -> None:
            sink.write(json.dumps({**event, "seconds": time.process_time() - begin}) + "\n")
            sink.flush()

        tell(event="ready")
        limit_memory(int(megabytes))
        limit_time(float(seconds))
        function = None
        try:
            function = load_function(Path(file), name)
            verdict = exercise.examine(function)
        except BaseException as error:  # whatever a student's code does, sys.exit included, is an answer
            result, message = explain(error, Path(file))
            tell(event="result", result=result, message=message)
        else:
            score = vars(verdict.score) if verdict.score else None
            tell(event="result", result="passed", message=verdict.message, score=score)
            if picture:
                limit_time(float(seconds))
                draw(exercise, function, Path(picture), tell)


def limit_memory(megabytes: int) -> None:
    """Let this process take so much memory beyond what it has now, where the system can enforce that (Linux)."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + megabytes * MEGABYTE
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def limit_time(seconds: float) -> None:
    """Let this process compute for so long from now on, where the system can enforce that (not on Windows).

    Time of the processor, not of the clock: a right answer must not fail because the machine is busy.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), hard))


def load_function(file: Path, name: str) -> Callable[..., Any]:
    """The student's function, from a file that may import its neighbours.

    Raises:
        WrongAnswer: if the file has no such function.
        BaseException: whatever the file raises.
    """
    from mnist_ddm.exercises.answers import WrongAnswer

    sys.path.append(str(file.resolve().parent))
    spec = importlib.util.spec_from_file_location(f"students_{name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses of the file look for their module
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        others = sorted(n for n, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == spec.name)
        came = f"functions {', '.join(others)}" if others else "no function at all"
        raise WrongAnswer(f"{file.name} has no function {name}", f"def {name}(...)", came, "keep the stub's first line")
    return function  # type: ignore[no-any-return]  # callable() says no more


def explain(error: BaseException, file: Path) -> tuple[str, str]:
    """One word and a message for what a student's code raised."""
    from mnist_ddm.exercises.answers import WrongAnswer

    if isinstance(error, WrongAnswer):
        return "wrong", str(error)
    if isinstance(error, NotImplementedError):
        return "not done", "there is no answer yet: write the function and delete the line `raise NotImplementedError`"
    if isinstance(error, SyntaxError):
        place = f"{Path(error.filename or file).name}, line {error.lineno}: {(error.text or '').strip()}"
        return "error", f"Python cannot read the file: {error.msg}" + (f"\n  {place}" if error.lineno else "")
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return "memory", f"the function asked for more memory than it may have{_place(error, file)}"
    if isinstance(error, SystemExit):
        return (
            "error",
            f"the code ended the program (sys.exit, exit or quit); let the function return{_place(error, file)}",
        )
    if isinstance(error, RecursionError):
        return "error", f"the function calls itself without end (RecursionError){_place(error, file)}"
    told = " ".join(str(error).split())
    return "error", f"the code raised {type(error).__name__}: {told[:300]}{_place(error, file)}"


def _place(error: BaseException, file: Path) -> str:
    """The last line of the student's file that was running."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == file.resolve()]
    if not frames or frames[-1].lineno is None:
        return ""
    line = linecache.getline(frames[-1].filename, frames[-1].lineno).strip()
    return f"\n  {file.name}, line {frames[-1].lineno}: {line}"


def draw(exercise: Any, function: Callable[..., Any], picture: Path, tell: Callable[..., None]) -> None:
    """Draw the picture of a right answer; a failure is told and takes nothing away from the answer."""
    from mnist_ddm.exercises.pictures import save_picture

    try:
        save_picture(exercise, function, picture)
    except BaseException as error:
        tell(event="picture", problem=f"{type(error).__name__}: {error}")
    else:
        tell(event="picture", problem="")


if __name__ == "__main__":
    main(sys.argv[1:])
