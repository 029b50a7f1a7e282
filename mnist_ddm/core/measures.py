"""What measures the samples of a system: its data, metrics, embeddings, classifier and closed forms.

None of it decides what a sample is, so a pool works without any; an analysis that needs a missing part says so. All of
it computes in float32, whatever the precision of the networks that are measured.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mnist_ddm.compute.devices import widened
from mnist_ddm.compute.precision import computing_in
from mnist_ddm.core.condition import Condition
from mnist_ddm.errors import InputError, NotFiniteError


def _finite(values: Tensor, what: str) -> Tensor:
    bad = ~values.detach().isfinite().flatten(1).all(dim=1) if values.ndim > 1 else ~values.detach().isfinite()
    if bad.any():
        row = int(bad.nonzero()[0, 0])
        raise NotFiniteError(
            f"{what} gives numbers that are none, first for row {row} of {len(values)}; is its file whole?"
        )
    return values


@dataclass(frozen=True)
class Features:
    """A named map from decoded samples ``(B, ...)`` to feature vectors ``(B, dim)``."""

    name: str
    function: Callable[[Tensor], Tensor]

    def __call__(self, images: Tensor) -> Tensor:
        """Feature vectors ``(B, dim)`` of decoded samples."""
        with computing_in("float32", images.device):
            return _finite(self.function(images), f"the features {self.name!r}")


@dataclass(frozen=True)
class Distance:
    """A named distance between two batches of decoded images; returns ``(B,)``, 0 for equal images."""

    name: str
    function: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """The distance of each pair of images, shape ``(B,)``."""
        with computing_in("float32", a.device):
            return _finite(self.function(a, b), f"the distance {self.name!r}")


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
        with computing_in("float32", images.device):
            return _finite(self.function(images), f"the {self.name}")


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


class Measures:
    """What measures a system. A system overrides what it has; the defaults need real states at the most.

    States of any shape are compared as they are: Euclidean distance, Frechet distance of the flattened states, and for
    each expert the mean of its training states.
    """

    def __init__(self, n_experts: int, decode: Callable[[Tensor], Tensor] = lambda states: states) -> None:
        """Take what the defaults need to know of the pool."""
        self._n_experts = n_experts
        self._decode = decode

    @property
    def fingerprint(self) -> str:
        """A hash of all that only measures (classifier, features, data)."""
        return ""

    def real_states(self, n: int, cluster: int | None = None, *, held_out: bool = True) -> tuple[Tensor, Tensor]:
        """Up to ``n`` real states and the cluster of each, always the same: the first ``n`` of any longer list.

        Args:
            n: how many at the most.
            cluster: take them from this cluster only.
            held_out: states that no part of the system was trained on, instead of the training data.

        Returns:
            States ``(B, *state_shape)`` and clusters ``(B,)``.

        Raises:
            InputError: if the system has no data.
        """
        raise InputError("the system has no real states to compare with")

    def real_condition(self, n: int, cluster: int | None = None, *, held_out: bool = True) -> Condition:
        """What the states of `real_states` for the same arguments are; by default their cluster alone."""
        return Condition(self.real_states(n, cluster, held_out=held_out)[1])

    @property
    def has_real_states(self) -> bool:
        """Whether there are real states to compare with."""
        with contextlib.suppress(InputError):
            return len(self.real_states(1)[0]) > 0
        return False

    @property
    def embeddings(self) -> Mapping[str, Embedding]:
        """Embeddings with the experts' centroids, by name; the first is the default."""
        if not self.has_real_states:
            return {}
        return LazyEmbeddings((_STATE,), self._centroids)

    def _centroids(self, features: Features) -> Tensor:
        """The mean features of each expert's training states, shape ``(K, dim)``."""
        clusters = (self.real_states(_STATES, k, held_out=False)[0] for k in range(self._n_experts))
        return torch.stack([widened(features(self._decode(states))).mean(dim=0) for states in clusters])

    @property
    def distances(self) -> Mapping[str, Distance]:
        """Perceptual distances by name; the first is the default."""
        return {"l2": Distance("l2", lambda a, b: (a - b).flatten(1).norm(dim=1))}

    @property
    def frechet_features(self) -> Mapping[str, Features]:
        """Feature extractors for Frechet distances by name; the first is the default."""
        return {_STATE.name: _STATE}

    @property
    def reference(self) -> Reference | None:
        """The closed-form velocity and posterior of the data, where there is one."""
        return None

    @property
    def classifier(self) -> Classifier | None:
        """A classifier of decoded samples, where the system has one."""
        return None

    @property
    def adherence(self) -> Mapping[str, Adherence]:
        """Judges of whether a sample shows what its condition asks, by name; empty where nothing is asked."""
        return {}


_STATE = Features("state", lambda images: images.flatten(1))
_STATES = 2000
"""So many training states of each cluster, at the most, decide its default centroid."""


class LazyEmbeddings(Mapping[str, Embedding]):
    """Embeddings whose centroids are computed when they are asked for: that takes all training data."""

    def __init__(self, features: tuple[Features, ...], centroids: Callable[[Features], Tensor]) -> None:
        """Take the embeddings, and how their centroids are computed."""
        self._features = {f.name: f for f in features}
        self._centroids = centroids
        self._known: dict[str, Embedding] = {}

    def __getitem__(self, name: str) -> Embedding:
        features = self._features[name]
        if name not in self._known:
            self._known[name] = Embedding(features, self._centroids(features))
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._features)

    def __len__(self) -> int:
        return len(self._features)
