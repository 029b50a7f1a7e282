"""What an exercise is: a sheet to read, and a class that asks, judges and draws."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from mnist_ddm.exercises.answers import Case, Mistake, StudentFunction, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Score:
    """What an open exercise measured.

    Attributes:
        value: smaller is better.
        cost: mean number of experts that a state was given to.
        rounds: the value in each round of its own noise.
    """

    value: float
    cost: float
    rounds: tuple[float, ...]


@dataclass(frozen=True)
class Pass:
    """What a right answer gets.

    Attributes:
        message: a sentence that says what held.
        score: of an open exercise.
    """

    message: str
    score: Score | None = None


class Exercise(ABC):
    """One exercise. Its module is a package that also holds `exercise.toml` and `stub.py`."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name: of the folder, of the student's file and of the function in it."""

    @abstractmethod
    def examine(self, function: StudentFunction) -> Pass:
        """Check a student's function, in less than five seconds.

        Raises:
            WrongAnswer: if it is not right.
            Exception: whatever the function raises.
        """

    @abstractmethod
    def draw(self, function: StudentFunction, figure: "Figure") -> None:
        """Draw what a right answer shows, into an empty figure."""


class ClosedExercise(Exercise):
    """An exercise whose answers are known exactly."""

    @abstractmethod
    def cases(self) -> Iterable[Case]:
        """The questions, the one with the most telling answer first."""

    @property
    @abstractmethod
    def mistakes(self) -> tuple[Mistake, ...]:
        """The wrong answers that get a message of their own; the most specific first."""

    @final
    def examine(self, function: StudentFunction) -> Pass:
        """Ask all questions."""
        asked = []
        for case in self.cases():
            judge(case, function, self.mistakes)
            asked.append(case.asked)
        return Pass(f"right: {'; '.join(asked)}")
