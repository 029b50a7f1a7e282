"""The Paris model as an expert pool: latents, captions, guidance, and a few experts in memory at a time."""

import copy
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from mnist_ddm.compute.batches import MULTIPLE, evaluate_in_batches
from mnist_ddm.core.condition import Condition
from mnist_ddm.core.flow import expand_time
from mnist_ddm.core.noise import Purpose, categorical, sample_numbers, uniforms
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.errors import InputError, unknown
from mnist_ddm.storage.files import digest
from paris_ddm.captions import read_captions
from paris_ddm.config import Details
from paris_ddm.folder import (
    CAPTIONS,
    CLUSTERS,
    HELD_OUT_CAPTIONS,
    MONOLITH,
    PLAN,
    REAL,
    ROUTER,
    TEXT_ENCODER,
    TOKENIZER,
    open_folder,
)
from paris_ddm.hashes import FolderHashes
from paris_ddm.images import ImageCodec
from paris_ddm.measures import ParisMeasures
from paris_ddm.networks import DTYPES, GuidedExpert, Networks
from paris_ddm.precision import evaluate
from paris_ddm.text import TextEncoder

GUIDANCE = 4.0
"""The paper's scale of classifier-free guidance."""
STRESSED_GUIDANCE = 7.5
"""The paper's harder regime (Table 14)."""
OWN_CAPTIONS = Path(__file__).parent / "data"
"""Captions that ship with the package, for a model whose folder has none."""
GUIDES = ("expert", "blend")
"""What guidance leads away from: each expert from its own unconditional velocity, or all from the experts' blend."""
_OTHER_CAPTIONS = "captions=held-out"
_TEXT_BYTES_AT_ONCE = 256 << 20
"""Keys and values that a batch may gather; larger batches are divided."""
_LARGEST = 128


@dataclass(frozen=True)
class ParisSettings:
    """What decides a Paris pool.

    Attributes:
        path: the folder of the model.
        data: a folder with what only measurements need; see `ParisFolder`.
        captions: a file of captions, one for each sample in turn; ``None`` for `captions.txt` of the folder.
        guidance: scale of classifier-free guidance, at least 1.
        guide: what it leads away from, of `GUIDES`; see `ParisPool.velocity`.
        dtype: of the experts and the router, `float32` or `bfloat16`.
        device: `cpu`, `cuda`, `mps`.
        details: what public sources do not settle.
        shipped: whether this is the small model that ships.

    Raises:
        InputError: if a value is out of range.
    """

    path: Path
    data: Path | None = None
    captions: Path | None = None
    guidance: float = GUIDANCE
    guide: str = GUIDES[0]
    dtype: str = "float32"
    device: str = "cpu"
    details: Details = field(default_factory=Details)
    shipped: bool = False

    def __post_init__(self) -> None:
        check_guidance(self.guidance)
        if self.guide not in GUIDES:
            raise unknown("guide", self.guide, list(GUIDES))
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, list(DTYPES))


def check_guidance(scale: float) -> None:
    """Refuse a scale of guidance that is no number of at least 1.

    Raises:
        InputError: if it is none.
    """
    if not 1 <= scale < math.inf:
        raise InputError(f"the scale of guidance must be a number of at least 1 (1 is none), not {scale}")


