"""The process in which a student's file runs: `python -P -m mnist_ddm.exercises.worker NAME FILE EVENTS ...`.

It loads the exercise, says that it is ready (from then on the clock runs), limits its own time and memory, imports the
file, checks the function and draws the picture. What it finds goes into the file of events, one JSON object a line;
standard output belongs to the student.
"""

import contextlib
import importlib.util
import inspect
import json
import math
import sys
import time
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

    from mnist_ddm.compute.parallel import end_with_parent
    from mnist_ddm.exercises.crashes import explain
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
            passed = exercise.examine(function)
        except BaseException as error:  # whatever a student's code does, sys.exit included, is an answer
            result, message = explain(error, Path(file))
            tell(event="result", result=result, message=message)
        else:
            score = vars(passed.score) if passed.score else None
            tell(event="result", result="passed", message=passed.message, score=score)
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
        came = f"def {', '.join(others)}" if others else "no function at all"
        raise WrongAnswer(
            f"{file.name} has no function {name}",
            expected=f"def {name}(...)",
            came=came,
            look="keep the first line of the function as the stub has it",
        )
    return function  # type: ignore[no-any-return]  # callable() says no more


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
