"""The `exercises sampler` command: the parts that a student has written, put together."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mnist_ddm.terminal import answers
from mnist_ddm.terminal.words import at_words

if TYPE_CHECKING:
    from mnist_ddm.exercises.assembly import Outcome

_EXIT_ASIDE = 1


@click.command("sampler")
@answers.folder
@click.option(
    "--system", default="gaussian", show_default=True, help="Whose experts it samples: gaussian or mnist (digits)."
)
@answers.time_limit
@answers.memory_limit
@click.pass_context
def sampler(context: click.Context, folder: Path, system: str, time_limit: float, memory_limit: int) -> None:
    """Put your answers together into a sampler of your own, and run the shipped experts on it.

    Each answer that passes its check becomes a part; parts that are missing are the package's own. At each milestone,
    one part more, what your sampler makes is compared with what `mnist-ddm sample` makes of the same noise. A picture
    has a row for each milestone with samples. Exit code 0, or 1 if an answer was set aside.
    """
    from mnist_ddm.errors import InputError
    from mnist_ddm.exercises.assembly import ASIDE, REACHED, assemble, draw
    from mnist_ddm.exercises.limits import Limits
    from mnist_ddm.exercises.workspace import PICTURES, Workspace
    from mnist_ddm.systems.registry import load_system

    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the one with your answers")
    click.echo(f"your answers, one after the other, on {system} ...")
    workspace, pool = Workspace(folder), load_system(system)
    outcomes = []
    for outcome in assemble(workspace, pool, Limits(time_limit, memory_limit)):
        outcomes.append(outcome)
        _tell(outcome)
    picture = folder / PICTURES / ("sampler.png" if system == "gaussian" else f"sampler-{pool.name}.png")
    if draw(pool, outcomes, picture):
        click.echo(at_words(f"Picture: {picture}\n  A row for each milestone, each from the same noise."))
    reached = [o for o in outcomes if o.state == REACHED]
    following = next((o.milestone.exercise for o in outcomes if o.state != REACHED and o.open), None)
    told = f"{len(reached)} of {len(outcomes)} parts of your sampler are yours"
    if following is None:
        click.echo(f"{told}: all that there are here.")
        return
    last = f", up to {reached[-1].milestone.exercise} ({reached[-1].milestone.title})" if reached else ""
    step = "check" if workspace.file(following).is_file() else "start"
    click.echo(at_words(f"{told}{last}. Next part: mnist-ddm exercises {step} {following}"))
    if any(o.state == ASIDE for o in outcomes):
        context.exit(_EXIT_ASIDE)


_COLOURS = {"reached": "green", "set aside": "red"}


def _tell(outcome: "Outcome") -> None:
    name, title = outcome.milestone.exercise, outcome.milestone.title
    first, *more = outcome.said.splitlines()
    told = f"{title}: {first}" if outcome.state == "reached" else first
    click.echo(f"{name:<14}", nl=False)
    click.secho(f"{outcome.state:<11}", fg=_COLOURS.get(outcome.state), nl=False)
    click.echo(at_words(f"{'':<25}{told}")[25:])
    for line in more:
        click.echo(at_words(f"{'':<14}{line}"))
