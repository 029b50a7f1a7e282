"""The `info` command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import click
import msgspec
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from mnist_ddm.terminal import options
from mnist_ddm.terminal.screen import Screen

if TYPE_CHECKING:
    from mnist_ddm.errors import InputError
    from mnist_ddm.tables.table import Table

_TOPICS = ("routings", "analyses", "presets", "features", "checkpoint")


@click.command("info")
@click.argument("topic", required=False, metavar="[TOPIC]")
@click.argument("name", required=False, metavar="[NAME]")
@options.as_json
def info(topic: str | None, name: str | None, json: bool) -> None:
    """Show what is there: systems, checkpoints, routings, analyses, presets, devices, the cache.

    TOPIC says more of one thing: routings, analyses (or experiments), presets, features, or checkpoint NAME, where NAME
    is a shipped one or a folder.
    """
    from mnist_ddm.errors import InputError, unknown
    from mnist_ddm.terminal.streams import print_json

    said = {"": _overview, "routings": _routings, "analyses": _analyses, "experiments": _analyses}
    said |= {"presets": _presets, "features": _features}
    if name is not None and topic != "checkpoint":
        raise InputError(f"only `mnist-ddm info checkpoint NAME` takes a name, not {topic!r}")
    if topic == "checkpoint":
        sections = _checkpoint(name)
    elif (topic or "") in said:
        sections = said[topic or ""]()
    else:
        raise unknown("topic", topic or "", list(_TOPICS))
    if json:
        print_json(_as_data(sections))
        return
    console = Screen()
    for i, section in enumerate(sections):
        section.show(console, last=i == len(sections) - 1)


@final
@dataclass(frozen=True)
class _Section:
    """A part of what is told.

    Attributes:
        title: of the part; empty for the only one.
        rows: by name what is said of it, a text or several.
        notes: sentences below.
        tables: below those.
        place: the file that the tables stand in.
    """

    title: str
    rows: Mapping[str, str | Sequence[str]]
    notes: tuple[str, ...] = ()
    tables: "tuple[Table, ...]" = ()
    place: str = ""

    def show(self, console: Screen, *, last: bool) -> None:
        """Print it for people."""
        from mnist_ddm.tables.printable import printable

        if self.title:
            console.print(Text(printable(self.title), "bold underline"))
        shown = {name: said if isinstance(said, str) else ", ".join(said) for name, said in self.rows.items()}
        _rows(console, [(printable(name), printable(said)) for name, said in shown.items()])
        for note in self.notes:
            console.print(f"\n{note}")
        for table in self.tables:
            from mnist_ddm.tables.terminal import to_rich

            console.print("", to_rich(table, console.width, self.place), sep="\n")
        if not last:
            console.print()


def _as_data(sections: Sequence[_Section]) -> dict[str, object]:
    """The same for programs: the rows of the only section, or those of each by its title."""

    def plain(section: _Section) -> dict[str, object]:
        if not section.tables:
            return dict(section.rows)
        from mnist_ddm.tables.files import to_json

        return {**section.rows, **{table.name: to_json(table) for table in section.tables}}

    return plain(sections[0]) if len(sections) == 1 else {section.title: plain(section) for section in sections}


def _rows(console: Screen, rows: Sequence[tuple[str, str]]) -> None:
    """Names with what is said of them, which goes on below itself."""
    widest = max(len(name) for name, _ in rows)
    beside = widest + 2 + _NARROWEST <= console.width
    table = Grid(show_header=False, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    if beside:
        table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, said in rows:
        if beside:
            table.add_row(Text(name), Text(said))
        else:  # a narrow terminal: below each other
            table.add_row(Text(name, "bold"))
            table.add_row(Padding(Text(said), (0, 0, 0, 2)))
    console.print(table)


_NARROWEST = 40
"""Characters that a text has beside its name, or it stands below."""


def _overview() -> list[_Section]:
    from mnist_ddm.compute.cores import default_workers
    from mnist_ddm.core.spellings import SOLVERS, known_routings
    from mnist_ddm.models.presets import preset_names
    from mnist_ddm.models.shipped import shipped_checkpoints
    from mnist_ddm.systems.registry import system_names
    from mnist_ddm.terminal.commands import installed_commands
    from mnist_ddm.terminal.options import broken_options, installed_options
    from mnist_ddm.versions import versions

    devices = [f"{name} ({model})" if model else name for name, model in _devices().items()]
    known, (count, groups, broken_analyses) = versions(), _known_analyses()
    installed_options()
    broken = (*installed_commands().broken.values(), *broken_analyses, *broken_options)
    rows: dict[str, str | Sequence[str]] = {
        "systems": system_names(),
        "checkpoints": [f.name for f in shipped_checkpoints()],
        "routings": [*known_routings(), "monolith"],
        "analyses": f"{count} in the groups {', '.join(groups)}",
        "presets": preset_names(),
        "solvers": [*(f"{name} (order {order})" for name, order in SOLVERS.items()), "heun@churn=2 (with noise)"],
        "versions": [f"{k} {known[k]}" for k in _VERSIONS if k in known],
        "devices": f"{', '.join(devices)}; {default_workers()} cores",
        "cache": _cache_line(),
        **({"broken": [str(error) for error in broken]} if broken else {}),
        "more": [*(f"info {topic}" for topic in _TOPICS[:-1]), f"info {_TOPICS[-1]} NAME"],
    }
    return [_Section("", rows)]


def _devices() -> Mapping[str, str]:
    """Asked of torch, which takes seconds to import, only where there may be more than the CPU."""
    from mnist_ddm.compute.cores import may_have_accelerator

    if not may_have_accelerator():
        return {"cpu": ""}
    from mnist_ddm.compute.devices import available_devices

    return available_devices()


def _known_analyses() -> tuple[int, list[str], list["InputError"]]:
    """How many there are, their groups, and what is wrong with some; those that ship are not imported to be counted."""
    from mnist_ddm.analyses.names import SHIPPED, foreign_analyses

    if not foreign_analyses():
        return sum(map(len, SHIPPED.values())), list(SHIPPED), []
    from mnist_ddm.analyses.registry import groups, installed_analyses, known_analyses

    return len(known_analyses()), groups()[:-1], list(installed_analyses().broken.values())


_VERSIONS = ("mnist-ddm", "python", "torch")
"""Those that the overview names; every manifest has all."""


def _routings() -> list[_Section]:
    from mnist_ddm.core.routing import known_modifiers, known_routings, routing_help

    said = routing_help()
    rows = {}
    for spelling in known_routings():
        name, _, inside = spelling.partition(" (")
        rows[name] = said.get(spelling) or inside.removesuffix(")") or "of another package"
    rows["monolith"] = "The one model trained on all data."
    changes = {spelling: said[spelling] for spelling in known_modifiers()}
    return [_Section("strategies", rows), _Section("modifiers of any of them", changes)]


def _analyses() -> list[_Section]:
    from mnist_ddm.analyses.registry import groups, known_analyses

    known = known_analyses().values()
    return [
        _Section(f"group {group}", {a.id: a.question for a in known if a.group == group}) for group in groups()[:-1]
    ]


def _presets() -> list[_Section]:
    from mnist_ddm.models.presets import preset_named, preset_names

    rows = {}
    for name in preset_names():
        preset = preset_named(name)
        recipe = preset.recipes["expert"]
        sizes = "\n".join(f"{part}: {preset.size(part)}" for part in ("expert", "router", "classifier"))
        rows[name] = f"{preset.purpose}\n{sizes}\ntraining of an expert: {recipe.steps} steps of {recipe.batch}"
    return [_Section("", rows, ("FLOP: per evaluation of one sample; a multiply and an add are two.",))]


def _features() -> list[_Section]:
    """The features and distances of every system that is here; some need a file that may be missing."""
    from mnist_ddm.errors import InputError
    from mnist_ddm.systems.registry import load_system, system_names

    sections = []
    for system in system_names():
        rows: dict[str, str | Sequence[str]]
        try:
            measures = load_system(system).measures
            kinds = {"--features": measures.frechet_features, "--distance": measures.distances}
            rows = {option: list(names) or "none" for option, names in kinds.items()}
        except InputError as error:
            rows = {"cannot be loaded": str(error)}
        sections.append(_Section(f"system {system}", rows))
    return sections


def _checkpoint(name: str | None) -> list[_Section]:
    from mnist_ddm.errors import InputError, unknown
    from mnist_ddm.models.shipped import CARD, shipped_checkpoints

    shipped = {folder.name: folder for folder in shipped_checkpoints()}
    if name is None:
        raise InputError(f"which checkpoint? `mnist-ddm info checkpoint NAME`: {', '.join(shipped)}, or a folder")
    folder = shipped.get(name, Path(name))
    if not (folder / CARD).exists():
        if not folder.exists():
            raise unknown("checkpoint", name, list(shipped))
        raise InputError(f"{folder} is not a checkpoint: it has no {CARD}")
    return [_card(folder)]


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


def _card(folder: Path) -> _Section:
    """What a checkpoint's card says: of the mnist system with its parts, of another one as it stands there."""
    from mnist_ddm.models.checkpoint import read_figures
    from mnist_ddm.models.shipped import CARD
    from mnist_ddm.storage.files import folder_size, read_json
    from mnist_ddm.storage.typed import as_kind
    from mnist_ddm.tables.files import from_json

    stated = read_json(folder / CARD)
    if "trained" in stated:
        rows = _trained(as_kind(stated, _TrainedCard, str(folder / CARD), "a card; restore it or train again"))
    else:
        rows = _parts(folder)
    tables = []
    for key, value in read_figures(folder).items():
        if isinstance(value, dict) and "rows" in value:
            tables.append(from_json(value, f"the table {key!r} in {folder / CARD}"))
        else:
            rows.append((key, _shown(value)))
    title = f"checkpoint {folder} ({folder_size(folder) / 1e6:.1f} MB)"
    return _Section(title, dict(rows), tables=tuple(tables), place=str(folder / CARD))


