"""What the `train` commands do; they stand in a module of their own, as this one takes seconds to import."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from mnist_ddm.compute.devices import shared_gpus
from mnist_ddm.compute.parallel import backend_named, run_jobs
from mnist_ddm.data import load_images, title_of, to_state
from mnist_ddm.data.labels import labels_said
from mnist_ddm.models.checkpoint import is_finished, load_part, part_names, read_part_card
from mnist_ddm.models.model_card import write_model_card
from mnist_ddm.models.presets import preset_named
from mnist_ddm.storage.names import file_name
from mnist_ddm.terminal import options
from mnist_ddm.terminal.progress import progress_bars, waiting
from mnist_ddm.terminal.screen import Screen
from mnist_ddm.terminal.words import shown_duration, shown_workers
from mnist_ddm.training.job import TrainingJob
from mnist_ddm.training.pace import expected_seconds
from mnist_ddm.training.plan import TrainingPlan, divided, share_parts, training_jobs
from mnist_ddm.versions import changed


def train(
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
    """Train the parts that `choose` picks of all names, as the options of the commands say.

    Raises:
        InputError: if what is asked for cannot be trained.
    """
    console = Screen()
    count = options.resolve_workers(workers, device)
    with waiting(console, "loading the data"):
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
    if torch.device(device).type == "cuda":
        _on_gpus(console, jobs, count, device, backend)
    else:
        _on_cores(console, jobs, count, device, backend)
    _report(console, plan.out, names)
    console.print(f"model card: {write_model_card(plan.out)}")
    if "classifier" in names:
        console.print(f"classifier accuracy on the test images: {_accuracy(plan):.4f}")


def _on_cores(console: Console, jobs: list[TrainingJob], count: int, device: str, backend: str) -> None:
    """Train parts in turn, or each in a process; on a GPU that is not NVIDIA's as well."""
    if jobs:
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


def _on_gpus(console: Console, jobs: list[TrainingJob], count: int, device: str, backend: str) -> None:
    """Train parts all at once, those of one GPU in one process; more workers than GPUs would only share them."""
    gpus = count if backend == "ray" else max(1, len(shared_gpus(device)))
    groups = divided(jobs, min(count, gpus))
    if len(groups) == 1:
        with progress_bars([job.part for job in jobs], console, [float(job.recipe.steps) for job in jobs]) as update:
            run_jobs([lambda report: groups[0].train(update)], 1)
    elif groups:
        names = [", ".join(job.part for job in group.jobs) for group in groups]
        with progress_bars(names, console) as update, backend_named(backend):
            run_jobs(groups, len(groups), update, device)


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
