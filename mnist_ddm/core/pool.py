"""The expert pool: all that an analysis may ask of a decentralized diffusion system.

A system is anything that implements `ExpertPool`. Analyses, solvers and the command line see nothing else of it, so
they run unchanged on ten small UNets, on eight diffusion transformers, or on Gaussians with closed forms.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mnist_ddm.core.errors import unknown
from mnist_ddm.core.noise import Purpose, categorical, uniforms


@dataclass(frozen=True)
class Condition:
    """What each sample of a batch is asked to be.

    Attributes:
        cluster: the cluster that the sample is wanted from, int64, shape ``(B,)``. It never reaches an expert: only
            the `label` routing reads it.
        captions: one text for each sample, or empty where a system has no text.
        guidance: the scale of classifier-free guidance; 1 is none.
    """

    cluster: Tensor
    captions: tuple[str, ...] = ()
    guidance: float = 1.0

    def select(self, index: Tensor) -> "Condition":
        """The condition of the samples at ``index`` (int64, any length)."""
        captions = tuple(self.captions[int(i)] for i in index) if self.captions else ()
        return replace(self, cluster=self.cluster[index.to(self.cluster.device)], captions=captions)


@dataclass(frozen=True)
class Features:
    """A named map from decoded images ``(B, C, H, W)`` to feature vectors ``(B, dim)``."""

    name: str
    dim: int
    function: Callable[[Tensor], Tensor]

    def __call__(self, images: Tensor) -> Tensor:
        """Feature vectors ``(B, dim)`` of decoded images."""
        return self.function(images)


@dataclass(frozen=True)
class Distance:
    """A named distance between two batches of decoded images; returns ``(B,)``, 0 for equal images."""

    name: str
    function: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """The distance of each pair of images, shape ``(B,)``."""
        return self.function(a, b)


@dataclass(frozen=True)
class Embedding:
    """An embedding of decoded images together with the mean embedding of each expert's own training data.

    Attributes:
        features: the embedding.
        centroids: one centroid for each expert, shape ``(K, dim)``.
    """

    features: Features
    centroids: Tensor


class Reference(ABC):
    """A velocity and a posterior in closed form, to hold trained experts and a router against."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is."""

    @property
    @abstractmethod
    def exact(self) -> bool:
        """Whether it is the truth, or (as for a finite data set, which it memorises) only a reference."""

    @abstractmethod
    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """The marginal velocity, shape of ``x``."""

    @abstractmethod
    def posterior(self, x: Tensor, t: Tensor) -> Tensor:
        r""":math:`p_t(k \mid x_t)`, shape ``(B, K)``."""


@dataclass(frozen=True)
class Classifier:
    """A classifier of decoded images that metrics use, never an expert or a router.

    Attributes:
        name: what it is.
        labels: the names of its classes.
        function: images ``(B, C, H, W)`` to class probabilities ``(B, len(labels))``.
        expert_of_label: for each class the expert trained on it, or ``None`` where clusters are not classes.
    """

    name: str
    labels: tuple[str, ...]
    function: Callable[[Tensor], Tensor]
    expert_of_label: tuple[int, ...] | None

    def __call__(self, images: Tensor) -> Tensor:
        """Class probabilities ``(B, len(labels))``."""
        return self.function(images)


@dataclass(frozen=True)
class Adherence:
    """A named judge of whether images show what was asked; metrics use it, never an expert or a router.

    Attributes:
        name: what is judged, such as `digit` or `all`.
        function: images ``(B, C, H, W)`` and their condition to 1 or 0 for each, float64, shape ``(B,)``; NaN where
            the condition says nothing of it.
    """

    name: str
    function: Callable[[Tensor, Condition], Tensor]

    def __call__(self, images: Tensor, condition: Condition) -> Tensor:
        """1 where an image shows what was asked, else 0 or NaN, shape ``(B,)``."""
        return self.function(images, condition)


