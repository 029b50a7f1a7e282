"""The `train` commands."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table

from mnist_ddm.compute.devices import chosen_device
from mnist_ddm.compute.parallel import backend_named, run_jobs
from mnist_ddm.data import load_images, title_of, to_state
from mnist_ddm.data.labels import labels_said
from mnist_ddm.errors import InputError
from mnist_ddm.models.checkpoint import is_finished, load_part, part_kind, part_names, read_part_card
from mnist_ddm.models.model_card import write_model_card
from mnist_ddm.models.presets import preset_named, preset_names
from mnist_ddm.storage.names import file_name
from mnist_ddm.systems.options import LABELS_HELP
from mnist_ddm.terminal import options
from mnist_ddm.terminal.progress import progress_bars, waiting
from mnist_ddm.terminal.recordings import shown_duration, shown_workers
from mnist_ddm.terminal.screen import Screen
from mnist_ddm.training.pace import expected_seconds
from mnist_ddm.training.plan import TrainingPlan, share_parts, training_jobs
from mnist_ddm.versions import changed

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


def _train(
    choose: Callable[[list[str]], list[str]],
    *,
    preset: str,
    out: Path | None,
    partition: str,
    experts: int | None,
    steps: int | None,
    share: Path | None,
    relabel: bool,
    labels: str | None,
    keep_every: int,
    seed: int,
    data_dir: Path | None,
    workers: int | None,
    device: str,
    backend: str,
) -> None:
    console = Screen()
    device = chosen_device(device)
    count = options.resolve_workers(workers, device)
    images = load_images(data_dir, relabel=relabel)
    if labels is not None:
        images = replace(images, names=labels_said(labels, images.classes))
    plan = TrainingPlan(
        images=images,
        preset=preset_named(preset),
        out=out or Path("runs") / f"{file_name(title_of(images.name, images.digest))}-{preset}",
        partition=partition,
        n_experts=experts,
        seed=seed,
        steps=steps,
        device=device,
        keep_every=keep_every,
        command=options.command_line(),
    )
    names = choose(part_names(plan.system.n_experts))
    if share is not None:
        share_parts(plan, share, names)
    jobs = training_jobs(plan, names)
    if plan.images.labels:
        console.print(
            f"classes 0 .. {plan.images.classes - 1} are the labels {', '.join(map(str, plan.images.labels))}"
        )
    finished = [name for name in names if name not in {job.part for job in jobs}]
    if keep_every and finished:
        console.print(f"{', '.join(finished)}: finished before, so --keep-every does nothing for it")
    # The longest first, so that no worker is left alone with it at the end.
    jobs.sort(key=lambda job: -job.recipe.steps * job.recipe.batch * len(job.part.split("-")[0]))
    if jobs:
        console.print(f"training {', '.join(job.part for job in jobs)} into {plan.out}")
        with waiting(console, "timing a few steps"):
            seconds = expected_seconds(jobs, min(count, len(jobs)))
        if seconds is not None:
            told = f"expected time {shown_duration(seconds)} with {shown_workers(min(count, len(jobs)))}"
            console.print(f"{told}, if nothing was trained before")
    if count == 1 or len(jobs) == 1:
        for job in jobs:
            console.print(f"{job.part}: {len(job.data.images)} images, {job.recipe.steps} steps")
            replace(job, show=console.is_terminal)(lambda fraction: None)
    elif jobs:
        with progress_bars([job.part for job in jobs], console) as update, backend_named(backend):
            run_jobs(jobs, count, update, device)
    _report(console, plan.out, names)
    console.print(f"model card: {write_model_card(plan.out)}")
    if "classifier" in names:
        console.print(f"classifier accuracy on the test images: {_accuracy(plan):.4f}")


def _accuracy(plan: TrainingPlan) -> float:
    classifier, images = load_part(plan.out, "classifier", plan.system), plan.images
    with torch.inference_mode():
        predicted = [classifier(to_state(batch)).argmax(dim=1) for batch in images.test_images.split(500)]
    return float((torch.cat(predicted) == images.test_labels).double().mean())


def _report(console: Console, out: Path, names: list[str]) -> None:
    table = Table(title=f"trained models in {out}", title_justify="left")
    for heading in ("model", "images", "steps", "seconds", "first loss", "last loss", "figure"):
        table.add_column(heading, justify="left" if heading in ("model", "figure") else "right")
    for name in names:
        if not is_finished(out, name):
            continue
        card = read_part_card(out, name)
        f = card.figures
        figure = "; ".join(f"{k.replace('_', ' ')} {v:.4f}" for k, v in f.items() if k.endswith("accuracy"))
        figure = "; ".join(filter(None, (figure, *(f"{p} {told}" for p, told in changed(card.versions).items()))))
        numbers = (f"{f['images']:,}", f"{card.recipe['steps']:,}", f"{f['seconds']:.0f}")
        table.add_row(name, *numbers, f"{f['first_loss']:.4f}", f"{f['last_loss']:.4f}", figure)
    console.print(table)
    console.print(f"loss by time: {out / 'losses'}")
