"""Options of the commands that run students' files."""

import math
from pathlib import Path

import click

from mnist_ddm.errors import InputError


def _a_number(context: click.Context, parameter: click.Parameter, seconds: float) -> float:
    """Refuse what no clock reaches: click's range lets it pass."""
    if math.isnan(seconds):
        raise InputError("--time-limit must be a number of seconds, not nan")
    return seconds


folder = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where the exercises are done.  [default: this folder]",
)
time_limit = click.option(
    "--time-limit", type=click.FloatRange(min=0, max=86400, min_open=True), default=10.0, show_default=True,
    callback=_a_number, help="Seconds of computing that import and check of a file may take.",
)  # fmt: skip
memory_limit = click.option(
    "--memory-limit", type=click.IntRange(min=1, max=2**20), default=1024, show_default=True,
    help="Megabytes that a file may take (enforced on Linux).",
)  # fmt: skip
