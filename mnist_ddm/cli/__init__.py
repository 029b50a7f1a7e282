"""The command `mnist-ddm`. Subcommands are imported only when they run, so that help appears at once."""

import contextlib
import logging
import os
import signal
import sys
import traceback
import warnings
from typing import NoReturn, TextIO, final

import click

from mnist_ddm.errors import LONGEST, InputError, one_line
from mnist_ddm.terminal.commands import LazyCommand, installed_commands
from mnist_ddm.terminal.interrupts import EXIT_INTERRUPTED, watched
from mnist_ddm.terminal.streams import leave_quietly, prepare_streams
from mnist_ddm.terminal.words import FittingHelp

EXIT_DEFECT = 1
"""Something failed that nobody foresaw; also an exercise that is not right yet."""
EXIT_BAD_INPUT = 2
EXIT_READER_LEFT = 141
"""Whoever read our output closed it, as `| head -1` does: the code of a program that SIGPIPE ends."""
_ended_by: list[int] = []
"""The signal that ends this process, if one does."""

_COMMANDS = {
    name: LazyCommand(f"mnist_ddm.cli.{target}", text)
    for name, target, text in (
        ("train", "train:train_all", "Train experts, router, monolith and classifier."),
        ("train-experts", "train:train_experts", "Train the experts, each in isolation."),
        ("train-router", "train:train_router", "Train the router."),
        ("train-monolith", "train:train_monolith", "Train one model on all data, with the same budget."),
        ("train-classifier", "train:train_classifier", "Train the classifier that the metrics use."),
        ("sample", "sample:sample", "Draw samples with any routing strategy into a picture."),
        ("explore", "explore:explore", "Write a page that shows routing step by step."),
        ("play", "play:play", "Write a page with a small DDM to touch, in the plane."),
        ("analyze", "analyze:analyze", "Run analyses of the paper on a system."),
        ("reproduce", "reproduce:reproduce", "Reproduce the paper on a system: verdicts and a report."),
        ("report", "finished:report", "Write the report of a run again, from its results alone."),
        ("compare", "finished:compare", "Put two runs side by side."),
        ("verify", "finished:verify", "Hash a run's files again and recompute its tables."),
        ("measure", "measure:measure", "Measure a checkpoint's figures and put them on its card."),
        ("cache", "cache:cache", "List or delete stored recordings."),
        ("exercises", "exercises:exercises", "Learn: exercises with checks that know the exact answers."),
        ("check-system", "check_system:check_system", "Try out what an own system promises."),
        ("cite", "cite:cite", "Print how to cite this package and the paper."),
        ("info", "info:info", "List systems, checkpoints, strategies, analyses and caches."),
    )
}


@final
class LazyGroup(click.Group):
    """A group that knows its commands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_all_commands())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:  # without a look at other packages
            return _COMMANDS[cmd_name].load()
        return installed_commands().load(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in _all_commands().items()])


def _all_commands() -> dict[str, LazyCommand]:
    """Ours, then those of other packages under other names."""
    return {**_COMMANDS, **{name: c for name, c in installed_commands().readable.items() if name not in _COMMANDS}}


click.Context.formatter_class = FittingHelp  # of every command; a context hands its own to no command below it


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="mnist-ddm")
def cli() -> None:
    """Decentralized diffusion models on a laptop: train, route, sample, analyze."""


def main() -> None:
    """Run the command line and exit with one of the codes above; what went wrong is one line on standard error."""
    prepare_streams()
    with contextlib.suppress(ValueError):  # not in the main thread, as in some tests
        signal.signal(signal.SIGTERM, _terminated)
    # joblib starts a worker anew whose memory has grown; its job is done by then, and nobody needs to know.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
    # Where the home may not be written, matplotlib says so in several lines and goes on.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    output = sys.stdout
    with watched() as interrupts:
        try:
            code = cli.main(prog_name="mnist-ddm", standalone_mode=False)
            sys.stdout.flush()
        except (KeyboardInterrupt, click.Abort):
            interrupts.end_if_seen()
            interrupts.tell()
            sys.exit(EXIT_INTERRUPTED)
        except BaseException as error:
            interrupts.end_if_seen()  # whatever a library made of it
            _explain(error, output)
        interrupts.end_if_seen()
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: BaseException, output: TextIO) -> NoReturn:
    """End with one line that a person can read."""
    if _ended_by:  # a library in the midst of its import may have made anything of it
        sys.exit(128 + _ended_by[0])
    if isinstance(error, SystemExit):
        if sys.stdout is not output:  # click ends the program itself, with another stream in place of the broken one
            _reader_left()
        raise error
    if isinstance(error, BrokenPipeError):
        _reader_left()
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        sys.exit(EXIT_BAD_INPUT)
    if isinstance(error, click.UsageError):
        where = f"; see `{error.ctx.command_path} --help`" if error.ctx else ""
        told = error.format_message().rstrip(".")  # "; see" goes on
        _fail(f"{one_line(told, LONGEST - len(where) - len('error: '))}{where}")
    if isinstance(error, click.ClickException):
        _fail(error.format_message())
    if isinstance(error, InputError):
        _fail(str(error))
    if isinstance(error, OSError):
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    if isinstance(error, MemoryError):
        _fail("there is not enough memory for that; ask for fewer samples, steps or workers")
    if isinstance(error, Exception):
        _unexpected(error)
    raise error


def _fail(message: str) -> NoReturn:
    click.echo(f"error: {one_line(message, LONGEST - len('error: '))}", err=True)
    sys.exit(EXIT_BAD_INPUT)


def _unexpected(error: Exception) -> NoReturn:
    """Say where a defect is, ours or another package's; its traceback is for who asks for it."""
    if os.environ.get("MNIST_DDM_TRACEBACK"):
        raise error
    last = traceback.extract_tb(error.__traceback__)[-1]
    told = one_line(f"{type(error).__name__}: {error}", 140)
    where = one_line(f"{last.filename}, line {last.lineno}", 80)
    click.echo(f"error: a defect in {where}: {told}; MNIST_DDM_TRACEBACK=1 shows more", err=True)
    sys.exit(EXIT_DEFECT)


def _reader_left() -> NoReturn:
    leave_quietly()
    sys.exit(EXIT_READER_LEFT)


def _terminated(number: int, frame: object) -> NoReturn:
    """End in order, so that nothing is left behind."""
    _ended_by.append(number)
    sys.exit(128 + number)
