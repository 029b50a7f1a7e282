"""The `info` command."""

from pathlib import Path
from typing import Any, final

import click
import msgspec
from rich.table import Table

from mnist_ddm.terminal.screen import Screen


@click.command("info")
@click.argument("checkpoint", type=click.Path(path_type=Path), required=False)
def info(checkpoint: Path | None) -> None:
    """List systems, checkpoints with their figures, strategies, analyses, versions, devices and caches.

    With a folder CHECKPOINT, its card is shown as well.
    """
    from mnist_ddm.analyses.registry import installed_analyses, known_analyses
    from mnist_ddm.compute.devices import available_devices
    from mnist_ddm.compute.parallel import default_workers
    from mnist_ddm.core.routing import known_modifiers, known_routings
    from mnist_ddm.core.solvers import SOLVERS
    from mnist_ddm.errors import InputError
    from mnist_ddm.models.checkpoint import CARD
    from mnist_ddm.models.presets import preset_named, preset_names
    from mnist_ddm.systems.mnist import checkpoints_folder
    from mnist_ddm.systems.registry import system_names
    from mnist_ddm.terminal.commands import installed_commands
    from mnist_ddm.terminal.options import broken_options, installed_options
    from mnist_ddm.versions import versions

    console = Screen()
    general = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    general.add_column(style="bold", no_wrap=True)
    general.add_column()
    general.add_row("systems", ", ".join(system_names()))
    general.add_row("routings", ", ".join([*known_routings(), "monolith"]))
    general.add_row("of any routing", ", ".join(known_modifiers()))
    general.add_row("solvers", ", ".join(f"{s.name} (order {s.order})" for s in SOLVERS.values()))
    for analysis in known_analyses().values():
        general.add_row("analysis", f"{analysis.id}: {analysis.question}")
    general.add_row("versions", ", ".join(f"{k} {v}" for k, v in versions().items()))
    devices = [f"{name} ({model})" if model else name for name, model in available_devices().items()]
    general.add_row("devices", f"{', '.join(devices)}; {default_workers()} cores")
    general.add_row("cache", _cache_line())
    installed_options()
    for broken in (*installed_commands().broken.values(), *installed_analyses().broken.values(), *broken_options):
        general.add_row("broken", str(broken))
    console.print(general)

    presets = Table(
        title="presets (per evaluation of one sample; a multiply and an add are two FLOPs)", title_justify="left"
    )
    for heading in ("preset", "expert", "router", "classifier", "training of an expert", "purpose"):
        presets.add_column(heading)
    for name in preset_names():
        preset = preset_named(name)
        recipe = preset.recipes["expert"]
        presets.add_row(
            name,
            *(preset.size(part) for part in ("expert", "router", "classifier")),
            f"{recipe.steps} steps of {recipe.batch}",
            preset.purpose,
        )
    console.print(presets)

    if checkpoint is not None and not (checkpoint / CARD).exists():
        raise InputError(f"{checkpoint} is not a checkpoint: it has no {CARD}")
    folders = [f.parent for f in sorted(checkpoints_folder().glob(f"*/{CARD}"))]
    for folder in [*folders, *([checkpoint] if checkpoint else [])]:
        console.print(_card_table(folder))


def _cache_line() -> str:
    """Where the cache is and how large; a cache that cannot be used must not keep the rest from being told."""
    from mnist_ddm.errors import InputError
    from mnist_ddm.storage.cache import cache_folder, recording_store
    from mnist_ddm.storage.files import folder_size

    try:
        cache = cache_folder()
        return f"{cache}: {len(recording_store().list())} recordings, {folder_size(cache) / 1e6:.1f} MB"
    except InputError as error:
        return str(error)


def _card_table(folder: Path) -> Table:
    """What a checkpoint's card says: of the mnist system with its parts, of another one as it stands there."""
    from mnist_ddm.models.checkpoint import CARD, read_figures
    from mnist_ddm.storage.files import folder_size, read_json
    from mnist_ddm.storage.typed import as_kind
    from mnist_ddm.tables.files import from_json
    from mnist_ddm.tables.terminal import plain, shown_value

    table = Table(title=f"checkpoint {plain(str(folder))} ({folder_size(folder) / 1e6:.1f} MB)", title_justify="left")
    table.add_column("of")
    table.add_column("value")
    stated = read_json(folder / CARD)
    if "trained" in stated:
        _add_trained(table, as_kind(stated, _TrainedCard, str(folder / CARD), "a card; restore it or train again"))
    else:
        _add_parts(table, folder)
    for key, value in read_figures(folder).items():
        if not isinstance(value, dict) or "rows" not in value:
            table.add_row(plain(key), plain(_shown(value)))
            continue
        measured = from_json(value, f"the table {key!r} in {folder / CARD}")
        table.add_row(plain(key), plain(measured.title))
        for row in measured.rows:
            shown = ", ".join(f"{k} {shown_value(v)}" for k, v in row.items() if k != "routing" and v is not None)
            table.add_row(plain(f"  {shown_value(row.get('routing'))}"), plain(shown))
    return table


@final
class _TrainedCard(msgspec.Struct, frozen=True):
    """The card of a system that was trained in one piece, such as a small Paris."""

    trained: dict[str, dict[str, Any]]
    clusters: list[str] = []


def _add_trained(table: Table, card: _TrainedCard) -> None:
    from mnist_ddm.tables.terminal import plain

    for name, part in card.trained.items():
        table.add_row(plain(name), plain(", ".join(f"{key} {_figure(value)}" for key, value in part.items())))
    table.add_row("clusters", plain("\n".join(card.clusters)))


def _add_parts(table: Table, folder: Path) -> None:
    from dataclasses import asdict

    from mnist_ddm.models.checkpoint import is_finished, part_names, read_part_card, read_system_card
    from mnist_ddm.tables.terminal import plain

    card = read_system_card(folder)
    for key, value in asdict(card).items():
        table.add_row(key.replace("_", " "), plain(str(value)))
    for name in part_names(card.n_experts):
        if not is_finished(folder, name):
            table.add_row(name, "not trained")
            continue
        part = read_part_card(folder, name)
        figures = ", ".join(f"{k.replace('_', ' ')} {_figure(v)}" for k, v in part.figures.items())
        table.add_row(name, plain(f"{part.recipe['steps']} steps of {part.recipe['batch']}; {figures}"))


def _figure(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, int | float) else str(value)


def _shown(value: object) -> str:
    from mnist_ddm.tables.terminal import shown_value

    return shown_value(value) if isinstance(value, str | int | float) else str(value)
