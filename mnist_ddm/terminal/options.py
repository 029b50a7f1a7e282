"""Options that several commands share."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

import click

from mnist_ddm.errors import InputError, blamed
from mnist_ddm.systems.options import ENTRY_POINT_GROUP, MNIST, SystemOption

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _chosen(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """The device that a name means, which is told unless it is the default."""
    if value == "cpu" or context.resilient_parsing:
        return value
    from mnist_ddm.compute.devices import chosen_device, described

    found = chosen_device(value)
    click.echo(f"device: {described(found)}", err=True)
    return found


device = click.option(
    "--device",
    default="cpu",
    show_default=True,
    callback=_chosen,
    help="cpu, cuda, cuda:1, mps, or auto for the best.",
)
seed = click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
workers = click.option(
    "--workers", type=int, default=None, help="Parallel processes; the result does not depend on it.  [default: cores]"
)
backend = click.option(
    "--backend",
    type=click.Choice(["loky", "ray"]),
    default="loky",
    show_default=True,
    help="Where parallel jobs run: processes here, or a Ray cluster that shares the folders.",
)
beside = click.option(
    "--beside",
    type=click.Path(path_type=Path),
    default=None,
    help="A run of another system of the paper, for the claims about two.",
)
shard = click.option(
    "--shard",
    metavar="I/N",
    default=None,
    help="Only record every N-th block, and make no tables: one of N commands on a cluster.",
)
_system = click.option("--system", default="mnist", show_default=True, help="mnist, gaussian, or an installed one.")
_KINDS: dict[str, Any] = {"path": click.Path(path_type=Path), "text": str, "number": float}


def system_options(command: Decorated) -> Decorated:
    """The options that choose a system and decide what it is; together they are the arguments of `load_system`.

    The command gets those but `system` as keyword arguments of their own names.
    """
    return _with((_system, *map(_clicked, installed_options()), device), command)


def systems_options(command: Decorated) -> Decorated:
    """`system_options` with a `--checkpoint` that may be repeated: several trainings of one system."""
    several = (
        replace(o, many=True, help=f"{o.help} Repeat it for several trainings.")
        for o in installed_options()
        if o.name == "checkpoint"
    )
    others = (o for o in installed_options() if o.name != "checkpoint")
    return _with((_system, *map(_clicked, (*several, *others)), device), command)


def place_options(command: Decorated) -> Decorated:
    """Those of `system_options` that say where files are: what another machine may have elsewhere."""
    return _with([_clicked(option) for option in installed_options() if option.place], command)


def own_options(command: Decorated) -> Decorated:
    """Those of `system_options` that decide what a system is, for commands that take its name otherwise."""
    return _with([_clicked(option) for option in installed_options()], command)


as_json = click.option("--json", is_flag=True, help="Print the same as JSON, for programs; the rest goes to stderr.")


@cache
def installed_options() -> tuple[SystemOption, ...]:
    """The options of all systems that are installed; of two with one name the first, and those of `mnist` first."""
    by_name: dict[str, SystemOption] = {}
    for option in (*MNIST, *_contributed()):
        by_name.setdefault(option.name, option)
    return tuple(by_name.values())


def _contributed() -> Iterator[SystemOption]:
    """What entry points say; one that cannot be read is left out, and the others are not."""
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        try:
            with blamed(f"the options {entry.name!r} of {entry.value}"):
                contributed = tuple(entry.load())
        except InputError as error:
            broken_options.append(error)
            continue
        for option in contributed:
            if isinstance(option, SystemOption) and _is_usable(option):
                yield option
            else:
                what = f"an option {entry.name!r} of {entry.value} is none that a command takes"
                broken_options.append(InputError(f"{what}; mend or uninstall that package"))


broken_options: list[InputError] = []
"""What is wrong with options that packages contribute, once `installed_options` has read them."""

_RESERVED = frozenset(
    {
        *("system", "device", "analyses", "analysis", "experiment", "group", "without", "n", "steps", "solver"),
        *("distance", "features", "out", "seed", "workers", "help", "routing", "routings", "record", "scale", "only"),
        *(
            "only_plan",
            "plan",
            "run",
            "everything",
            "all",
            "only_files",
            "files",
            "until_decided",
            "hours",
            "beside",
            "recorded",
        ),
        "json",
    }
)
"""Names that commands have themselves."""


def _is_usable(option: SystemOption) -> bool:
    texts = isinstance(option.name, str) and isinstance(option.help, str) and option.name not in _RESERVED
    return texts and option.name.isidentifier() and option.name.islower() and option.kind in _KINDS


def _clicked(option: SystemOption) -> Callable[[Decorated], Decorated]:
    return click.option(option.flag, option.name, type=_KINDS[option.kind], multiple=option.many, help=option.help)


def not_empty(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse an empty text where one that is not given means a default, as of a shell's variable that is not set."""
    if value is not None and not value.strip():
        raise click.BadParameter("an empty text names nothing; leave the option out for the default")
    return value


data_dir, checkpoint = (_clicked(next(o for o in MNIST if o.name == name)) for name in ("data_dir", "checkpoint"))


def _with(chosen: Sequence[Callable[[Decorated], Decorated]], command: Decorated) -> Decorated:
    for option in reversed(chosen):
        command = option(command)
    return command


def resolve_workers(value: int | None, device_name: str) -> int:
    """How many processes to use: as asked, else one for each core, or for each GPU that does the work."""
    from mnist_ddm.compute.cores import default_workers
    from mnist_ddm.compute.devices import shared_gpus

    if value is None:
        return default_workers() if device_name == "cpu" else max(1, len(shared_gpus(device_name)))
    if value < 1:
        raise InputError(f"--workers must be at least 1, not {value}")
    return value


def command_line() -> str:
    """The command as it was typed, for cards and manifests."""
    return shlex.join(["mnist-ddm", *sys.argv[1:]])
