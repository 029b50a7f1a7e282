"""Classroom exercises, from x_t to a routing of one's own, with checks that know the exact answers.

    from mnist_ddm.exercises import check
    check("heun", my_heun)

An exercise is a folder of `catalogue/`, or of any installed package that announces it: a sheet to read
(`exercise.toml`), a stub to fill in (`stub.py`) and one final class that asks and judges (`__init__.py`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mnist_ddm.exercises.registry import exercise_named


def check(name: str, function: Callable[..., Any]) -> str:
    """Check a function against an exercise, here and now, without a time limit.

    Works in a notebook and under pytest; `mnist-ddm exercises check` runs a file in a process of its own instead.

    Args:
        name: of the exercise, as `mnist-ddm exercises list` has it.
        function: the answer.

    Returns:
        A sentence that says what held.

    Raises:
        WrongAnswer: an `AssertionError` that says what was expected, what came and where to look. If the function
            raised something, that is its cause.
        InputError: if there is no such exercise.
    """
    from mnist_ddm.exercises.answers import WrongAnswer
    from mnist_ddm.exercises.crashes import explain

    exercise = exercise_named(name)
    try:
        return exercise.examine(function).message
    except WrongAnswer:
        raise
    except Exception as error:
        code = getattr(function, "__code__", None)
        _, message = explain(error, Path(code.co_filename if code else name))
        raise WrongAnswer(message) from error
