"""`exercises grade`: the hand-ins of a class."""

import time
from pathlib import Path

import click
from rich.table import Table

from mnist_ddm.terminal import answers
from mnist_ddm.terminal.screen import Screen

_SAY_EVERY = 20.0
"""Seconds between two lines of progress where there is no terminal."""


@click.command("grade")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("grades.csv"), show_default=True,
    help="The CSV file to write: one row for each student and exercise.",
)  # fmt: skip
@click.option("--exercise", "chosen", multiple=True, help="Only this one; may be repeated.  [default: all]")
@click.option(
    "--feedback", type=click.Path(path_type=Path, file_okay=False), default=None,
    help="A folder for one text for each student: what the check says of each file.",
)  # fmt: skip
@answers.time_limit
@answers.memory_limit
@click.option(
    "--workers", type=click.IntRange(min=1, max=1024), default=None, help="Files side by side.  [default: cores]"
)
def grade(
    folder: Path,
    out: Path,
    chosen: tuple[str, ...],
    feedback: Path | None,
    time_limit: float,
    memory_limit: int,
    workers: int | None,
) -> None:
    """Check the exercises of many students into a CSV file, and their points into another.

    FOLDER holds one folder or .zip for each student, named after them; files as Canvas names them will do. All files
    are read first; each then runs from a copy in a process of its own, with limits on time and memory and, where Linux
    allows it, without a way to files, network and other processes. Nothing is written into the students' folders.
    Beside the CSV file one with `-points` in its name has a row for each student: a passed exercise counts its minutes.
    The scores of the open exercise go to a leaderboard.
    """
    from mnist_ddm.compute.cores import default_workers
    from mnist_ddm.exercises.grading import grade_all, to_csv
    from mnist_ddm.exercises.handins import few, hand_ins
    from mnist_ddm.exercises.leaderboard import write
    from mnist_ddm.exercises.limits import Limits
    from mnist_ddm.exercises.marks import feedback_files, points_csv, points_of, remarks_on, total_of
    from mnist_ddm.exercises.registry import exercise_meant, exercise_names, sheet_of
    from mnist_ddm.storage.files import check_writable, write_text
    from mnist_ddm.storage.names import inside

    names = [sheet_of(name).name for name in dict.fromkeys(map(exercise_meant, chosen))] or exercise_names()
    handins, loose = hand_ins(folder)
    check_writable(out)
    console = Screen()
    with console.status("") as status:
        done, said = 0, time.monotonic()

        def report(graded: object) -> None:
            nonlocal done, said
            done += 1
            told = f"{done} of {len(handins) * len(names)} graded"
            status.update(told)
            if not console.is_terminal and time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                console.print(told)

        grades = grade_all(handins, names, Limits(time_limit, memory_limit), workers or default_workers(), report)
    write_text(out, to_csv(grades))
    points = out.with_name(f"{out.stem}-points.csv")
    write_text(points, points_csv(grades))
    if feedback is not None:
        for name, text in feedback_files(grades).items():
            write_text(inside(feedback, name), text)
    table = Table(title=f"{len(handins)} students, {len(names)} exercises", title_justify="left")
    for heading in ("student", "passed", "points", "wrong or unfinished", "not handed in", "remarks"):
        table.add_column(heading)
    for handin in handins:
        own = [g for g in grades if g.student == handin.student]
        passed = [g.exercise for g in own if g.result == "passed"]
        missing = [g.exercise for g in own if g.result == "not handed in"]
        rest = [f"{g.exercise} ({g.result})" for g in own if g.exercise not in (*passed, *missing)]
        remarks = remarks_on(own)
        score = f"{len(passed)} of {len(names)}"
        points_text = f"{sum(map(points_of, own))} of {total_of(names)}"
        table.add_row(handin.student, score, points_text, ", ".join(rest), str(len(missing)), "; ".join(remarks))
    console.print(table)
    if loose:
        click.echo(f"not graded: {few(loose)}; put such files into a folder for each student")
    click.echo(f"grades: {out}; points: {points}{f'; feedback: {feedback}' if feedback is not None else ''}")
    if any(g.seconds and not g.walled for g in grades):
        click.echo("this system has no namespaces for ordinary users: the files ran with your rights, without walls")
    if entries := [g.score for g in grades if g.score is not None]:
        board = out.with_name(f"{out.stem}-leaderboard.csv")
        write(board, entries)
        click.echo(f"leaderboard of the open exercise: {board}")
