"""The MNIST system: ten UNet experts, a CNN router, a monolith, and a classifier for the metrics.

States are 1 x 28 x 28 pixels in ``[-1, 1]``. Everything is read from a checkpoint folder; the data are needed only for
prior, centroids and real states.
"""

import copy
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from mnist_ddm.compute.batches import MULTIPLE
from mnist_ddm.compute.runner import Runner
from mnist_ddm.core.condition import Condition
from mnist_ddm.core.measures import Measures
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.data import MNIST_DIGEST, SIDE, Images, load_images, title_of, to_image
from mnist_ddm.data.labels import labels_said
from mnist_ddm.errors import InputError, unknown
from mnist_ddm.models.checkpoint import (
    SystemCard,
    is_finished,
    kept_file,
    kept_steps,
    load_part,
    load_weights,
    read_part_card,
    read_system_card,
)
from mnist_ddm.models.classifier import DigitClassifier
from mnist_ddm.models.shipped import checkpoints_folder
from mnist_ddm.storage.files import digest, sha256
from mnist_ddm.systems.mnist_measures import MnistMeasures, Said

SHIPPED = "mnist-classroom"
_STAGE = "stage"
_DIVIDED = {
    "digit": "an expert for each class",
    "random": "experts of random parts",
    "kmeans": "experts of k-means clusters",
}


@cache
def _stage(files: tuple[Path, ...], card: SystemCard, device: torch.device) -> tuple[list[nn.Module], str]:
    """The experts kept in some files and a hash of those; read once, as every run of a plan asks for them."""
    experts = [load_weights(file, "expert", card, device) for file in files]
    return experts, digest([sha256(file) for file in files])


