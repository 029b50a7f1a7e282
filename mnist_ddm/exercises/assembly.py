"""Puts a student's sampler together, and runs the shipped system on it at each milestone.

A file becomes a part if its check passes, and stays one if what the sampler makes with it is what the package makes.
Else it is set aside, and the package's own part goes on in its place. Each file runs in a process of its own, as in a
check.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import Tensor

from mnist_ddm.compute.parallel import one_thread
from mnist_ddm.compute.scratch import scratch_folder
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.exercises.answers import StudentFunction
from mnist_ddm.exercises.crashes import NOT_DONE
from mnist_ddm.exercises.limits import Limits
from mnist_ddm.exercises.milestones import MILESTONES, SAMPLES, Milestone
from mnist_ddm.exercises.nursery import Nursery
from mnist_ddm.exercises.runner import CheckResult, explained, run_check
from mnist_ddm.exercises.sampler import Sampler
from mnist_ddm.exercises.student import StudentProcess
from mnist_ddm.exercises.workspace import Workspace
from mnist_ddm.figures.pictures import GridNames, save_grid
from mnist_ddm.figures.samples import Canvas
from mnist_ddm.storage.files import sha256
from mnist_ddm.systems.gaussian import GaussianPool

TOLERANCE: Final = 1e-5
"""The largest difference that rounding in another order explains, relative to the package's largest number."""

_OF_NETWORKS = 20
"""Times as long a milestone may take where experts are networks: an answer pays for the evaluations it asks for."""
REACHED, MISSING, ASIDE = "reached", "missing", "set aside"


@final
@dataclass(frozen=True)
class Outcome:
    """What came of a milestone.

    Attributes:
        milestone: which.
        state: `REACHED`, `MISSING` or `ASIDE`.
        said: one line, or the lines of a check.
        made: what the sampler made, if the milestone was reached.
        open: whether an answer could reach it on this system.
    """

    milestone: Milestone
    state: str
    said: str
    made: Tensor | None = None
    open: bool = True


def assemble(workspace: Workspace, pool: ExpertPool, limits: Limits) -> Iterator[Outcome]:
    """Take one answer after the other, and run the system on all that hold.

    Args:
        workspace: where the answers are.
        pool: the system; `bayes` is a part of a Gaussian one alone.
        limits: of each file, for its check and for each milestone.

    Raises:
        InputError: if answers do not fit the system.
    """
    of_closed_forms = isinstance(pool, GaussianPool)
    run_limits = limits if of_closed_forms else replace(limits, seconds=_OF_NETWORKS * limits.seconds)
    parts: dict[str, StudentFunction] = {}
    Sampler(pool, parts)  # a system that does not fit is said before anything runs
    with ExitStack() as running, one_thread(), torch.no_grad():
        nursery = running.enter_context(Nursery())
        processes: list[StudentProcess] = []
        for milestone in MILESTONES:
            name, file = milestone.exercise, workspace.file(milestone.exercise)
            if name == "bayes" and not of_closed_forms:
                said = f"the router of {pool.name} is a network, not a closed form: the package's own"
                yield Outcome(milestone, MISSING, said, open=False)
                continue
            if not file.is_file():
                yield Outcome(milestone, MISSING, "the package's own")
                continue
            if (fault := _fault(workspace, name, limits, nursery)) is not None:
                begun = fault.result != NOT_DONE
                told = f"its check says: {fault.message}" if begun else "no answer yet: the package's own"
                yield Outcome(milestone, ASIDE if begun else MISSING, told)
                continue
            scratch = running.enter_context(scratch_folder("exercise"))
            process = StudentProcess(name, file, scratch, run_limits, confined=False, start=nursery.start)
            processes.append(running.enter_context(process))
            for each in processes[:-1]:
                each.begin_anew()
            yield _reach(milestone, pool, parts, process, file, run_limits)


def _fault(workspace: Workspace, name: str, limits: Limits, nursery: Nursery) -> CheckResult | None:
    """What the check says of a file that does not pass it; one that is as it was when it passed is not asked again."""
    file, before = workspace.file(name), workspace.progress(name)
    if before.passed and before.sha256 == sha256(file):
        return None
    outcome = run_check(name, file, limits, start=nursery.start)
    return None if outcome.passed else outcome


def _reach(
    milestone: Milestone,
    pool: ExpertPool,
    parts: dict[str, StudentFunction],
    process: StudentProcess,
    file: Path,
    limits: Limits,
) -> Outcome:
    """Run the system with one answer more, which becomes a part if what is made is the package's."""
    errors: list[Exception] = []
    try:
        part = _remembering(process.load(), errors)
        made = milestone.own(Sampler(pool, {**parts, milestone.exercise: part})).cpu()
    except Exception as error:  # whatever a student's code leads to
        return Outcome(milestone, ASIDE, explained(errors[0] if errors else error, file, process, limits)[1])
    expected = milestone.package(pool).cpu()
    if made.shape != expected.shape:
        said = f"the shape {tuple(made.shape)} came, where the package has {tuple(expected.shape)}"
        return Outcome(milestone, ASIDE, said)
    apart = float((made.double() - expected.double()).abs().max() / expected.double().abs().max())
    if not apart <= TOLERANCE:
        said = f"it passes its check, but what is made with it differs from the package's by {apart:.2g} of the largest"
        return Outcome(milestone, ASIDE, said)
    parts[milestone.exercise] = part
    same = torch.equal(made, expected)
    said = "the package's, bit for bit" if same else f"the package's within {apart:.0e} of the largest number"
    return Outcome(milestone, REACHED, said, made)


def _remembering(function: StudentFunction, errors: list[Exception]) -> StudentFunction:
    """The same function, whose first failure is kept: another student's code may catch it and fail in turn."""

    def ask(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            errors.append(error)
            raise

    return ask


def draw(pool: ExpertPool, outcomes: list[Outcome], path: Path) -> bool:
    """Draw a row of samples for each milestone that has one; returns whether there is any."""
    rows = [(o.milestone, o.made[:SAMPLES]) for o in outcomes if o.made is not None and o.milestone.drawn]
    if not rows:
        return False
    canvas = Canvas(pool, [states for _, states in rows])
    names = GridNames(rows=[f"{milestone.exercise}: {milestone.title}" for milestone, _ in rows])
    images = torch.cat([canvas(states) for _, states in rows])
    save_grid(images, path, {"Description": "mnist-ddm exercises sampler"}, SAMPLES, names)
    return True