class ExpertPool(ABC):
    r"""K isolated experts, a router, and what is needed to look at their samples.

    Conventions at this boundary, whatever a system does inside: states have shape ``(B, *state_shape)`` and times
    shape ``(B,)`` in ``[0, 1]`` with ``t = 1`` for noise; experts predict velocity :math:`v = \varepsilon - x_0` in
    the dtype of ``x`` (float32 in normal use). Row ``i`` of a result depends on row ``i`` of the arguments alone.
    """

    noise_scale: float = 1.0
    """The standard deviation of the start states at ``t = 1``; another one than 1 shifts the inputs of all models."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the system, as on the command line."""

    @property
    def description(self) -> str:
        """What exactly this is, in a few words, where the name alone could mislead; every result carries it."""
        return ""

    @property
    @abstractmethod
    def fingerprints(self) -> Mapping[str, str]:
        """Hashes of everything that decides what the pool computes (weights, data, knobs).

        `experts` covers experts, router and conditions; `monolith`, if there is one, the monolith; `metrics` all that
        only measures (classifier, features). A recording is named by the first or second alone, so a new classifier
        does not invalidate it.
        """

    @property
    def sources(self) -> Mapping[str, str]:
        """SHA-256 of each thing that the pool was read from, by name: data, weights; for manifests."""
        return {}

    @property
    @abstractmethod
    def n_experts(self) -> int:
        """K, the number of experts."""

    @property
    @abstractmethod
    def state_shape(self) -> tuple[int, ...]:
        """The shape of one state, ``(C, H, W)``."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where states must lie."""

    @property
    @abstractmethod
    def prior(self) -> Tensor:
        """The share of the data in each expert's cluster, float64, shape ``(K,)``, sums to 1."""

    @abstractmethod
    def velocity(self, expert: int, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The velocity :math:`v_k(x_t, t)` of expert ``expert``, shape of ``x``.

        Row by row: a row must not depend on the others. A network's last bits do; see `evaluate_in_batches`.
        """

    @abstractmethod
    def router_logits(self, x: Tensor, t: Tensor) -> Tensor:
        r"""Unnormalised :math:`\log p_t(k \mid x_t)`, shape ``(B, K)``."""

    @property
    @abstractmethod
    def has_monolith(self) -> bool:
        """Whether one model trained on all data comes with the pool."""

    @abstractmethod
    def monolith_velocity(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The velocity of the monolithic model, shape of ``x``.

        Raises:
            InputError: if the pool has none.
        """

    @abstractmethod
    def condition(self, seeds: Tensor) -> Condition:
        """What the samples with these seeds ``(B,)`` are asked to be; a pure function of each seed."""

    @abstractmethod
    def decode(self, x: Tensor) -> Tensor:
        """States at ``t = 0`` as images in ``[0, 1]``, shape ``(B, C', H', W')``."""

    @property
    @abstractmethod
    def embeddings(self) -> Mapping[str, Embedding]:
        """Embeddings with the experts' centroids, by name; the first is the default."""

    @abstractmethod
    def real_states(self, n: int, cluster: int | None = None, *, held_out: bool = True) -> tuple[Tensor, Tensor]:
        """Up to ``n`` real states and the cluster of each, always the same: the first ``n`` of any longer list.

        Args:
            n: how many at the most.
            cluster: take them from this cluster only.
            held_out: states that no part of the system was trained on, instead of the training data.

        Returns:
            States ``(B, *state_shape)`` and clusters ``(B,)``.
        """

    def real_condition(self, n: int, cluster: int | None = None, *, held_out: bool = True) -> Condition:
        """What the states of `real_states` for the same arguments are; by default their cluster alone."""
        return Condition(self.real_states(n, cluster, held_out=held_out)[1])

    @property
    @abstractmethod
    def reference(self) -> Reference | None:
        """The closed-form velocity and posterior of the data, where there is one."""

    @property
    @abstractmethod
    def distances(self) -> Mapping[str, Distance]:
        """Perceptual distances by name; the first is the default."""

    @property
    @abstractmethod
    def frechet_features(self) -> Mapping[str, Features]:
        """Feature extractors for Frechet distances by name; the first is the default."""

    @property
    @abstractmethod
    def classifier(self) -> Classifier | None:
        """A classifier of decoded images, where the system has one."""

    @property
    def adherence(self) -> Mapping[str, Adherence]:
        """Judges of whether an image shows what its condition asks, by name; empty where nothing is asked."""
        return {}

    @property
    def shifts(self) -> tuple[str, ...]:
        """Variants whose inputs differ from those that the models were trained on (Tables 11 and 14)."""
        return ("noise=0.8", "noise=1.2")

    @property
    def stress(self) -> str:
        """The variant of the harder regime of Table 14, beside fewer steps; empty if it has no more than those."""
        return ""

    @property
    def error_levels(self) -> tuple[str, ...]:
        """Variants with ever larger errors of the experts away from their own clusters; the first has the least.

        The empty name is the system as it is.
        """
        return ("",)

    def variant(self, name: str) -> "ExpertPool":
        """The system with something about it changed; `noise=1.2` scales the start states.

        Raises:
            InputError: if there is no such variant.
        """
        kind, _, value = name.partition("=")
        try:
            scale = float(value)
        except ValueError:
            scale = math.nan
        if kind != "noise" or not 0 < scale < math.inf:
            raise unknown(f"variant of the system {self.name!r}", name, self.shifts)
        changed = copy.copy(self)
        changed.noise_scale = scale
        return changed


def clusters_from_prior(prior: Tensor, seeds: Tensor) -> Tensor:
    """A cluster for each sample, drawn from ``prior`` ``(K,)`` by the sample's own seed; int64, shape ``(B,)``."""
    return categorical(prior, uniforms(seeds, Purpose.CLUSTER))
