"""Checkpoints: a folder of safetensors files with a JSON card each, and one card for the system.

`card.json` says what the system is: preset, partition, seed, data. Each trained model `NAME.safetensors` has a card
`NAME.json` with its hash, its recipe and what was measured; it is written last, so its existence means that the model
is finished. Parts that were trained on different machines are joined by copying their files into one folder.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mnist_ddm.errors import InputError
from mnist_ddm.models.presets import preset_named
from mnist_ddm.models.shipped import CARD
from mnist_ddm.storage.files import digest, read_json, read_tensors, sha256, write_json, write_tensors
from mnist_ddm.storage.typed import as_kind

SCHEMA = 1
_FOR_PEOPLE = ("data", "names", "place")
"""What of a card may be said anew of the same system."""
_MOST = 60_000
"""Experts or classes; more would be a mistake in a card."""


@dataclass(frozen=True)
class SystemCard:
    """What all models of one system have in common.

    Attributes:
        preset: name of the sizes.
        partition: how the training data were divided: `digit`, `random` or `kmeans`.
        n_experts: K.
        classes: classes of the data.
        seed: of the whole training.
        data: name of the data, for people; the digest alone says what they are.
        data_digest: SHA-256 of the data's content.
        labels: what the data call each class, where they do not call them 0, 1, ... (`--relabel`).
        names: what people call each class; empty if nobody said.
        place: where the data were, as seen from the folder of the card; empty for data that ship.
        linear: whether experts and monolith have a linear start (`models/unet.py`).
    """

    preset: str
    partition: str
    n_experts: int
    classes: int
    seed: int
    data: str
    data_digest: str
    labels: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    place: str = ""
    linear: bool = True


@dataclass(frozen=True)
class PartCard:
    """What one trained model is.

    Attributes:
        part: its name, such as `expert-3` or `router`.
        system: digest of the system card that it belongs to.
        sha256: of its safetensors file.
        recipe: how it was trained.
        figures: what was measured while training.
        versions: of the software; of what was changed while it was trained, all versions in their order.
        command: that trained it.
        taken_from: the name of the system that it was trained for, if it was copied from there.
    """

    part: str
    system: str
    sha256: str
    recipe: dict[str, Any]
    figures: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    command: str = ""
    taken_from: str = ""

    def __post_init__(self) -> None:
        wrong = [name for name in ("steps", "batch") if not isinstance(self.recipe.get(name), int)]
        if wrong:
            raise ValueError(f"the recipe says no {wrong[0]}")


Card = TypeVar("Card", SystemCard, PartCard)


def part_names(n_experts: int) -> list[str]:
    """The names of all models of a system, experts first."""
    return [f"expert-{k}" for k in range(n_experts)] + ["router", "monolith", "classifier"]


def part_kind(name: str) -> str:
    """`expert-3` is an `expert`; the others are their own kind."""
    return name.split("-")[0]


def kept_file(folder: Path, part: str, step: int) -> Path:
    """Where the averaged weights of a part after some steps of training are kept (`--keep-every`)."""
    return folder / "kept" / f"{part}-step-{step:06d}.safetensors"


def kept_steps(folder: Path, part: str) -> list[int]:
    """The steps at which weights of a part were kept, rising."""
    steps = [file.stem.rsplit("-", 1)[1] for file in (folder / "kept").glob(f"{part}-step-*.safetensors")]
    return sorted(int(step) for step in steps if step.isascii() and step.isdigit())


def system_identity(card: SystemCard) -> dict[str, Any]:
    """What makes two systems the same one: not what data are called or where they lie, which differs by machine.

    What goes without saying is left out, so that a card of before it could be said is the same.
    """
    return {name: value for name, value in _said(card).items() if name not in _FOR_PEOPLE}


def system_digest(card: SystemCard) -> str:
    """What the cards of a system's parts must carry."""
    return digest(system_identity(card))


def open_system(folder: Path, card: SystemCard) -> None:
    """Make ``folder`` the home of a system, or check that it is already this one's.

    Raises:
        InputError: if the folder holds another system, or files that are none of ours.
    """
    path = folder / CARD
    if path.exists():
        there = read_system_card(folder)
        if system_identity(card) != system_identity(there):
            mine, other = asdict(card), asdict(there)
            keys = [key for key in mine if key not in _FOR_PEOPLE and mine[key] != other[key]]
            differs = ", ".join(f"{k}: {other[k]!r} there, {mine[k]!r} asked" for k in keys)
            raise InputError(f"{folder} holds another run ({differs}); choose another --out")
        stored = read_json(path)
        if (new := stored | {name: value for name in _FOR_PEOPLE if (value := _plain(card)[name])}) != stored:
            write_json(path, new)
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not an empty folder and holds no {CARD}; choose another --out")
    write_json(path, {"schema": SCHEMA, **{name: value for name, value in _plain(card).items() if name in _said(card)}})


def _said(card: SystemCard) -> dict[str, Any]:
    """What a card says that does not go without saying."""
    return {f.name: getattr(card, f.name) for f in fields(card) if getattr(card, f.name) != f.default}


