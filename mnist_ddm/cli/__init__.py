"""The command `mnist-ddm`. Subcommands are imported only when they run, so that help appears at once."""

import os
import sys
import warnings
from typing import NoReturn, final

import click

from mnist_ddm.errors import InputError
from mnist_ddm.terminal.commands import LazyCommand, installed_commands
from mnist_ddm.terminal.interrupts import EXIT_INTERRUPTED, watched

EXIT_BAD_INPUT = 2

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
        ("analyze", "analyze:analyze", "Run analyses of the paper on a system."),
        ("reproduce", "reproduce:reproduce", "Reproduce the paper on a system: verdicts and a report."),
        ("report", "finished:report", "Write the report of a run again, from its results alone."),
        ("compare", "finished:compare", "Put two runs side by side."),
        ("verify", "finished:verify", "Hash a run's files again and recompute its tables."),
        ("measure", "measure:measure", "Measure a checkpoint's figures and put them on its card."),
        ("cache", "cache:cache", "List or delete stored recordings."),
        ("exercises", "exercises:exercises", "Learn: exercises with checks that know the exact answers."),
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
        return installed_commands()[cmd_name].load() if cmd_name in installed_commands() else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in _all_commands().items()])


def _all_commands() -> dict[str, LazyCommand]:
    """Ours, then those of other packages under other names."""
    return {**_COMMANDS, **{name: command for name, command in installed_commands().items() if name not in _COMMANDS}}


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="mnist-ddm")
def cli() -> None:
    """Decentralized diffusion models on a laptop: train, route, sample, analyze."""


def main() -> None:
    """Run the command line; the exit code is 0, 2 for bad input, or 130 after Ctrl-C."""
    # joblib starts a worker anew whose memory has grown; its job is done by then, and nobody needs to know.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
    with watched() as interrupts:
        try:
            code = cli.main(standalone_mode=False)
        except (KeyboardInterrupt, click.Abort):
            interrupts.end_if_seen()
            interrupts.tell()
            sys.exit(EXIT_INTERRUPTED)
        except BaseException as error:
            interrupts.end_if_seen()  # whatever a library made of it
            _explain(error)
        interrupts.end_if_seen()
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: BaseException) -> NoReturn:
    """End with what a person can read, or with the error itself where it is none of theirs."""
    if isinstance(error, InputError):
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    if isinstance(error, click.ClickException):
        error.show()
        sys.exit(EXIT_BAD_INPUT)
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has left; stop quietly, without Python's complaint at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    raise error
