"""The `exercises` commands for students; `grade.py` has their teachers'."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from mnist_ddm.cli.grade import grade
from mnist_ddm.cli.sampler import sampler
from mnist_ddm.terminal import answers
from mnist_ddm.terminal.screen import Screen
from mnist_ddm.terminal.words import at_words

if TYPE_CHECKING:
    from mnist_ddm.exercises.limits import Limits
    from mnist_ddm.exercises.processes import Start
    from mnist_ddm.exercises.workspace import Workspace

EXIT_NOT_YET = 1
_LOOK_EVERY = 0.2
"""Seconds between two looks at a file that is watched."""


@click.group("exercises")
def exercises() -> None:
    """Learn by writing the parts of a decentralized diffusion model, each checked against exact answers.

    \b
    mnist-ddm exercises start      write the file of the next exercise, and tell its story
    (edit that file)
    mnist-ddm exercises check      check it
    mnist-ddm exercises hint       one hint more
    mnist-ddm exercises sampler    draw samples with what you have written so far

    All of them work in the current folder, which may be any.
    """  # noqa: D301 (the backslash is click's mark of a paragraph that keeps its lines)


exercises.add_command(sampler)
exercises.add_command(grade)


@exercises.command("list")
@answers.folder
def list_exercises(folder: Path) -> None:
    """List the exercises in their order, and how far you are."""
    from mnist_ddm.exercises.registry import exercise_names, sheet_of
    from mnist_ddm.exercises.workspace import Workspace

    workspace, console = Workspace(folder), Screen()
    table = Table(title=f"exercises in {folder.resolve()}", title_justify="left")
    for heading in ("", "name", "what", "min", "hints", "state"):
        table.add_column(
            heading, justify="right" if heading in ("", "min", "hints") else "left", no_wrap=heading != "what"
        )
    for number, name in enumerate(exercise_names(), start=1):
        sheet, progress = sheet_of(name), workspace.progress(name)
        state = "passed" if progress.passed else "started" if progress.started else "-"
        used = f"{progress.hints}/{len(sheet.hints)}"
        table.add_row(str(number), name, sheet.title, str(sheet.minutes), used, state)
    console.print(table)
    following = workspace.next_exercise()
    console.print(f"next: mnist-ddm exercises start {following}" if following else "All are passed.")


@exercises.command("start")
@click.argument("name", required=False)
@answers.folder
def start(name: str | None, folder: Path) -> None:
    """Write the file of exercise NAME into the folder and tell its story; a file that is there is left as it is.

    Without NAME: the first exercise that is not passed yet.
    """
    from mnist_ddm.cli.waiting import leave_waiting
    from mnist_ddm.exercises.registry import exercise_names, sheet_of
    from mnist_ddm.exercises.workspace import Workspace

    workspace = Workspace(folder)
    name = _chosen(name) or workspace.next_exercise()
    if name is None:
        click.echo("All exercises are passed. `mnist-ddm exercises start NAME` looks at one again.")
        return
    sheet = sheet_of(name)
    fresh = workspace.start(name)
    click.secho(at_words(f"{name}: {sheet.title}   (about {sheet.minutes} minutes)"), bold=True)
    click.echo(f"\n{at_words(sheet.story.strip(), paragraphs=True)}\n")
    if fresh:
        click.echo(at_words(f"Written: {workspace.file(name)}. Open it in an editor and write the function `{name}`."))
    else:
        click.echo(at_words(f"{workspace.file(name)} is there already and was left as it is."))
        click.echo(at_words(f"  (`mnist-ddm exercises reset {name}` puts it aside and begins anew.)"))
    click.echo(f"Then:    mnist-ddm exercises check {name}")
    click.echo(at_words(f"Stuck:   mnist-ddm exercises hint {name}    ({len(sheet.hints)} hints, one at a time)"))
    if sheet.predict:
        click.echo(at_words(f"Predict: {sheet.predict}\n         A picture shows it once you have passed."))
    position = exercise_names().index(name) + 1
    click.echo(
        at_words(f"This is exercise {position} of {len(exercise_names())}; `mnist-ddm exercises list` shows all.")
    )
    leave_waiting()  # while the file is being written


@exercises.command("check")
@click.argument("name", required=False)
@answers.folder
@click.option("--watch", is_flag=True, help="Check again whenever the file is saved, until it is right.")
@answers.time_limit
@answers.memory_limit
@click.option("--name", "player", default=None, help="Your name on the leaderboard.  [default: the folder's name]")
@click.option(
    "--leaderboard", type=click.Path(path_type=Path, dir_okay=False), default=None,
    help="The leaderboard of the open exercise.  [default: leaderboard.csv in the folder]",
)  # fmt: skip
@click.pass_context
def check(
    context: click.Context,
    name: str | None,
    folder: Path,
    watch: bool,
    time_limit: float,
    memory_limit: int,
    player: str | None,
    leaderboard: Path | None,
) -> None:
    """Check your file of exercise NAME; without NAME the exercise that you were last at.

    The file runs in a process of its own, so an endless loop or a crash does no harm. Exit code 0 if it is right, 1 if
    not yet.
    """
    from mnist_ddm.cli import waiting
    from mnist_ddm.errors import InputError
    from mnist_ddm.exercises.limits import Limits
    from mnist_ddm.exercises.nursery import Nursery
    from mnist_ddm.exercises.processes import start_fresh
    from mnist_ddm.exercises.registry import sheet_of
    from mnist_ddm.exercises.workspace import Workspace

    if not watch and (code := waiting.ask(_arguments_of(context))) is not None:
        context.exit(code)
    workspace = Workspace(folder)
    name = _chosen(name) or workspace.current
    if not name:
        raise InputError("no exercise was started here; `mnist-ddm exercises start` begins with the first")
    sheet_of(name)
    limits, file = Limits(time_limit, memory_limit), workspace.file(name)
    board, own = leaderboard or folder / "leaderboard.csv", player or folder.resolve().name
    inherited = waiting.inherited()
    with inherited or Nursery() as nursery:
        start = nursery.start if watch or inherited else start_fresh  # the first check takes as long with both
        passed = _check_once(workspace, name, limits, board, own, start)
        while watch and not passed:
            click.echo(f"waiting for {file} to be saved; Ctrl-C ends it")
            _wait_for_change(file)
            passed = _check_once(workspace, name, limits, board, own, start)
    waiting.leave_waiting()
    if not passed:
        context.exit(EXIT_NOT_YET)


def _arguments_of(context: click.Context) -> list[str]:
    """The command line of a check, from what it was parsed to."""
    given = {option: context.params[option.name] for option in context.command.params if option.name is not None}
    options = [(o.opts[0], v) for o, v in given.items() if isinstance(o, click.Option) and v not in (None, False)]
    named = [str(v) for o, v in given.items() if isinstance(o, click.Argument) and v]
    return ["exercises", "check", *(str(part) for option in options for part in option), "--", *named]


def _wait_for_change(file: Path) -> None:
    """Until the file is another one than now."""

    def seen() -> tuple[int, int] | None:
        try:
            state = file.stat()
        except OSError:  # an editor may move it away for a moment
            return None
        return state.st_mtime_ns, state.st_size

    before = seen()
    while (now := seen()) == before or now is None:
        time.sleep(_LOOK_EVERY)


def _check_once(
    workspace: "Workspace", name: str, limits: "Limits", leaderboard: Path, player: str, start: "Start"
) -> bool:
    """Check the file and say what came of it; returns whether it is right."""
    from mnist_ddm.exercises.registry import sheet_of

    sheet = sheet_of(name)
    click.echo(f"checking {workspace.file(name)} ...")

    def tell(message: str) -> None:
        click.secho(f"{name}: passed", fg="green", bold=True)
        click.echo(at_words(message))

    outcome, picture = workspace.check(name, limits, start, tell)
    if outcome.printed:
        click.echo("your code printed:")
        click.echo("".join(f"  | {line}\n" for line in outcome.printed.splitlines()), nl=False)
    if not outcome.passed:
        click.secho(f"{name}: not yet", fg="red", bold=True)
        click.echo(at_words(outcome.message))
        used, of = workspace.progress(name).hints, len(sheet.hints)
        if used < of:
            click.echo(f"Stuck? mnist-ddm exercises hint {name}    ({of - used} of {of} hints left)")
        return False
    if outcome.picture:
        click.echo(at_words(f"Picture: {picture}\n  {sheet.picture}"))
    if outcome.score is not None:
        _enter(leaderboard, player, outcome.sha256, outcome.score)
    from mnist_ddm.exercises.registry import PARTS

    if name in PARTS:
        click.echo("It is a part of your own sampler now: mnist-ddm exercises sampler")
    following = workspace.next_exercise()
    click.echo(f"Next: mnist-ddm exercises start {following}" if following else "All exercises are passed.")
    return True


def _enter(path: Path, player: str, sha256: str, score: dict[str, object]) -> None:
    from mnist_ddm.exercises.leaderboard import enter, entry_of

    entries, better = enter(path, entry_of(player, score, sha256))
    table = Table(title=f"leaderboard {path}", title_justify="left")
    for heading in ("", "name", "Frechet distance", "experts for each state"):
        table.add_column(heading)
    for place, entry in enumerate(entries, start=1):
        table.add_row(str(place), entry.name, f"{entry.value:.4f}", f"{entry.cost:.2f}")
    Screen().print(table)
    if not better:
        click.echo(f"An earlier score of {player} is better and stays.")


@exercises.command("hint")
@click.argument("name", required=False)
@answers.folder
def hint(name: str | None, folder: Path) -> None:
    """Show the next hint for exercise NAME, and those before it."""
    from mnist_ddm.errors import InputError
    from mnist_ddm.exercises.workspace import Workspace

    workspace = Workspace(folder)
    name = _chosen(name) or workspace.current
    if not name:
        raise InputError("no exercise was started here; `mnist-ddm exercises start` begins with the first")
    sheet, shown, added = workspace.hint(name)
    for number, text in enumerate(sheet.hints[:shown], start=1):
        click.echo(at_words(f"hint {number} of {len(sheet.hints)}: {text}"))
    if workspace.progress(name).passed:
        click.echo(f"{name} is passed, so hints do not count any more.")
    elif not added:
        click.echo("That was the last one.")


@exercises.command("reset")
@click.argument("name")
@answers.folder
def reset(name: str, folder: Path) -> None:
    """Begin exercise NAME anew; your file is kept under another name."""
    from mnist_ddm.exercises.registry import exercise_meant
    from mnist_ddm.exercises.workspace import Workspace

    workspace, name = Workspace(folder), exercise_meant(name)
    passed = workspace.progress(name).passed
    moved = workspace.reset(name)
    if moved is not None:
        click.echo(f"Your file is kept as {moved}.")
    if passed:
        click.echo(
            f"{name} was passed on {passed[:10]}; from now on it counts as not passed, until a check passes again."
        )
    click.echo(f"{workspace.file(name)} is the stub again; hints and checks count from 0.")


@exercises.command("progress")
@answers.folder
def progress(folder: Path) -> None:
    """Say what is passed, how many hints and checks it took, and what comes next."""
    from mnist_ddm.exercises.registry import exercise_names, sheet_of
    from mnist_ddm.exercises.workspace import Workspace

    workspace, names = Workspace(folder), exercise_names()
    passed = [name for name in names if workspace.progress(name).passed]
    click.echo(f"{'#' * len(passed)}{'.' * (len(names) - len(passed))}  {len(passed)} of {len(names)} passed")
    for name in names:
        p = workspace.progress(name)
        if p.started or p.checks:
            state = f"passed {p.passed[:10]}" if p.passed else "not passed yet"
            best = f", best score {p.best:.4f}" if p.best is not None else ""
            click.echo(f"  {name:<13} {state}; {_times(p.checks, 'check')}, {_times(p.hints, 'hint')}{best}")
    left = sum(sheet_of(name).minutes for name in names if name not in passed)
    following = workspace.next_exercise()
    if following:
        click.echo(f"About {left} minutes left. Next: mnist-ddm exercises start {following}")


def _times(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _chosen(name: str | None) -> str | None:
    """The exercise that is meant by its name, or by the name of its file, if one is."""
    from mnist_ddm.exercises.registry import exercise_meant

    return exercise_meant(name) if name else name