def _plain(card: SystemCard) -> dict[str, Any]:
    """A card as JSON has it."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(card).items()}


def read_system_card(folder: Path) -> SystemCard:
    """Read `card.json`.

    Raises:
        InputError: if it is missing or is not a card of this schema.
    """
    if not (folder / CARD).exists():
        raise InputError(f"{folder} is not a checkpoint: it has no {CARD}")
    card = _read_card(folder / CARD, SystemCard, "train again")
    if not (1 <= card.n_experts <= _MOST and 1 <= card.classes <= _MOST and card.seed >= 0):
        told = f"{card.n_experts} experts, {card.classes} classes, seed {card.seed}"
        raise InputError(f"{folder / CARD} is not a card of schema {SCHEMA}; restore it or train again ({told})")
    if card.names and len(card.names) != card.classes:
        raise InputError(f"{folder / CARD} names {len(card.names)} of {card.classes} classes; say --labels in training")
    return card


def read_figures(folder: Path) -> dict[str, Any]:
    """The measured figures on a system's card; empty if none were measured yet."""
    figures = read_json(folder / CARD).get("figures", {})
    if not isinstance(figures, dict):
        raise InputError(f"the figures in {folder / CARD} are no JSON object; measure them again (mnist-ddm measure)")
    return figures


def read_note(folder: Path) -> str:
    """What `card.json` says of a training beside its settings; empty if nothing.

    Raises:
        InputError: if it is no text.
    """
    note = read_json(folder / CARD).get("note", "")
    if not isinstance(note, str):
        raise InputError(f"the note in {folder / CARD} is no text; restore or delete it")
    return note


def write_figures(folder: Path, figures: dict[str, Any]) -> None:
    """Put measured figures on a system's card."""
    write_json(folder / CARD, {**read_json(folder / CARD), "figures": figures})


def is_finished(folder: Path, part: str) -> bool:
    """Whether a part's card exists."""
    return (folder / f"{part}.json").exists()


def save_part(folder: Path, model: nn.Module, card: PartCard) -> None:
    """Write a model's file, then its card with the file's hash."""
    path = folder / f"{card.part}.safetensors"
    write_tensors(path, model.state_dict())
    write_json(folder / f"{card.part}.json", {"schema": SCHEMA, **asdict(card), "sha256": sha256(path)})


def share_part(source: Path, part: str, folder: Path, system: SystemCard) -> None:
    """Take a model that does not depend on the partition from another system of the same data, preset and seed.

    Raises:
        InputError: if the other system differs in more than the partition, or its model is missing or spoiled.
    """
    other = read_system_card(source)
    if system_digest(replace(other, partition=system.partition)) != system_digest(system):
        raise InputError(f"{source} differs from {folder} in more than the partition; train the {part} instead")
    model = load_part(source, part, other)
    card = read_part_card(source, part)
    name = card.taken_from or source.resolve().name
    save_part(folder, model, replace(card, system=system_digest(system), taken_from=name))


def read_part_card(folder: Path, part: str) -> PartCard:
    """Read a part's card.

    Raises:
        InputError: if it is missing or is not a card.
    """
    path = folder / f"{part}.json"
    if not path.exists():
        raise InputError(f"the checkpoint {folder} has no {path.name}; train that part (mnist-ddm train --help)")
    return _read_card(path, PartCard, "train that part again")


def _read_card(path: Path, kind: type[Card], instead: str) -> Card:
    stated = read_json(path)
    what = f"a card of schema {SCHEMA}; restore it or {instead}"
    if stated.get("schema") != SCHEMA:
        raise InputError(f"{path} is not {what}")
    return as_kind(stated, kind, str(path), what)


def load_part(folder: Path, part: str, system: SystemCard, device: str | torch.device = "cpu") -> nn.Module:
    """Load one model, checked against its card.

    Args:
        folder: of the checkpoint.
        part: such as `expert-3`.
        system: the card that the part must belong to.
        device: where to put it.

    Raises:
        InputError: if a file is missing, truncated or tampered with, or belongs to another system or preset.
    """
    card, path = read_part_card(folder, part), folder / f"{part}.safetensors"
    if card.system != system_digest(system):
        raise InputError(f"{path.with_suffix('.json')} belongs to another system than {folder / CARD}; do not mix them")
    if not path.exists():
        raise InputError(f"the checkpoint {folder} has no {path.name}; restore it or train that part again")
    if sha256(path) != card.sha256:
        raise InputError(f"{path} is truncated or was changed: its hash is not that of its card; restore it")
    return load_weights(path, part_kind(part), system, device)


def load_weights(path: Path, kind: str, system: SystemCard, device: str | torch.device) -> nn.Module:
    """A network of the given kind with the weights of a safetensors file, in evaluation mode.

    Raises:
        InputError: if the file's tensors are not those of the system's preset.
    """
    preset = preset_named(system.preset).started(linear=system.linear)
    tensors, _ = read_tensors(path, finite=True)
    with torch.random.fork_rng(devices=[]):
        model = preset.build(kind, system.n_experts, system.classes)
    if _forms(model.state_dict()) != _forms(tensors):
        raise InputError(f"{path} does not fit the preset {preset.name!r}; was it trained with another one?")
    model.load_state_dict(tensors)
    return model.to(device).eval().requires_grad_(False)


def _forms(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Shapes and types, of which torch would convert other ones."""
    return {name: (value.shape, value.dtype) for name, value in tensors.items()}