@final
class ParisPool(ExpertPool):
    """The system of one folder. Parts are loaded when they are first needed; workers load them for themselves."""

    def __init__(self, settings: ParisSettings) -> None:
        """Open a folder; all parts of the release must be there, and are read later.

        Raises:
            InputError: if a part is missing or misconfigured.
        """
        self.settings = settings
        self._device = torch.device(settings.device)
        self._folder = open_folder(settings.path, settings.data)
        self._guidance = settings.guidance
        self._blended: tuple[Tensor, Tensor, Tensor] | None = None
        self._captions = read_captions(settings.captions or self._folder.find(CAPTIONS) or OWN_CAPTIONS / CAPTIONS)
        self._texts = TextEncoder(self._folder, self._device, settings.details)
        self._networks = Networks(self._folder, self._texts, self._device, DTYPES[settings.dtype], settings.details)
        self._codec = ImageCodec(self._folder, self._device)
        self._hashes = FolderHashes(self._folder)
        self._measures = ParisMeasures(self._folder, self._hashes, self._codec, self._device)

    def __copy__(self) -> "ParisPool":
        """A pool that shares all that is loaded."""
        copied = object.__new__(ParisPool)
        copied.__dict__.update(self.__dict__)
        return copied

    def __reduce__(self) -> tuple[Callable[..., "ParisPool"], tuple[object, ...]]:
        return _again, (self.settings, self._guidance, self._captions, self.noise_scale)

    @property
    def name(self) -> str:
        return "paris"

    @property
    def description(self) -> str:
        if self.settings.shipped:
            return f"{self.settings.path.name}, the small model that ships, not the weights of Paris"
        return f"the weights in {self.settings.path}"

    @property
    def in_paper(self) -> str:
        """A small model that was trained here knows other data than the release."""
        return "" if (self.settings.path / PLAN).exists() else "paris"

    @property
    def sources(self) -> Mapping[str, str]:
        """SHA-256 of every file that decides a result; of a folder, of all its files together."""
        return self._hashes.all

    @cached_property
    def _weights(self) -> dict[str, str]:
        """Hashes of files and details alone; guidance and captions come on top."""
        of = self._hashes.of
        common = [*of(TEXT_ENCODER, TOKENIZER), self.settings.details.identity, self.settings.dtype]
        routed = of(*(f"expert_{k}" for k in range(self.n_experts)), ROUTER, CLUSTERS, REAL)
        models = {"experts": digest([*routed, common])}
        return models | ({"monolith": digest([*of(MONOLITH), common])} if self.has_monolith else {})

    @property
    def fingerprints(self) -> Mapping[str, str]:
        condition = digest([self._guidance, *self._captions])
        asked = {name: digest([weights, condition]) for name, weights in self._weights.items()}
        if self.settings.guide != GUIDES[0]:
            asked["experts"] = digest([asked["experts"], self.settings.guide])
        return {**asked, "metrics": self._measures.fingerprint}

    @property
    def n_experts(self) -> int:
        return self._folder.root.num_experts

    @property
    def state_shape(self) -> tuple[int, ...]:
        return self._folder.state_shape

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def prior(self) -> Tensor:
        """The shares of the clusters; equal where the folder does not say them."""
        clusters = self._measures.clusters
        return super().prior if clusters is None else clusters.prior

    def velocity(self, expert: int, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        r"""The guided velocity :math:`u + s (v_k(x, c) - u)` of one expert.

        By default u is the expert's own velocity without a caption, :math:`v_k(x, \varnothing)`. With the setting
        ``guide="blend"`` it is what all experts say without one, :math:`\sum_j p(j \mid x) v_j(x, \varnothing)`, by the
        router's posterior. Blended with weights :math:`p(k \mid x, c)` that is guidance of the blend, each part
        with its own posterior; with the weights :math:`p(k \mid x)` for both the two are the same field.
        """
        if self.settings.guide == GUIDES[0] or condition.guidance == 1:
            return self._guided(self._networks.expert(expert), x, t, condition)
        conditional = self._guided(self._networks.expert(expert), x, t, replace(condition, guidance=1.0))
        unconditional = self._blend(x, t, Condition(condition.cluster))
        return unconditional + condition.guidance * (conditional - unconditional)

    @property
    def shared_evaluations(self) -> int:
        """With ``guide="blend"`` every state asks all experts what they say without a caption."""
        return 0 if self.settings.guide == GUIDES[0] or self._guidance == 1 else self.n_experts

    def _blend(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The experts' velocities without captions, joined by the router; kept for the next expert's same states."""
        if self._blended is not None and not x.requires_grad:
            states, times, blend = self._blended
            if torch.equal(states, x) and torch.equal(times, t):
                return blend
        weights = self.router_logits(x, t).softmax(dim=1)
        parts = (
            expand_time(weights[:, k], x) * self._guided(self._networks.expert(k), x, t, condition)
            for k in range(self.n_experts)
        )
        blend = functools.reduce(torch.add, parts)
        self._blended = None if x.requires_grad else (x.clone(), t.clone(), blend)
        return blend

    def _guided(self, expert: GuidedExpert, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        if len(x) == 0:
            return x
        guidance = condition.guidance
        table, rows = expert.table(condition.captions or [None] * len(x), guided=guidance != 1)
        multiple = self._multiple(expert.network.config.patch_size)
        fitting = _TEXT_BYTES_AT_ONCE // (2 * table[0].nbytes) // multiple * multiple
        return evaluate_in_batches(
            lambda x, t, rows: expert.velocity(x, t, rows, table, guidance),
            *(x, t, rows),
            multiple=multiple,
            largest=min(_LARGEST, max(multiple, fitting)),
        )

    def _multiple(self, patch_size: int) -> int:
        """Samples whose tokens are enough rows for one kernel; of larger models a single sample has enough."""
        tokens = (self._folder.root.image_size // patch_size) ** 2
        return max(1, MULTIPLE * MULTIPLE // 2 // tokens)

    def router_logits(self, x: Tensor, t: Tensor) -> Tensor:
        router = self._networks.router
        multiple = self._multiple(router.config.patch_size)
        return evaluate_in_batches(lambda x, t: evaluate(router, x, t), x, t, multiple=multiple)

    @property
    def has_monolith(self) -> bool:
        return self._folder.find(MONOLITH) is not None

    def monolith_velocity(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self._guided(self._networks.monolith, x, t, condition)

    def condition(self, seeds: Tensor) -> Condition:
        """The captions in turn, the scale of guidance, and a cluster drawn from the caption's own posterior."""
        captions = tuple(self._captions[int(i)] for i in sample_numbers(seeds) % len(self._captions))
        cluster = categorical(self._caption_posteriors(captions), uniforms(seeds, Purpose.CLUSTER))
        return Condition(cluster.to(self._device), captions, self._guidance)

    @property
    def knows_conditions(self) -> bool:
        clusters = self._measures.clusters
        return clusters is not None and clusters.text_bias.numel() > 0

    def condition_posterior(self, condition: Condition) -> Tensor:
        """By a linear head on the text encoder, fitted to the captions of the clusters' images (`paris cluster`)."""
        if not self.knows_conditions:
            return super().condition_posterior(condition)
        return self._caption_posteriors(condition.captions)

    def _caption_posteriors(self, captions: tuple[str, ...]) -> Tensor:
        clusters = self._measures.clusters
        if clusters is None or clusters.text_bias.numel() == 0:
            return self.prior
        return clusters.of_caption(self.pooled_texts(captions))

    def pooled_texts(self, captions: Sequence[str]) -> Tensor:
        """One vector of the text encoder for each caption, shape ``(B, E)``."""
        return torch.stack([self._texts.pooled(caption) for caption in captions])

    @property
    def caption_length(self) -> int:
        """Tokens that the text encoder reads of a caption."""
        return self._texts.length

    @property
    def cut_captions(self) -> list[str]:
        """Those of the captions of samples that are longer than that."""
        return self._texts.cut(self._captions)

    def cut_texts(self, captions: Iterable[str]) -> list[str]:
        """Those of some captions that are longer than that."""
        return self._texts.cut(captions)

    def decode(self, x: Tensor) -> Tensor:
        return self._codec.decode(x)

    def encode(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)`` in ``[0, 1]`` as states ``(B, *state_shape)``."""
        return self._codec.encode(images.to(self._device))

    @property
    def image_side(self) -> int:
        """Pixels along a side of a decoded image."""
        return self._folder.root.image_size * self._codec.shrinkage

    @property
    def measures(self) -> ParisMeasures:
        return self._measures

    @property
    def shifts(self) -> tuple[str, ...]:
        return (_OTHER_CAPTIONS,)

    @property
    def stress(self) -> str:
        return f"guidance={STRESSED_GUIDANCE:g}"

    def variant(self, name: str) -> ExpertPool:
        """With other captions (`captions=held-out`), another guidance (`guidance=7.5`), or what every system has.

        Raises:
            InputError: if there is no such variant.
        """
        kind, _, value = name.partition("=")
        changed = copy.copy(self)
        if name == _OTHER_CAPTIONS:
            changed._captions = read_captions(self._held_out_captions())
        elif kind == "guidance":
            try:
                scale = float(value)
            except ValueError:
                raise unknown("variant of the system 'paris'", name, (*self.shifts, self.stress)) from None
            check_guidance(scale)
            changed._guidance = scale
        else:
            return super().variant(name)
        return changed

    def _held_out_captions(self) -> Path:
        if self._folder.find(CAPTIONS) is None:
            return OWN_CAPTIONS / HELD_OUT_CAPTIONS
        return self._folder.need(HELD_OUT_CAPTIONS, f"write one beside {CAPTIONS}")


def _again(settings: ParisSettings, guidance: float, captions: tuple[str, ...], noise_scale: float) -> ParisPool:
    """The same pool in another process, with nothing loaded yet."""
    pool = ParisPool(settings)
    pool._guidance, pool._captions, pool.noise_scale = guidance, captions, noise_scale
    return pool
