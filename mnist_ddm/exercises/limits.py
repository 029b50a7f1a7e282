"""What a student's file may use."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a student's file may use.

    Attributes:
        seconds: of the processor's time for import and check, and as much again for the picture.
        megabytes: of memory beyond what Python and torch themselves take.
        clock: seconds on the clock, by default many more: the machine may be busy, but a file may also sleep for ever.
    """

    seconds: float = 10.0
    megabytes: int = 1024
    clock: float | None = None

    @property
    def patience(self) -> float:
        """Seconds on the clock."""
        return max(60.0, 6 * self.seconds) if self.clock is None else self.clock
