"""Each folder of `docs/results`, the command that makes it, and what that command asks."""

import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from mnist_ddm.analyses.registry import chosen
from mnist_ddm.claims.ledger import claim_named, ledger
from mnist_ddm.cli import cli
from mnist_ddm.cli.analyze import chosen_routings
from mnist_ddm.cli.reproduce import analyses_of, trainings_of
from mnist_ddm.storage.files import read_json
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.folder import MANIFEST
from mnist_ddm.study.study import Study
from mnist_ddm.systems.registry import load_system
from mnist_ddm.terminal.options import installed_options

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
BUILD = ROOT / "build" / "results"
"""Where commands put what becomes a folder of results when it is whole."""
TABLE = RESULTS / "results.toml"
CODECHECK = ROOT / "codecheck.yml"
PICTURES = ROOT / "docs" / "pictures" / "pictures.toml"


@dataclass(frozen=True)
class Entry:
    """A folder of results and what makes it.

    Attributes:
        name: of the folder.
        command: that makes it.
        paper: what of the paper it is about.
        note: how it was recorded, where the command alone does not tell.
        before: commands whose results that one reads.
        stale: whether it was recorded by older code and is to be made again.
    """

    name: str
    command: str
    paper: str
    note: str = ""
    before: tuple[str, ...] = ()
    stale: bool = False

    @property
    def folder(self) -> Path:
        """Where it is."""
        return RESULTS / self.name

    @property
    def is_run(self) -> bool:
        """Whether a command of the package writes it, with a manifest."""
        return self.command.startswith("mnist-ddm ")

    @property
    def schema(self) -> int | None:
        """That of its manifest."""
        return read_json(self.folder / MANIFEST).get("schema") if (self.folder / MANIFEST).exists() else None


def entries() -> list[Entry]:
    """All folders, in the order in which they are made."""
    told = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return [Entry(name, **{**what, "before": tuple(what.get("before", ()))}) for name, what in told.items()]


def asked_by(command: str) -> tuple[str, dict[str, Any]]:
    """The name of a command of the package and what its words ask for.

    Raises:
        click.UsageError: if it takes no such words.
    """
    name, *words = shlex.split(command)[1:]
    top = click.Context(cli, info_name="mnist-ddm", **cli.context_settings)  # whose settings commands remember
    return name, cli.get_command(top, name).make_context(name, words, parent=top).params


def studies_of(entry: Entry, empty: RecordingStore) -> list[Study]:
    """What the command of a run asks, of each of its trainings.

    Args:
        entry: of the run.
        empty: where nothing is recorded: of a model that is not there yet, whose place the one that ships takes.

    Raises:
        InputError: if a system cannot be loaded.
    """
    name, asked = asked_by(entry.command)
    of_system = {key: asked[key] for key in ("device", *(option.name for option in installed_options()))}
    trainings = trainings_of(asked["system"], of_system) if name == "reproduce" else [of_system]
    studies = []
    for number, options in enumerate(trainings):
        there = {key: value for key, value in options.items() if not _is_to_be_made(value)}
        pool, store = load_system(asked["system"], **there), empty if len(there) < len(options) else None
        if name == "reproduce":
            claims = tuple(map(claim_named, asked["only"])) or tuple(ledger().claims.values())
            more = {"scale": asked["scale"], "seed": asked["seed"] + number}
            studies.append(Study(pool, analyses_of(claims), store=store, **more))
        else:
            choices = {key: asked[key] for key in ("n", "steps", "seed", "solver", "distance", "features")}
            names = chosen(asked["analyses"], asked["groups"], asked["without"])
            studies.append(Study(pool, names, store=store, **choices, routings=chosen_routings(asked["routings"])))
    return studies


def _is_to_be_made(value: object) -> bool:
    """Whether an option names what a command before makes, and has not yet."""
    place = ROOT / str(value)
    return isinstance(value, str | Path) and (ROOT / "build") in place.parents and not place.exists()


def listed(commands: tuple[str, ...]) -> str:
    """Commands in one line of Markdown."""
    return ", ".join(f"`{command}`" for command in commands)
