"""One readable progress display for parallel jobs."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TaskProgressColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from mnist_ddm.terminal.words import shown_duration

_LOG_SECONDS = 30.0
"""Without a terminal, a plain line this often instead of a moving bar."""
_NARROW = 60
"""Characters of a terminal below which there is no room for a bar."""


class _Name(ProgressColumn):
    """What a task is called, in the column that gives way where a line is too long."""

    def render(self, task: Task) -> Text:
        return Text(task.description, no_wrap=True, overflow="ellipsis")


class _Left(ProgressColumn):
    """How long a task will still take, once that is known."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        if task.finished or task.time_remaining is None:
            return Text("")
        return Text(f"{shown_duration(task.time_remaining)} left")


def _display(console: Console, *numbers: ProgressColumn, transient: bool = False) -> Progress:
    """Lines of tasks that end in some numbers, and where there is room have a bar and the time since the start."""
    bar = () if console.width < _NARROW else (BarColumn(), TimeElapsedColumn())
    return Progress(_Name(), *bar, *numbers, console=console, transient=transient)


@contextmanager
def waiting(console: Console, what: str) -> Iterator[None]:
    """Say on a terminal what is being waited for; nothing of it stays."""
    if not console.is_terminal:
        yield
        return
    with console.status(Text(f"{what} ...")):
        yield


@contextmanager
def counted(console: Console, what: str, names: Sequence[str]) -> Iterator[Callable[[int], None]]:
    """A bar over steps of unknown length, such as `tables 7 of 18`; yields a function of how many are done.

    Without a terminal, a plain line at the first step and then every `_LOG_SECONDS`.
    """
    if not console.is_terminal:
        yield _counted_plain(console, what, names)
        return
    with _display(console, transient=True) as progress:
        bar = progress.add_task(what, total=len(names))

        def done(count: int) -> None:
            now = f"{what} {count + 1} of {len(names)}: {names[count]}" if count < len(names) else f"{what} written"
            progress.update(bar, completed=count, description=now)

        yield done


def _counted_plain(console: Console, what: str, names: Sequence[str]) -> Callable[[int], None]:
    last = -math.inf

    def done(count: int) -> None:
        nonlocal last
        now = time.monotonic()
        if count < len(names) and now - last > _LOG_SECONDS:
            last = now
            console.print(f"{what} {count + 1} of {len(names)}: {names[count]}")

    return done


@contextmanager
def progress_bars(
    names: list[str], console: Console, costs: Sequence[float] | None = None, opening: str = ""
) -> Iterator[Callable[[int, float], None]]:
    """Bars for the running jobs and one for the whole; yields a function of a job's number and its fraction.

    Args:
        names: of the jobs.
        console: where to draw.
        costs: of the jobs, in any unit, so that the whole and its remaining time are right; equal by default.
        opening: what is said until anything is done, such as that workers start.
    """
    total = sum(costs) if costs else 0
    shares = [cost / total for cost in costs] if costs and total else [1 / len(names)] * len(names)
    if not console.is_terminal:
        yield _plain(names, console, shares)
        return
    with _display(console, TaskProgressColumn(), _Left(Column(no_wrap=True))) as progress:
        title = "all" if len(names) > 1 else names[0]
        whole = progress.add_task(opening or title, total=1.0)
        bars: dict[int, TaskID] = {}
        fractions = dict.fromkeys(range(len(names)), 0.0)

        def update(job: int, fraction: float) -> None:
            fractions[job] = fraction
            if len(names) > 1:
                if job not in bars:
                    bars[job] = progress.add_task(names[job], total=1.0)
                progress.update(bars[job], completed=fraction, visible=fraction < 1)
            done = round(sum(shares[i] * f for i, f in fractions.items()), 9)  # all of them are the whole
            progress.update(whole, completed=done, description=title if done else opening or title)

        yield update


def _plain(names: list[str], console: Console, shares: Sequence[float]) -> Callable[[int, float], None]:
    fractions = dict.fromkeys(range(len(names)), 0.0)
    last = time.monotonic()

    def update(job: int, fraction: float) -> None:
        nonlocal last
        finished = fraction >= 1 > fractions[job] and shares[job] > 0  # what was there before is no news
        fractions[job] = fraction
        now = time.monotonic()
        if now - last > _LOG_SECONDS or finished:
            last = now
            running = [f"{names[i]} {f:.0%}" for i, f in fractions.items() if 0 < f < 1]
            done = sum(f >= 1 for f in fractions.values())
            share = sum(shares[i] * f for i, f in fractions.items())
            console.print(
                f"{share:4.0%} of the work, {done} of {len(names)} done{'; ' if running else ''}{', '.join(running)}"
            )

    return update
