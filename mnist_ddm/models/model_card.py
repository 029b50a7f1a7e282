"""The model card of a checkpoint: a `README.md` with the metadata that model hubs read, made from its cards.

The metadata is the YAML block of Hugging Face's cards (https://huggingface.co/docs/hub/model-cards); each value is
written as JSON, which YAML contains. Every number is one of `card.json` or of the card of a part.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnist_ddm.data import MNIST_DIGEST, title_of
from mnist_ddm.models.checkpoint import (
    SystemCard,
    is_finished,
    part_names,
    read_figures,
    read_note,
    read_part_card,
    read_system_card,
)
from mnist_ddm.models.presets import preset_named
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.storage.files import write_text
from mnist_ddm.tables.files import from_json
from mnist_ddm.tables.markdown import table_markdown
from mnist_ddm.tables.table import Column, Row, Schema, Table
from mnist_ddm.tables.terminal import shown_value

MODEL_CARD = "README.md"
MNIST_ON_THE_HUB = "ylecun/mnist"
_PARTS = (
    Column("part", "part", "key"),
    Column("images", "images", "note"),
    Column("steps", "steps", "note"),
    Column("batch", "batch", "note"),
    Column("seconds", "seconds", "note"),
    Column("first_loss", "first loss", "measure"),
    Column("last_loss", "last loss", "measure"),
    Column("accuracy", "accuracy", "measure"),
)


@dataclass(frozen=True)
class ModelCard:
    """What a model card says.

    Attributes:
        name: of the model.
        task: in the words of model hubs.
        summary: what it is, in paragraphs.
        usage: a command that uses it.
        limits: what it is not for.
        parts: what was trained, and how.
        figures: the measured figures of its `card.json`.
        trained_on: the data sets by their names on the hub; empty for those that it does not have.
        measured_on: type and name of the held-out data that the figures are of; ``None`` for data of one's own.
        tags: to be found by, beside those of every model of this package.
        licence: as hubs spell it; empty where nobody was asked, as of data of one's own.
    """

    name: str
    task: str
    summary: Sequence[str]
    usage: str
    limits: Sequence[str]
    parts: Table
    figures: Mapping[str, Any]
    trained_on: Sequence[str] = ()
    measured_on: tuple[str, str] | None = None
    tags: Sequence[str] = field(default=())
    licence: str = "mit"

    def text(self) -> str:
        """The whole file."""
        tables = [from_json(value, f"the table {key!r}") for key, value in self.figures.items() if _is_table(value)]
        measured = [_told(key, value) for key, value in self.figures.items() if not _is_table(value)]
        sections = {
            "Use": f"```sh\n{self.usage}\n```",
            "Not for": "\n".join(f"- {limit}" for limit in self.limits),
            "Training": table_markdown(self.parts),
            "Measured": "\n\n".join(["\n".join(measured), *map(table_markdown, tables)]),
        }
        body = [f"# {self.name}", *self.summary]
        body += [f"## {title}\n\n{text}" for title, text in sections.items() if text.strip()]
        body += ["Made from `card.json` and the cards of the parts; what trains and what measures writes it again."]
        return f"---\n{self._metadata(tables)}---\n\n" + "\n\n".join(body) + "\n"

    def _metadata(self, tables: Sequence[Table]) -> str:
        told: dict[str, Any] = {
            **({"license": self.licence} if self.licence else {}),
            "library_name": "mnist-ddm",
            "pipeline_tag": self.task,
            "tags": ["diffusion", "flow-matching", "mixture-of-experts", "decentralized-diffusion", *self.tags],
            **({"datasets": list(self.trained_on)} if self.trained_on else {}),
        }
        if results := self._results(tables):
            told["model-index"] = [{"name": self.name, "results": results}]
        return "".join(f"{key}: {json.dumps(value, allow_nan=False)}\n" for key, value in told.items())

    def _results(self, tables: Sequence[Table]) -> list[dict[str, Any]]:
        """The Frechet distance of each routing, in the form in which model hubs compare results."""
        quality = next((table for table in tables if table.name == "quality"), None)
        if quality is None or self.measured_on is None:
            return []
        kind, name = self.measured_on
        return [
            {
                "task": {"type": self.task},
                "dataset": {"type": kind, "name": name},
                "metrics": [{"type": "fid", "name": f"FID, {row['routing']}, n = {row['n']}", "value": _number(row)}],
            }
            for row in quality.rows
        ]


def write_model_card(folder: Path) -> Path:
    """Write the model card of a checkpoint of the `mnist` system, of as many parts as are finished.

    Raises:
        InputError: if the folder is no checkpoint, or a card is spoiled.
    """
    path = folder / MODEL_CARD
    write_text(path, mnist_model_card(folder).text())
    return path


def mnist_model_card(folder: Path) -> ModelCard:
    """What the model card of a checkpoint of the `mnist` system says.

    Raises:
        InputError: if the folder is no checkpoint, or a card is spoiled.
    """
    card = read_system_card(folder)
    preset, data = preset_named(card.preset).started(linear=card.linear), title_of(card.data, card.data_digest)
    name, of_mnist = folder.resolve().name, card.data_digest == MNIST_DIGEST
    ways = {"digit": "one for each class", "random": "on random parts of equal size", "kmeans": "one for each cluster"}
    start = "start from the exact velocity of Gaussian data" if card.linear else "are plain UNets"
    return ModelCard(
        name=name,
        task="unconditional-image-generation",
        summary=(
            f"A decentralized diffusion model of {data}: {card.n_experts} experts that were trained apart "
            f"({ways.get(card.partition, card.partition)}), a router that joins them while they sample, a monolith "
            f"with their whole budget, and the classifier of the metrics. Seed {card.seed}.",
            *([note] if (note := read_note(folder)) else []),
            *([f"Classes: {', '.join(classes)}."] if (classes := _classes(card)) else []),
            f"Preset `{card.preset}` ({preset.purpose}). Experts and monolith: {preset.size('expert')} an evaluation; "
            f"they {start}. Router: {preset.size('router')}. They predict the velocity of the path "
            "x_t = (1 - t) x_0 + t eps in pixels scaled to [-1, 1].",
        ),
        usage=f"mnist-ddm sample --checkpoint {name} --routing top2 --n 25 --out grid.png",
        limits=(
            "images in the world: it draws 28 x 28 grey pictures, for teaching and for measuring routings",
            "comparing its Frechet distances with those of others: they are in the features of its own classifier",
        ),
        parts=_parts(folder, part_names(card.n_experts)),
        figures=read_figures(folder),
        trained_on=(MNIST_ON_THE_HUB,) if of_mnist else (),
        measured_on=(MNIST_ON_THE_HUB, "MNIST, test images") if of_mnist else None,
        licence="mit" if of_mnist else "",
    )


def _classes(card: SystemCard) -> tuple[str, ...]:
    """What the classes are called, where that is not just their numbers."""
    return card.names or tuple(map(str, card.labels))


def _parts(folder: Path, names: Sequence[str]) -> Table:
    rows: list[Row] = []
    for name in names:
        if is_finished(folder, name):
            card = read_part_card(folder, name)
            told = {key: card.figures.get(key) for key in ("images", "seconds", "first_loss", "last_loss")}
            accuracy = next((v for k, v in card.figures.items() if k.endswith("accuracy")), None)
            recipe = {key: card.recipe[key] for key in ("steps", "batch")}
            of = f" (trained for {card.taken_from})" if card.taken_from else ""
            rows.append({"part": name + of, **told, **recipe, "accuracy": accuracy})
        else:
            rows.append({"part": f"{name} (not trained)"} | {c.key: None for c in _PARTS[1:]})
    return Table(Schema("parts", _PARTS), "AdamW, one-cycle learning rate, averaged weights", tuple(rows))


def _is_table(value: object) -> bool:
    return isinstance(value, dict) and "rows" in value


def _told(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"- {key}: {', '.join(f'{k}: {shown_value(v)}' for k, v in value.items())}"
    return f"- {key}: `{value}`" if key == "command" else f"- {key}: {shown_value(value)}"


def _number(row: Row) -> object:
    fid = row["fid"]
    return fid.value if isinstance(fid, Estimate) else fid
