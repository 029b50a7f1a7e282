"""What measures the MNIST system: its images, the classifier, and networks whose files the user may have."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from mnist_ddm.core.empirical import EmpiricalReference
from mnist_ddm.core.measures import Classifier, Distance, Embedding, Features, LazyEmbeddings, Measures, Reference
from mnist_ddm.data import Images, to_image, to_state
from mnist_ddm.data.partition import divide
from mnist_ddm.metrics.inception import inception_features
from mnist_ddm.metrics.perceptual import TRUNKS, lpips_distance
from mnist_ddm.models.checkpoint import SystemCard
from mnist_ddm.models.classifier import DigitClassifier

_BATCH = 1000
"""Training images that features are taken of at once."""


@final
@dataclass(frozen=True)
class Said:
    """What people call what measures a system.

    Attributes:
        distance: in the classifier's features.
        classifier: of what.
        labels: each class.
    """

    distance: str
    classifier: str
    labels: tuple[str, ...]


@final
class MnistMeasures(Measures):
    """Test and training images, features of the classifier, and the closed form of the training data."""

    def __init__(
        self,
        images: Images,
        card: SystemCard,
        classifier: DigitClassifier,
        fingerprint: str,
        said: Said,
        device: torch.device,
    ) -> None:
        """Take the data and the classifier.

        Args:
            images: the data that the system was trained on.
            card: of the system.
            classifier: trained on the labels; no expert or router knows it.
            fingerprint: a hash of data and classifier.
            said: what people call all this.
            device: where states lie.
        """
        super().__init__(card.n_experts, to_image)
        self._images = images
        self._card = card
        self._classifier = classifier
        self._fingerprint = fingerprint
        self._said = said
        self._device = device

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def training_clusters(self) -> Tensor:
        """The cluster of each training image, int64, shape ``(N,)``."""
        return divide(self._images, self._card.partition, self._n_experts, self._card.seed)

    def real_states(self, n: int, cluster: int | None = None, *, held_out: bool = True) -> tuple[Tensor, Tensor]:
        """Test or training images.

        The cluster of a test image is its label where clusters are labels, else that of the nearest centroid.
        """
        images = self._images.test_images if held_out else self._images.train_images
        clusters = self._test_clusters if held_out else self.training_clusters
        rows = (torch.arange(len(images)) if cluster is None else (clusters == cluster).nonzero()[:, 0])[:n]
        return to_state(images[rows]).to(self._device), clusters[rows].to(self._device)

    @cached_property
    def _test_clusters(self) -> Tensor:
        if self._card.partition == "digit":
            return self._images.test_labels
        centroids = self.embeddings["pixels"].centroids.cpu()
        return torch.cdist(to_image(to_state(self._images.test_images)).flatten(1), centroids).argmin(dim=1)

    @property
    def embeddings(self) -> Mapping[str, Embedding]:
        return self._embeddings

    @cached_property
    def _embeddings(self) -> LazyEmbeddings:
        return LazyEmbeddings((self._classifier_features(), _PIXELS), self._centroids)

    def _centroids(self, features: Features) -> Tensor:
        """Of all training images, and not only of some as by default."""
        images = to_image(to_state(self._images.train_images))
        with torch.no_grad():
            vectors = torch.cat([features(b.to(self._device)).cpu().double() for b in images.split(_BATCH)])
        sums = torch.zeros(self._n_experts, vectors.shape[1], dtype=torch.float64)
        sums.index_add_(0, self.training_clusters, vectors)
        centroids = sums / self.training_clusters.bincount(minlength=self._n_experts)[:, None]
        return centroids.float().to(self._device)

    def _classifier_features(self) -> Features:
        return Features("classifier", lambda images: self._classifier.embed(images * 2 - 1))

    @property
    def reference(self) -> Reference | None:
        """The empirical distribution of the training images: it memorises as ``t`` goes to 0."""
        return EmpiricalReference(self._images.train_images, self.training_clusters, self._n_experts, to_state)

    @property
    def distances(self) -> Mapping[str, Distance]:
        lpips = {name: lpips_distance(name, self._device) for name in TRUNKS}
        return {self._said.distance: Distance(self._said.distance, self._layers), **lpips}

    def _layers(self, a: Tensor, b: Tensor) -> Tensor:
        with torch.no_grad():
            return self._classifier.layer_distance(a * 2 - 1, b * 2 - 1)

    @property
    def frechet_features(self) -> Mapping[str, Features]:
        return {"classifier": self._classifier_features(), "inception": inception_features(self._device)}

    @property
    def classifier(self) -> Classifier | None:
        def probabilities(images: Tensor) -> Tensor:
            with torch.no_grad():
                out: Tensor = self._classifier(images * 2 - 1)
            return out.softmax(dim=1)

        expert_of_label = tuple(range(self._card.classes)) if self._card.partition == "digit" else None
        return Classifier(f"{self._said.classifier} classifier", self._said.labels, probabilities, expert_of_label)


_PIXELS = Features("pixels", lambda images: images.flatten(1))
