"""What measures a Paris model: real latents, DINOv2, LPIPS, Inception, and the classifier of a small model."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from mnist_ddm.core.condition import Condition
from mnist_ddm.core.measures import Adherence, Classifier, Distance, Embedding, Features, Measures
from mnist_ddm.metrics.inception import inception_features
from mnist_ddm.metrics.perceptual import TRUNKS, lpips_distance
from mnist_ddm.storage.files import digest
from paris_ddm.attributes import UNSAID, AttributeClassifier, read_classifier
from paris_ddm.clusters import Clusters, read_clusters
from paris_ddm.folder import CLASSIFIER, CLUSTERS, IMAGE_ENCODER, REAL, VAE, ParisFolder
from paris_ddm.hashes import FolderHashes
from paris_ddm.images import ImageCodec, ImageEncoder
from paris_ddm.real import RealStates, read_real


@final
class ParisMeasures(Measures):
    """What one folder has for measurements. Parts are loaded when they are first needed."""

    def __init__(self, folder: ParisFolder, hashes: FolderHashes, codec: ImageCodec, device: torch.device) -> None:
        """Take the folder.

        Args:
            folder: of the model.
            hashes: of its parts.
            codec: that decodes states.
            device: where states lie.
        """
        super().__init__(folder.root.num_experts, codec.decode)
        self._folder = folder
        self._hashes = hashes
        self._device = device

    @cached_property
    def fingerprint(self) -> str:
        return digest(self._hashes.of(VAE, IMAGE_ENCODER, CLASSIFIER))

    @cached_property
    def clusters(self) -> Clusters | None:
        """What is known of the experts' clusters, if the folder says it."""
        place = self._folder.find(CLUSTERS)
        return None if place is None else read_clusters(place, self._n_experts)

    @cached_property
    def _real(self) -> dict[str, RealStates]:
        remedy = "make it from a folder of images with `mnist-ddm paris cluster` and give it with --data-dir"
        return read_real(self._folder.need(REAL, remedy), self._folder.state_shape, self._n_experts)

    def real_states(self, n: int, cluster: int | None = None, *, held_out: bool = True) -> tuple[Tensor, Tensor]:
        states = self._real["held-out" if held_out else "training"]
        rows = states.rows(n, cluster)
        return states.latents[rows].to(self._device), states.clusters[rows].to(self._device)

    def real_condition(self, n: int, cluster: int | None = None, *, held_out: bool = True) -> Condition:
        """The captions of the real images, without guidance, which would aim beside the data on purpose."""
        states = self._real["held-out" if held_out else "training"]
        rows = states.rows(n, cluster)
        return Condition(states.clusters[rows].to(self._device), tuple(states.captions[int(i)] for i in rows))

    def embed(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)`` in ``[0, 1]`` as vectors of the image encoder, shape ``(B, dim)``.

        Raises:
            InputError: if the model has no image encoder.
        """
        remedy = "put DINOv2 there (config.json and model.safetensors of facebook/dinov2-large)"
        self._folder.need(IMAGE_ENCODER, remedy)
        assert self._image_encoder is not None
        return self._image_encoder.embed(images)

    @cached_property
    def _image_encoder(self) -> ImageEncoder | None:
        place = self._folder.find(IMAGE_ENCODER)
        return None if place is None else ImageEncoder(place, self._device)

    def _embedded(self) -> dict[str, Features]:
        encoder = self._image_encoder
        return {} if encoder is None else {"dinov2": Features("dinov2", encoder.embed)}

    @property
    def embeddings(self) -> Mapping[str, Embedding]:
        if self.clusters is None:
            return {}
        centroids = self.clusters.centroids.to(self._device)
        return {name: Embedding(features, centroids) for name, features in self._embedded().items()}

    @property
    def distances(self) -> Mapping[str, Distance]:
        encoder = self._image_encoder
        tokens = {} if encoder is None else {"dinov2": Distance("dinov2", encoder.distance)}
        pixels = Distance("pixels", lambda a, b: (a - b).square().flatten(1).mean(dim=1).sqrt())
        return {**tokens, "pixels": pixels, **{name: lpips_distance(name, self._device) for name in TRUNKS}}

    @property
    def frechet_features(self) -> Mapping[str, Features]:
        model = self._attributes
        own = {} if model is None else {"classifier": Features("classifier", _without_graph(model.embed))}
        return {**own, **self._embedded(), "inception": inception_features(self._device)}

    @cached_property
    def _attributes(self) -> AttributeClassifier | None:
        place = self._folder.find(CLASSIFIER)
        return None if place is None else read_classifier(place, self._device)

    @property
    def classifier(self) -> Classifier | None:
        """The head of the first attribute, where there is a classifier; clusters are not classes."""
        model = self._attributes
        if model is None:
            return None
        first = model.attributes[0]
        probabilities = _without_graph(lambda images: model(images)[0].softmax(dim=1))
        return Classifier(f"{first.name} classifier", first.labels, probabilities, None)

    @property
    def adherence(self) -> Mapping[str, Adherence]:
        """For each attribute whether an image shows what its caption says, and whether it shows all of that."""
        model = self._attributes
        if model is None:
            return {}

        @torch.no_grad()
        def right(images: Tensor, condition: Condition) -> Tensor:
            seen = torch.stack([logits.argmax(dim=1) for logits in model(images)], dim=1).cpu()
            said = torch.tensor([[a.label(caption) for a in model.attributes] for caption in condition.captions])
            return torch.where(said == UNSAID, torch.nan, (seen == said).double())

        def judge(column: int) -> Callable[[Tensor, Condition], Tensor]:
            return lambda images, condition: right(images, condition)[:, column]

        each = {a.name: Adherence(a.name, judge(i)) for i, a in enumerate(model.attributes)}
        return {**each, "all": Adherence("all", lambda images, condition: right(images, condition).prod(dim=1))}


def _without_graph(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def call(images: Tensor) -> Tensor:
        with torch.no_grad():
            return function(images)

    return call