@final
class MnistPool(ExpertPool):
    """The system of one checkpoint folder."""

    def __init__(
        self,
        checkpoint: Path,
        images: Images,
        device: str | torch.device = "cpu",
        labels: str | None = None,
        judge: Path | None = None,
        precision: str = "float32",
    ) -> None:
        """Load all models of a checkpoint, checked by hash; a missing monolith is tolerated.

        Args:
            checkpoint: the folder.
            images: that it was trained on.
            device: where states lie.
            labels: what the classes are called, see `labels_said`; by default as the card says, or the data.
            judge: the checkpoint whose classifier measures the samples; by default this one's. FIDs of two trainings
                compare only in the features of one classifier.
            precision: in which the networks compute, one of `PRECISIONS`.

        Raises:
            InputError: if the checkpoint is missing, damaged, incomplete, or was trained on other data.
        """
        self.checkpoint = checkpoint
        self.card = read_system_card(checkpoint)
        if self.card.data_digest != images.digest:
            raise InputError(
                f"the checkpoint {checkpoint} was trained on other data than {images.name!r}; "
                "give the same --data-dir as in training"
            )
        self._device = torch.device(device)
        self._run = Runner(self._device, precision)
        k = self.card.n_experts
        self._experts = [load_part(checkpoint, f"expert-{i}", self.card, device) for i in range(k)]
        self._router = load_part(checkpoint, "router", self.card, device)
        judging = self.card if judge is None else self._card_of_judge(judge)
        classifier = load_part(judge or checkpoint, "classifier", judging, device)
        assert isinstance(classifier, DigitClassifier)
        has_monolith = is_finished(checkpoint, "monolith")
        self._monolith = load_part(checkpoint, "monolith", self.card, device) if has_monolith else None
        routed = [f"expert-{i}" for i in range(k)] + ["router"]
        parts = [*routed, "classifier", *(["monolith"] if has_monolith else [])]
        places = {p: (judge or checkpoint) if p == "classifier" else checkpoint for p in parts}
        self._sources = {"data": images.digest} | {p: read_part_card(place, p).sha256 for p, place in places.items()}
        self._fingerprints = {"experts": self._hash(routed, precision), "metrics": self._hash(["classifier"])}
        if has_monolith:
            self._fingerprints["monolith"] = self._hash(["monolith"], precision)
        names = labels_said(labels, self.card.classes) if labels else self.card.names or images.names
        shown = names or tuple(map(str, self.card.labels or range(self.card.classes)))
        said = Said("digits" if self.in_paper else self.title, "digit" if self.in_paper else self.title, shown)
        self._measures = MnistMeasures(images, self.card, classifier, self._fingerprints["metrics"], said, self._device)

    def _card_of_judge(self, judge: Path) -> SystemCard:
        card = read_system_card(judge)
        if (card.data_digest, card.classes) != (self.card.data_digest, self.card.classes):
            raise InputError(f"the classifier of {judge} was trained on other data than {self.checkpoint}")
        return card

    @property
    def name(self) -> str:
        return "mnist"

    @property
    def title(self) -> str:
        return title_of(self.card.data, self.card.data_digest)

    @property
    def in_paper(self) -> str:
        return "mnist" if self.card.data_digest == MNIST_DIGEST else ""

    @property
    def description(self) -> str:
        """The recipe, where it is not the paper's: other data, or another partition of MNIST."""
        divided = _DIVIDED.get(self.card.partition, self.card.partition)
        if self.in_paper:
            return "" if self.card.partition == "digit" else divided
        return f"{self.card.classes} classes, {divided}, by the mnist recipe with the preset {self.card.preset}"

    @property
    def fingerprints(self) -> Mapping[str, str]:
        return self._fingerprints

    @property
    def sources(self) -> Mapping[str, str]:
        return self._sources

    def _hash(self, parts: list[str], precision: str = "float32") -> str:
        usual = precision == "float32"
        return digest([self._sources[part] for part in ("data", *parts)] + ([] if usual else [precision]))

    @property
    def n_experts(self) -> int:
        return self.card.n_experts

    @property
    def state_shape(self) -> tuple[int, ...]:
        return (1, SIDE, SIDE)

    @property
    def device(self) -> torch.device:
        return self._device

    @cached_property
    def _prior(self) -> Tensor:
        sizes = self._measures.training_clusters.bincount(minlength=self.n_experts).double()
        return sizes / sizes.sum()

    @property
    def prior(self) -> Tensor:
        return self._prior

    def velocity(self, expert: int, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self._run(self._experts[expert], x, t, multiple=MULTIPLE // 2)

    def router_logits(self, x: Tensor, t: Tensor) -> Tensor:
        return self._run(self._router, x, t)

    @property
    def has_monolith(self) -> bool:
        return self._monolith is not None

    def monolith_velocity(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        if self._monolith is None:
            raise InputError(f"the checkpoint {self.checkpoint} has no monolith; train it with train-monolith")
        return self._run(self._monolith, x, t, multiple=MULTIPLE // 2)

    def _stage_files(self, step: int) -> list[Path]:
        return [kept_file(self.checkpoint, f"expert-{k}", step) for k in range(self.n_experts)]

    @property
    def error_levels(self) -> tuple[str, ...]:
        """The system as it is, then its experts at ever earlier stages of training, where `--keep-every` kept them."""
        steps = sorted(kept_steps(self.checkpoint, "expert-0"), reverse=True)
        return ("", *(f"{_STAGE}={s}" for s in steps if all(file.exists() for file in self._stage_files(s))))

    def variant(self, name: str) -> ExpertPool:
        """The system with its experts at an earlier stage of training (`stage=400`), or one that every system has.

        Raises:
            InputError: if there is no such variant, or the stage was not kept.
        """
        kind, _, value = name.partition("=")
        if kind != _STAGE:
            return super().variant(name)
        if name not in self.error_levels[1:]:
            kept = self.error_levels[1:] or ("none (train with --keep-every)",)
            raise unknown(f"stage of the checkpoint {self.checkpoint}", name, kept)
        changed = copy.copy(self)
        changed._experts, stage = _stage(tuple(self._stage_files(int(value))), self.card, self._device)
        changed._fingerprints = {**self._fingerprints, "experts": digest([self._fingerprints["experts"], stage])}
        return changed

    def decode(self, x: Tensor) -> Tensor:
        return to_image(x)

    @property
    def measures(self) -> Measures:
        return self._measures


def load(
    device: str = "cpu",
    checkpoint: Path | None = None,
    data_dir: Path | None = None,
    labels: str | None = None,
    judge: Path | None = None,
    precision: str = "float32",
) -> MnistPool:
    """The `mnist` system of the command line; without a checkpoint, the one that ships.

    Args:
        device: `cpu`, `cuda`, `mps`.
        checkpoint: its folder, or the name of a shipped one.
        data_dir: the folder of its data; by default where they were in training.
        labels: what the classes are called; see `labels_said`.
        judge: the checkpoint whose classifier measures the samples; by default the same.
        precision: in which the networks compute, one of `PRECISIONS`.
    """
    place = find_checkpoint(checkpoint)
    card = read_system_card(place)
    images = load_images(data_dir or _data_of(place, card), relabel=bool(card.labels))
    judged = None if judge is None else find_checkpoint(judge)
    return MnistPool(place, images, device, labels, judged, precision)


def _data_of(checkpoint: Path, card: SystemCard) -> Path | None:
    """Where the data of a checkpoint are; ``None`` for the MNIST that ships."""
    if card.data_digest == MNIST_DIGEST:
        return None
    place = checkpoint / card.place
    if not card.place or not place.is_dir():
        there = f" and are not in {place} any more" if card.place else ""
        raise InputError(
            f"the data {card.data!r} of the checkpoint {checkpoint} do not ship{there}; say where they are: --data-dir"
        )
    return place


def find_checkpoint(given: Path | None) -> Path:
    """The folder that a user means: a path, the bare name of a shipped checkpoint, or by default `mnist-classroom`."""
    if given is None:
        return checkpoints_folder() / SHIPPED
    shipped = checkpoints_folder() / given.name
    return shipped if len(given.parts) == 1 and not given.exists() and shipped.is_dir() else given
