"""What is asked of a student's function, and how an answer is compared with the exact one."""

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from mnist_ddm.exercises.wire import LeftBehind

StudentFunction = Callable[..., Any]
"""What a student wrote: a function of whatever the exercise gives."""

_FEW = 8
"""Tensors of at most so many numbers are shown whole."""


@final
class WrongAnswer(AssertionError):  # noqa: N818 (an answer can be wrong without being an error)
    """An answer that does not hold, with all that helps to find out why.

    Attributes:
        problem: what is wrong, in one sentence.
        asked: what the function was given.
        expected: the right value.
        came: what the function returned instead.
        look: where to look.
    """

    def __init__(self, problem: str, asked: str = "", expected: str = "", came: str = "", look: str = "") -> None:
        """Take the parts; empty ones are left out of the message."""
        self.problem, self.asked, self.expected, self.came, self.look = problem, asked, expected, came, look
        told = {"asked": asked, "expected": expected, "came": came, "look": look}
        lines = [f"  {f'{key}:':<10}{text}" for key, text in told.items() if text]
        super().__init__("\n".join([problem, *lines]))


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer, so that it gets a message of its own.

    Attributes:
        look: what the message says about it.
        answer: a function that makes the mistake.
    """

    look: str
    answer: StudentFunction


@dataclass(frozen=True)
class Case:
    """One question with an exact answer.

    Attributes:
        asked: the question, for the message.
        ask: from a function to what is compared: what it returned, and for instance how often it called another.
        expected: the right value of that: a tensor, number, text or a tuple of such.
        parts: a name for each part of a tuple.
        tolerance: the largest error allowed, relative to the largest number of the part.
        look: where to look if no known mistake was made.
    """

    asked: str
    ask: Callable[[StudentFunction], Any]
    expected: Any
    parts: tuple[str, ...] = ()
    tolerance: float = 1e-5
    look: str = ""


def call(function: StudentFunction, *arguments: Any) -> Any:
    """Call a student's function, and see to it that it takes the arguments and leaves tensors as they were.

    Raises:
        WrongAnswer: if it does not.
    """
    try:
        signature = inspect.signature(function)
        signature.bind(*arguments)
    except ValueError:
        signature = None  # some built-in functions do not tell
    except TypeError:
        name = getattr(function, "__name__", "the function")
        raise WrongAnswer(
            f"{name} cannot be called with {_count(len(arguments), 'argument', 'arguments')}",
            came=f"def {name}{inspect.signature(function)}" if callable(function) else repr(function),
            look="keep the first line of the function as the stub has it",
        ) from None
    before = [a.clone() if isinstance(a, Tensor) else None for a in arguments]
    answered = function(*arguments)
    for number, (old, new) in enumerate(zip(before, arguments, strict=True)):
        if old is not None and not torch.equal(old, new):
            name = list(signature.parameters)[number] if signature else f"argument {number + 1}"
            raise WrongAnswer(
                f"your function changed its argument {name}",
                look="x += ... and x[...] = ... change the caller's tensor; write x = x + ..., or work on x.clone()",
            )
    return answered


def judge(case: Case, function: StudentFunction, mistakes: Iterable[Mistake]) -> None:
    """Ask one question.

    Raises:
        WrongAnswer: if the answer differs from the exact one; known mistakes are named.
    """
    given = case.ask(function)
    difference = _difference(given, case.expected, case.parts, case.tolerance)
    if difference is None:
        return
    mistake = _recognised(mistakes, case, given)
    look = mistake.look if mistake else difference.look or case.look
    raise WrongAnswer(difference.problem, case.asked, difference.expected, difference.came, look)


def _recognised(mistakes: Iterable[Mistake], case: Case, given: Any) -> Mistake | None:
    """The mistake that leads to a wrong answer.

    If none leads to all of it: the first one that leads to its first wrong part, and spoils no part that is right.
    """
    right = _agreement(given, case.expected, case)
    partly = None
    for mistake in mistakes:
        try:
            made = case.ask(mistake.answer)
        except Exception:  # a mistake need not be possible in every case
            continue
        same, unspoilt = _agreement(given, made, case), _agreement(made, case.expected, case)
        if all(same):
            return mistake
        if partly is None and len(same) == len(right) == len(unspoilt) and same[right.index(False)]:
            partly = mistake if all(u for r, u in zip(right, unspoilt, strict=True) if r) else None
    return partly


def _agreement(given: Any, other: Any, case: Case) -> tuple[bool, ...]:
    """For each part of an answer whether two answers have the same; one value if one of them has not these parts."""
    parts = len(case.expected) if isinstance(case.expected, tuple) else 0
    if parts and all(isinstance(answer, tuple | list) and len(answer) == parts for answer in (given, other)):
        pairs = zip(given, other, strict=True)
        return tuple(_one(f, o, "", case.tolerance, nan_equal=True) is None for f, o in pairs)
    return (_difference(given, other, case.parts, case.tolerance, nan_equal=True) is None,)


@dataclass(frozen=True)
class _Difference:
    problem: str
    expected: str
    came: str
    look: str = ""


def _difference(
    given: Any, expected: Any, parts: tuple[str, ...], tolerance: float, *, nan_equal: bool = False
) -> _Difference | None:
    """How an answer differs from the expected one; nothing if it does not."""
    if isinstance(expected, tuple):
        names = ", ".join(parts)
        if not isinstance(given, tuple | list) or len(given) != len(expected):
            look = _NOTHING if given is None else f"end with: return {names}"
            return _Difference(f"{len(expected)} values should come back", f"({names})", _kind(given), look)
        pairs = zip(parts, given, expected, strict=True)
        found_ones = (_one(f, e, name, tolerance, nan_equal=nan_equal) for name, f, e in pairs)
        return next((d for d in found_ones if d is not None), None)
    return _one(given, expected, parts[0] if parts else "the answer", tolerance, nan_equal=nan_equal)


def _one(given: Any, expected: Any, name: str, tolerance: float, *, nan_equal: bool) -> _Difference | None:
    if isinstance(expected, Tensor):
        return _tensor(given, expected, name, tolerance, nan_equal=nan_equal)
    given, expected = _plain(given), _plain(expected)
    if isinstance(expected, float):
        return _number(given, expected, name, tolerance, nan_equal=nan_equal)
    if type(given) is type(expected) and given == expected:
        return None
    return _Difference(f"{name} came out wrong", repr(expected), _kind(given), _NOTHING if given is None else "")


def _plain(value: Any) -> Any:
    """The Python value of what is one number, truth value or text of numpy or torch; anything else as it is."""
    one = isinstance(value, np.generic | np.ndarray | Tensor) and math.prod(value.shape) == 1
    return value.item() if one else value


_NOTHING = "the function returned nothing; is a `return` missing?"


def _number(given: Any, expected: float, name: str, tolerance: float, *, nan_equal: bool) -> _Difference | None:
    if isinstance(given, bool) or not isinstance(given, int | float):
        look = _NOTHING if given is None else "return a number"
        return _Difference(f"{name} should be a number", f"{expected:.6g}", _kind(given), look)
    if nan_equal and math.isnan(given) and math.isnan(expected):
        return None
    if abs(given - expected) <= tolerance * max(1.0, abs(expected)):
        return None
    return _Difference(f"{name} came out wrong", f"{expected:.6g}", f"{given:.6g}")


def _tensor(given: Any, expected: Tensor, name: str, tolerance: float, *, nan_equal: bool) -> _Difference | None:
    shape = tuple(expected.shape)
    if not isinstance(given, Tensor):
        look = _NOTHING if given is None else "keep to torch's functions, or wrap the result in torch.stack"
        return _Difference(f"{name} should be a tensor", f"a tensor of shape {shape}", _kind(given), look)
    if tuple(given.shape) != shape:
        look = f"compare the shapes; {_like(expected)}"
        return _Difference(f"{name} came out in another shape", f"shape {shape}", f"shape {tuple(given.shape)}", look)
    # Without a graph: whoever forgot no_grad is not told about it here.
    value, exact = given.detach().double(), expected.double()
    error = (value - exact).abs()
    if nan_equal:
        error = torch.where(value.isnan() & exact.isnan() | (value == exact), 0, error)
    scale = float(exact.abs().nan_to_num(0, 0, 0).max()) if exact.numel() else 0.0
    if bool((error <= tolerance * max(scale, 1e-12)).all()):
        return None
    worst = int(torch.where(error.isnan(), torch.inf, error).argmax())
    how = "wrong" if bool(value.isfinite().all()) else "with numbers that are not finite"
    return _Difference(f"{name} came out {how}", _shown(exact, worst), _shown(value, worst))


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _like(expected: Tensor) -> str:
    return f"the result has {_count(expected.ndim, 'axis', 'axes')}" if expected.ndim else "the result is one number"


def _shown(values: Tensor, worst: int) -> str:
    """A small tensor whole; of a larger one the number that is furthest off, and where it is."""
    if values.numel() <= _FEW:
        return _listed(values.tolist())
    place = [int(i) for i in torch.unravel_index(torch.tensor(worst), values.shape)]
    return f"{float(values.flatten()[worst]):.6g} at {place}"


def _listed(values: Any) -> str:
    return f"[{', '.join(map(_listed, values))}]" if isinstance(values, list) else f"{values:.6g}"


def _kind(given: Any) -> str:
    if given is None:
        return "None"
    if isinstance(given, Tensor):
        return f"a tensor of shape {tuple(given.shape)}"
    if isinstance(given, tuple | list):
        return f"a {type(given).__name__} of {len(given)}"
    if isinstance(given, LeftBehind):
        return f"{given.shown if len(given.shown) <= 60 else given.shown[:57] + '...'} ({given.kind})"
    text = repr(given)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(given).__name__})"
