"""The model card of a small Paris: see `mnist_ddm.models.model_card`."""

from pathlib import Path
from typing import Any, final

import msgspec

from mnist_ddm.data import MNIST_DIGEST
from mnist_ddm.models.model_card import MNIST_ON_THE_HUB, MODEL_CARD, ModelCard
from mnist_ddm.storage.files import read_json, write_text
from mnist_ddm.storage.typed import as_kind
from mnist_ddm.tables.table import Column, Row, Schema, Table
from paris_ddm.folder import CARD

_PARTS = (
    Column("part", "part", "key"),
    Column("rows", "rows", "note"),
    Column("steps", "steps", "note"),
    Column("batch", "batch", "note"),
    Column("seconds", "seconds", "note"),
)
_KINDS = {"vae": "autoencoder", "monolith": "expert"}
"""Parts whose recipe stands under another name; the monolith has the steps of all experts together."""


@final
class _Plan(msgspec.Struct, frozen=True):
    preset: str
    seed: int
    data: str
    sizes: dict[str, Any]


@final
class _Card(msgspec.Struct, frozen=True):
    plan: _Plan
    trained: dict[str, dict[str, Any]]
    clusters: list[str] = []
    figures: dict[str, Any] = {}


def write_model_card(folder: Path) -> Path:
    """Write the model card of a small Paris.

    Raises:
        InputError: if its `card.json` is missing or spoiled.
    """
    path = folder / MODEL_CARD
    write_text(path, paris_model_card(folder).text())
    return path


def paris_model_card(folder: Path) -> ModelCard:
    """What the model card of a small Paris says.

    Raises:
        InputError: if its `card.json` is missing or spoiled.
    """
    path = folder / CARD
    card = as_kind(read_json(path), _Card, str(path), "a card; restore it or train again")
    experts = sum(name.startswith("expert-") for name in card.trained)
    name = folder.resolve().name
    return ModelCard(
        name=name,
        task="text-to-image",
        summary=(
            f"A small model in the format of Paris: {experts} text-conditioned transformers on the latents of a VAE, "
            "each trained on one cluster of the data alone, a router, and a monolith with their whole budget; with the "
            f"towers for text and images that it reads and clusters by. Preset `{card.plan.preset}`, seed "
            f"{card.plan.seed}.",
            "Trained on digits in one of eight inks on one of eight grounds, 32 x 32 RGB, with captions such as "
            "'an orange three on a purple ground'; `mnist-ddm paris data` writes them.",
            "\n".join(["What the clusters hold:", "", *(f"- {line}" for line in card.clusters)]),
        ),
        usage=f"mnist-ddm sample --system paris --checkpoint {name} --routing top2 --n 25 --out grid.png",
        limits=(
            "text to image in the world: it knows the captions of its own training and nothing else",
            "comparing its Frechet distances with those of others: they are in the features of its own classifier",
        ),
        parts=Table(Schema("parts", _PARTS), "AdamW, one-cycle learning rate, averaged weights", _rows(card, experts)),
        figures=card.figures,
        trained_on=(MNIST_ON_THE_HUB,) if card.plan.data == MNIST_DIGEST else (),
        measured_on=("coloured-digits", "coloured digits, held out"),
        tags=("text-to-image",),
    )


def _rows(card: _Card, experts: int) -> tuple[Row, ...]:
    rows: list[Row] = []
    for part, told in card.trained.items():
        kind = _KINDS.get(part, part.split("-")[0])
        recipe = card.plan.sizes.get(kind, {}).get("recipe", {})
        steps = recipe.get("steps", 0) * (experts if part == "monolith" else 1)
        given = {"rows": told.get("rows"), "seconds": told.get("seconds")}
        rows.append({"part": part, **given, "steps": steps or None, "batch": recipe.get("batch")})
    return tuple(rows)
