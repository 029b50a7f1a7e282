"""Options that several commands share."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

device = click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, mps.")
seed = click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
workers = click.option(
    "--workers", type=int, default=None, help="Parallel processes; the result does not depend on it.  [default: cores]"
)
data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=None,
    help="A folder with the four IDX files of any 28x28 set.  [default: the MNIST that ships]",
)
checkpoint = click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    default=None,
    help="A checkpoint folder, or the name of a shipped one.  [default: mnist-classroom]",
)
_system = click.option("--system", default="mnist", show_default=True, help="mnist, gaussian, or an installed one.")


_places = (
    checkpoint,
    data_dir,
    click.option(
        "--paris-dir", type=click.Path(path_type=Path), help="paris: the folder of a model.  [default: the small one]"
    ),
    click.option("--captions", type=click.Path(path_type=Path), help="paris: captions, one in a line, or COCO's JSON."),
)
_of_system = (
    _system,
    *_places,
    device,
    click.option("--paris-repo", help="paris: a repository on the Hugging Face hub instead, OWNER/NAME."),
    click.option("--revision", help="paris: a commit of the repository."),
    click.option("--guidance", type=float, help="paris: scale of classifier-free guidance.  [default: 4]"),
    click.option("--dtype", help="paris: float32 or bfloat16.  [default: float32]"),
    click.option("--detail", multiple=True, help="paris: an undocumented detail, as time=1000t; may be repeated."),
)


def system_options(command: Function) -> Function:
    """The options that choose a system and decide what it is; together they are the arguments of `load_system`.

    The command gets those but `system` as keyword arguments of their own names.
    """
    return _with(_of_system, command)


def place_options(command: Function) -> Function:
    """Those of `system_options` that say where files are: what another machine may have elsewhere."""
    return _with(_places, command)


def _with(chosen: Sequence[Callable[[Function], Function]], command: Function) -> Function:
    for option in reversed(chosen):
        command = option(command)
    return command


def resolve_workers(value: int | None, device_name: str) -> int:
    """How many processes to use: as asked, else one for each core, or one if an accelerator does the work."""
    from mnist_ddm.compute.parallel import default_workers
    from mnist_ddm.errors import InputError

    if value is None:
        return default_workers() if device_name == "cpu" else 1
    if value < 1:
        raise InputError(f"--workers must be at least 1, not {value}")
    return value


def command_line() -> str:
    """The command as it was typed, for cards and manifests."""
    return shlex.join(["mnist-ddm", *sys.argv[1:]])


def cache_folder() -> Path:
    """Where recordings are kept between runs: `$MNIST_DDM_CACHE`, else the user's cache folder."""
    if chosen := os.environ.get("MNIST_DDM_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnist-ddm"
