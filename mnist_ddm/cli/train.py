"""The `train` commands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mnist_ddm.errors import InputError
from mnist_ddm.models.presets import preset_names
from mnist_ddm.systems.options import LABELS_HELP
from mnist_ddm.terminal import options
from mnist_ddm.terminal.progress import waiting
from mnist_ddm.terminal.screen import Screen

_OPTIONS = (
    click.option("--preset", default="classroom", show_default=True, help=f"{', '.join(preset_names())}."),
    click.option(
        "--out", type=click.Path(path_type=Path), default=None, help="Checkpoint folder.  [default: runs/DATA-PRESET]"
    ),
    click.option("--partition", default="digit", show_default=True, help="digit, random or kmeans."),
    click.option("--experts", type=int, default=None, help="Number of experts.  [default: one for each class]"),
    click.option("--steps", type=int, default=None, help="Steps of each model instead of the preset's."),
    click.option(
        "--share",
        type=click.Path(path_type=Path),
        default=None,
        help="Take monolith and classifier, which do not depend on the partition, from this checkpoint.",
    ),
    click.option("--relabel", is_flag=True, help="Number the classes of --data-dir anew: 0, 1, ... in their order."),
    click.option("--labels", default=None, help=LABELS_HELP),
    click.option("--keep-every", type=int, default=0, help="Also keep averaged weights every so many steps."),
    options.seed,
    options.data_dir,
    options.workers,
    options.device,
    options.backend,
)


def _train_command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    def decorate(function: Callable[..., Any]) -> click.Command:
        for option in reversed(_OPTIONS):
            function = option(function)
        return click.command(name)(function)

    return decorate


@_train_command("train")
def train_all(**settings: Any) -> None:
    """Train all parts of a system: experts, router, monolith and classifier.

    A run that was stopped goes on when the same command is given again, and ends with the same bits.
    """
    _train(lambda names: names, **settings)


@_train_command("train-experts")
@click.option("--only", default=None, help="Train only these experts, such as 3,7.")
def train_experts(only: str | None, **settings: Any) -> None:
    """Train the experts, each on its own part of the data and nothing else.

    With --only, other machines can train the others; copy the files into one folder afterwards.
    """

    def chosen(names: list[str]) -> list[str]:
        from mnist_ddm.models.checkpoint import part_kind

        experts = [n for n in names if part_kind(n) == "expert"]
        if only is None:
            return experts
        wanted = [f"expert-{number.strip()}" for number in only.split(",")]
        for number, name in zip(only.split(","), wanted, strict=True):
            if name not in experts:
                raise InputError(f"--only {only}: there is no expert {number.strip()!r}, only 0 to {len(experts) - 1}")
        return wanted

    _train(chosen, **settings)


@_train_command("train-router")
def train_router(**settings: Any) -> None:
    """Train the router: which expert's data does a noisy image come from?"""
    _train(lambda names: ["router"], **settings)


@_train_command("train-monolith")
def train_monolith(**settings: Any) -> None:
    """Train one model of an expert's architecture on all data, with all experts' budget together."""
    _train(lambda names: ["monolith"], **settings)


@_train_command("train-classifier")
def train_classifier(**settings: Any) -> None:
    """Train the classifier that the metrics use, and print its accuracy on the test images."""
    _train(lambda names: ["classifier"], **settings)


def _train(choose: Callable[[list[str]], list[str]], **settings: Any) -> None:
    with waiting(Screen(), "starting"):
        from mnist_ddm.cli.training import train
    train(choose, **settings)
