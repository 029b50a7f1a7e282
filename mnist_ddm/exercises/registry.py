"""The exercises by name: those that ship here, in their order, then those of installed packages.

A package adds an exercise by an entry point in the group `mnist_ddm.exercises`: its name is the exercise's name, its
object the final class. The sheets can be read without importing an exercise, so that a list appears at once.
"""

import tomllib
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_ddm.errors import InputError, blamed, unknown

if TYPE_CHECKING:
    from mnist_ddm.exercises.base import Exercise

ENTRY_POINT_GROUP = "mnist_ddm.exercises"
_CATALOGUE = "mnist_ddm.exercises.catalogue"
_SHIPPED = {
    "flow": "Flow",
    "euler": "EulerSteps",
    "heun": "HeunSteps",
    "order": "MeasuredOrder",
    "bayes": "BayesRouter",
    "topk": "TopKWeights",
    "gumbel": "GumbelWeights",
    "ensemble": "FullEnsembleVelocity",
    "consistency": "ImpliedJacobian",
    "dispatch": "BatchedDispatch",
    "power": "PowerIteration",
    "angle": "AngularDeviation",
    "disagreement": "IntegratedDisagreement",
    "refinement": "StepRefinement",
    "interval": "ExactInterval",
    "dissociation": "Dissociation",
    "contest": "Contest",
}
"""The class of each."""
PARTS = (
    *("flow", "euler", "heun", "bayes", "topk", "gumbel", "ensemble", "dispatch"),
    *("angle", "disagreement", "refinement"),
)
"""Those whose answers become parts of the student's own sampler (`milestones.py`), in their order."""


@dataclass(frozen=True)
class Sheet:
    """What a student reads.

    Attributes:
        name: of the exercise.
        title: a few words.
        minutes: that it takes.
        story: why one wants to know.
        hints: from the first nudge to nearly the answer, revealed one at a time.
        picture: what the picture at the end shows.
        stub: the file to begin with, as text.
        predict: what to predict of that picture before one sees it, with choices; may be empty.
    """

    name: str
    title: str
    minutes: int
    story: str
    hints: tuple[str, ...]
    picture: str
    stub: str
    predict: str = ""


def exercise_names() -> list[str]:
    """The exercises that exist here, in the order in which they are meant to be done."""
    return [*_SHIPPED, *(name for name in sorted(_foreign()) if _is_whole(name))]


def _is_whole(name: str) -> bool:
    """Whether another package's exercise has a sheet; one that has none must not keep the others from being listed."""
    try:
        _read_sheet(name)
    except InputError:
        return False
    return True


def exercise_named(name: str) -> "Exercise":
    """The exercise of that name.

    Raises:
        InputError: if there is none; the message lists those that exist.
    """
    _check(name)
    if name in _SHIPPED:
        made: Exercise = getattr(import_module(f"{_CATALOGUE}.{name}"), _SHIPPED[name])()
    else:
        entry = _foreign()[name]
        with blamed(f"the exercise {name!r} of {entry.value}"):
            made = entry.load()()
    return made


def sheet_of(name: str) -> Sheet:
    """The sheet of an exercise, read from its folder.

    Raises:
        InputError: if there is no such exercise, or its folder is not complete.
    """
    _check(name)
    return _read_sheet(name)


def _read_sheet(name: str) -> Sheet:
    module = f"{_CATALOGUE}.{name}" if name in _SHIPPED else _foreign()[name].module
    with blamed(f"the exercise {name!r} of {module}"):
        folder = _folder(module)
        told = tomllib.loads((folder / "exercise.toml").read_text(encoding="utf-8"))
        stub = (folder / "stub.py").read_text(encoding="utf-8")
        sheet = Sheet(name, hints=tuple(told.pop("hints")), stub=stub, **told)
        texts = (sheet.title, sheet.story, sheet.picture, sheet.predict, *sheet.hints)
        if not all(isinstance(text, str) for text in texts) or type(sheet.minutes) is not int:
            raise TypeError("its sheet holds what is no text, or no number of minutes")
        return sheet


def _check(name: str) -> None:
    if name not in _SHIPPED and name not in _foreign():
        raise unknown("exercise", name, exercise_names())


def _foreign() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name not in _SHIPPED}


def _folder(module: str) -> Path:
    """The folder of a package, without importing it."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise InputError(f"the package {module} of an exercise is not installed")
    return Path(spec.origin).parent


def exercise_meant(name: str) -> str:
    """An exercise by its name or that of its file, in letters of either case; any other name as it is."""
    file = Path(name)
    is_name = file.parent == Path() and file.suffix.lower() in ("", ".py")
    stem = name.removesuffix(".py")
    return next((known for known in exercise_names() if is_name and known.lower() == file.stem.lower()), stem)