@final
class _TrainedCard(msgspec.Struct, frozen=True):
    """The card of a system that was trained in one piece, such as a small Paris."""

    trained: dict[str, dict[str, Any]]
    clusters: list[str] = []


def _trained(card: _TrainedCard) -> list[tuple[str, str]]:
    parts = [(n, ", ".join(f"{k} {_figure(v)}" for k, v in part.items())) for n, part in card.trained.items()]
    return [*parts, ("clusters", "\n".join(card.clusters))]


def _parts(folder: Path) -> list[tuple[str, str]]:
    from dataclasses import asdict

    from mnist_ddm.models.checkpoint import is_finished, part_names, read_part_card, read_system_card

    card = read_system_card(folder)
    words = {
        "linear": "UNets with a linear start" if card.linear else "plain UNets",
        "labels": ", ".join(map(str, card.labels)),
        "names": ", ".join(card.names),
    }
    told = {key: words.get(key, str(value)) for key, value in asdict(card).items()}
    titles = {"linear": "networks", "labels": "labels in the data", "names": "names of the classes", "place": "data in"}
    rows = [(titles.get(key, key.replace("_", " ")), text) for key, text in told.items() if text]
    for name in part_names(card.n_experts):
        if not is_finished(folder, name):
            rows.append((name, "not trained"))
            continue
        part = read_part_card(folder, name)
        figures = ", ".join(f"{k.replace('_', ' ')} {_figure(v)}" for k, v in part.figures.items())
        rows.append((name, f"{part.recipe['steps']} steps of {part.recipe['batch']}; {figures}"))
    return rows


def _figure(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, int | float) else str(value)


def _shown(value: object) -> str:
    from mnist_ddm.tables.terminal import shown_value

    if isinstance(value, dict):
        return ", ".join(f"{key}: {_shown(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return shown_value(value) if isinstance(value, str | int | float) else str(value)
