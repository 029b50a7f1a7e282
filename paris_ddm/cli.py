"""The `paris` commands: train the small model, make clusters, find out undocumented details, measure figures."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from mnist_ddm.terminal import options
from mnist_ddm.terminal.progress import progress_bars, waiting
from mnist_ddm.terminal.screen import Screen


@click.group("paris")
def paris() -> None:
    """Train the small Paris model, cluster images for a model, check its details, measure it."""
    from paris_ddm.system import need_extra

    need_extra()


@paris.command("train-mini")
@click.option("--preset", default="mini", show_default=True, help="mini, or tiny for a first look.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, help="Where to train.  [default: runs/paris-PRESET]"
)
@click.option(
    "--clusters",
    default="embedding",
    show_default=True,
    help="What the experts' clusters are: what the image embedding finds alike, or each digit, ink or ground.",
)
@click.option(
    "--share",
    type=click.Path(path_type=Path),
    default=None,
    help="Take what does not depend on the clusters from this finished model.",
)
@click.option("--relabel", is_flag=True, help="Number the classes of --data-dir anew: 0, 1, ... in their order.")
@options.seed
@options.data_dir
@options.workers
@options.device
def train_mini(
    preset: str,
    out: Path | None,
    clusters: str,
    share: Path | None,
    relabel: bool,
    seed: int,
    data_dir: Path | None,
    workers: int | None,
    device: str,
) -> None:
    """Train a small model in the release's format from scratch: VAE, text and image towers, experts, router.

    What was stopped goes on where it was when the same command is given again.
    """
    console = Screen()
    with waiting(console, "starting"):
        from mnist_ddm.compute.parallel import run_jobs
        from mnist_ddm.data import load_images
        from paris_ddm.mini.build import Job, build
        from paris_ddm.mini.parts import preset_named
        from paris_ddm.mini.plan import MiniPlan

    begin = time.monotonic()
    preset_named(preset)
    count = options.resolve_workers(workers, device)
    plan = MiniPlan(
        images=load_images(data_dir, relabel=relabel),
        out=out or Path("runs") / f"paris-{preset}{'' if clusters == 'embedding' else f'-{clusters}'}",
        preset=preset,
        seed=seed,
        command=options.command_line(),
        clusters=clusters,
        source=share,
        device=device,
    )

    def run(names: Sequence[str], jobs: Sequence[Job], costs: Sequence[float]) -> None:
        if jobs:
            console.print(f"{', '.join(names) if len(names) < 12 else f'{len(names)} jobs'} into {plan.out}")
            with progress_bars(list(names), console, costs) as update:
                run_jobs(list(jobs), count, update, device)

    build(plan, run, console.print)
    console.print(f"{plan.out} ({time.monotonic() - begin:.0f} s)")


@paris.command("data")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="An empty folder.")
@click.option("--n", type=int, default=None, help="Pictures of each split at the most.  [default: all]")
@click.option("--relabel", is_flag=True, help="Number the classes of --data-dir anew: 0, 1, ... in their order.")
@options.seed
@options.data_dir
def data(out: Path, n: int | None, relabel: bool, seed: int, data_dir: Path | None) -> None:
    """Write the coloured digits that the small model is trained on: pictures, tables, and Croissant metadata.

    The seed is that of a training; the model that ships has 0.
    """
    console = Screen()
    with waiting(console, "starting"):
        from mnist_ddm.data import load_images
        from paris_ddm.mini.files import write_digits

    images = load_images(data_dir, relabel=relabel)
    with progress_bars([f"pictures into {out}"], console) as update:
        described = write_digits(images, seed, out, n, lambda fraction: update(0, fraction))
    console.print(f"described by {described}")


@paris.command("cluster")
@click.option("--images", type=click.Path(path_type=Path), required=True, help="A folder of pictures.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the results, for --data-dir.")
@click.option("--fine", type=int, default=1024, show_default=True, help="Clusters of the first stage.")
@click.option("--held-out", type=float, default=0.1, show_default=True, help="Share of pictures that are held out.")
@click.option("--paris-dir", type=click.Path(path_type=Path), help="The folder of the model.  [default: the small one]")
@click.option("--centroids", type=click.Path(path_type=Path), help="Take this file of clusters instead of making one.")
@options.seed
@options.device
def cluster(
    images: Path,
    out: Path,
    fine: int,
    held_out: float,
    paris_dir: Path | None,
    centroids: Path | None,
    seed: int,
    device: str,
) -> None:
    """Cluster a folder of pictures by two-stage k-means on DINOv2 embeddings, one cluster for each expert.

    A picture's caption is read from the text file of the same name beside it, if there is one. Real states for the
    measurements are kept with the clusters.
    """
    console = Screen()
    with waiting(console, "starting"):
        from mnist_ddm.systems.registry import load_system
        from paris_ddm.pool import ParisPool
        from paris_ddm.realise import cluster_images

    with waiting(console, "loading the model"):
        pool = load_system("paris", device=device, paris_dir=paris_dir, data_dir=out if out.is_dir() else None)
    assert isinstance(pool, ParisPool)
    with progress_bars([f"embedding {images}"], console) as update:
        lines = cluster_images(pool, images, out, fine, held_out, seed, centroids, lambda fraction: update(0, fraction))
    for line in lines:
        console.print(line)
    console.print(f"{out}: give it with --data-dir")


@paris.command("fit-caption-router")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--captions",
    type=click.Path(path_type=Path),
    required=True,
    help='JSON lines with a "text" and a "cluster", 0 for the first expert.',
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the result, for --data-dir.")
@options.data_dir
@options.device
def fit_caption_router(folder: Path, captions: Path, out: Path, data_dir: Path | None, device: str) -> None:
    """Fit what a caption says of the clusters of the model in FOLDER, which `+caption` asks.

    A linear head on the model's text encoder; a tenth of the captions tells how good it is. It is written beside the
    clusters of the model, or of --data-dir.
    """
    console = Screen()
    with waiting(console, "starting"):
        from mnist_ddm.systems.registry import load_system
        from paris_ddm.caption_router import fit_caption_router as fit
        from paris_ddm.pool import ParisPool

    with waiting(console, "loading the model"):
        pool = load_system("paris", device=device, paris_dir=folder, data_dir=data_dir)
    assert isinstance(pool, ParisPool)
    with progress_bars([f"captions of {captions}"], console) as update:
        lines = fit(pool, captions, out, lambda fraction: update(0, fraction))
    for line in lines:
        console.print(line)
    console.print(f"{out}: give it with --data-dir")


@paris.command("check")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--n", type=int, default=64, show_default=True, help="Real latents.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Also write the table as CSV.")
@click.option("--dtype", default="float32", show_default=True, help="float32 or bfloat16.")
@options.seed
@options.data_dir
@options.device
def check(
    folder: Path | None, n: int, out: Path | None, dtype: str, seed: int, data_dir: Path | None, device: str
) -> None:
    """Measure which of the undocumented details fits the model in FOLDER: the right one has the lowest loss."""
    console = Screen()
    with waiting(console, "starting"):
        from mnist_ddm.errors import InputError
        from mnist_ddm.storage.files import write_text
        from mnist_ddm.systems.registry import load_system
        from mnist_ddm.tables.files import to_csv
        from mnist_ddm.tables.terminal import to_rich
        from paris_ddm.check import check as measure
        from paris_ddm.check import detail_table
        from paris_ddm.pool import ParisPool

    if n < 2:
        raise InputError(f"--n must be at least 2, not {n}")
    with waiting(console, "loading the model"):
        pool = load_system("paris", device=device, paris_dir=folder, data_dir=data_dir, dtype=dtype)
    assert isinstance(pool, ParisPool)
    with progress_bars([f"checking {pool.settings.path}"], console) as update:
        losses = measure(pool.settings, n, seed, lambda fraction: update(0, fraction))
    table = detail_table(losses, pool.settings.path, n)
    console.print(to_rich(table, console.width))
    if out is not None:
        write_text(out, to_csv(table))


@paris.command("measure")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--n", type=int, default=1000, show_default=True, help="Samples of each routing.")
@click.option("--steps", type=int, default=25, show_default=True, help="Heun steps.")
@options.seed
@options.workers
@options.device
def measure_card(folder: Path, n: int, steps: int, seed: int, workers: int | None, device: str) -> None:
    """Measure a small model's figures and put them on its card: reconstruction, adherence, Frechet distances."""
    console = Screen()
    with waiting(console, "starting"):
        from mnist_ddm.data import load_images
        from mnist_ddm.errors import InputError
        from mnist_ddm.storage.files import read_json, write_json
        from mnist_ddm.study.study import Study
        from mnist_ddm.systems.registry import load_system
        from mnist_ddm.tables.files import to_json
        from mnist_ddm.tables.terminal import to_rich
        from mnist_ddm.terminal.recordings import record_with_progress
        from paris_ddm.figures import own_figures
        from paris_ddm.folder import CARD
        from paris_ddm.mini.data import held_out_set
        from paris_ddm.model_card import write_model_card
        from paris_ddm.pool import ParisPool

    begin = time.monotonic()
    with waiting(console, "loading the model"):
        pool = load_system("paris", device=device, paris_dir=folder)
    assert isinstance(pool, ParisPool)
    card = read_json(folder / CARD)
    study = Study(pool, ["quality"], scale="full", n=n, steps=steps, seed=seed, routings=_ON_CARD)
    if study.absent:
        raise InputError("; ".join(study.absent.values()))
    recordings = record_with_progress(console, study.plan(), options.resolve_workers(workers, device))
    tables = study.answer(recordings)["quality"].tables
    plan = card.get("plan")
    seed_of_data = plan.get("seed") if isinstance(plan, dict) else None
    if not isinstance(seed_of_data, int):
        raise InputError(f"{folder / CARD} does not say the seed of its plan; restore it")
    data = held_out_set(load_images(), seed_of_data)
    figures = {"command": options.command_line(), **own_figures(pool, data), **{t.name: to_json(t) for t in tables}}
    write_json(folder / CARD, {**card, "figures": figures})
    write_model_card(folder)
    for table in tables:
        console.print(to_rich(table, console.width))
    for key, value in figures.items():
        if isinstance(value, float):
            console.print(f"{key}: {value:.4g}")
    console.print(f"on the card of {folder} ({time.monotonic() - begin:.0f} s)")


_ON_CARD = ("monolith", "top1", "top2", "full", "label")
"""The routings whose figures stand on a model's card."""
