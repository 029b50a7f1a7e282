"""The clusters of the experts: two-stage k-means on image embeddings, and what is kept of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import read_tensors, write_tensors

FINE = 1024
"""Centroids of the first stage, unless asked otherwise."""


@dataclass(frozen=True)
class Clusters:
    """What is known of the experts' clusters.

    Attributes:
        centroids: mean embedding of each cluster's images, shape ``(K, dim)``.
        prior: share of the images in each cluster, float64, shape ``(K,)``, sums to 1.
        text_weight: of a linear classifier from a caption's pooled embedding to clusters, shape ``(K, E)``; empty if
            the images had no captions.
        text_bias: its bias, shape ``(K,)``; empty likewise.
        made: how the clusters were made.
    """

    centroids: Tensor
    prior: Tensor
    text_weight: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    text_bias: Tensor = field(default_factory=lambda: torch.empty(0))
    made: dict[str, Any] = field(default_factory=dict)

    def nearest(self, embeddings: Tensor) -> Tensor:
        """The cluster of the nearest centroid for embeddings ``(B, dim)``, int64, shape ``(B,)``."""
        nearest = torch.cdist(embeddings.cpu().double(), self.centroids.cpu().double()).argmin(dim=1)
        return nearest.to(embeddings.device)

    def of_caption(self, pooled: Tensor) -> Tensor:
        r""":math:`p(k \mid caption)` for pooled embeddings ``(B, E)``, float64, shape ``(B, K)``.

        The prior where the images had no captions.
        """
        if self.text_bias.numel() == 0:
            return self.prior.expand(len(pooled), -1)
        logits = pooled.cpu().double() @ self.text_weight.double().T + self.text_bias.double()
        return logits.softmax(dim=1)


def write_clusters(path: Path, clusters: Clusters) -> None:
    """Write the clusters atomically."""
    tensors = {name: value for name, value in vars(clusters).items() if isinstance(value, Tensor) and value.numel()}
    write_tensors(path, tensors, clusters.made)


def read_clusters(path: Path, n_experts: int) -> Clusters:
    """Read the clusters.

    Raises:
        InputError: if the file is damaged, or holds another number of clusters.
    """
    tensors, made = read_tensors(path, finite=True)
    names = {name for name in Clusters.__dataclass_fields__ if name != "made"}
    if not {"centroids", "prior"} <= tensors.keys() <= names:
        raise InputError(f"{path} is not a file of clusters; make one with `mnist-ddm paris cluster`")
    axes = {"centroids": 2, "prior": 1, "text_weight": 2, "text_bias": 1}
    for name, tensor in tensors.items():
        if tensor.ndim != axes[name] or not tensor.is_floating_point():
            raise InputError(f"{path} holds {name} of shape {tuple(tensor.shape)}; make it again, or restore it")
        if len(tensor) != n_experts:
            raise InputError(f"{path} holds {len(tensor)} {name}, but the model has {n_experts} experts")
    if ("text_weight" in tensors) != ("text_bias" in tensors):
        raise InputError(
            f"{path} holds one of text_weight and text_bias without the other; make it again, or restore it"
        )
    if tensors["prior"].min() < 0 or tensors["prior"].sum() <= 0:
        raise InputError(f"{path} holds a prior that is no share of images; make it again, or restore it")
    tensors["prior"] = tensors["prior"].double() / tensors["prior"].double().sum()
    return Clusters(**tensors, made=made)


def two_stage_kmeans(embeddings: Tensor, n_clusters: int, fine: int = FINE, seed: int = 0) -> Tensor:
    """Hierarchical k-means: many fine clusters first, then their centroids, weighted by size, into few.

    Args:
        embeddings: shape ``(N, dim)``.
        n_clusters: of the second stage.
        fine: of the first stage; at most N.
        seed: of both.

    Returns:
        The cluster of each embedding, int64, shape ``(N,)``; all clusters occur, larger ones have lower numbers.

    Raises:
        InputError: if there are fewer embeddings than clusters, or fewer fine clusters than clusters.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    n = len(embeddings)
    if n < n_clusters:
        raise InputError(f"{n} images do not make {n_clusters} clusters; give more")
    if fine < n_clusters:
        raise InputError(f"the first stage must have at least {n_clusters} clusters, not {fine}")
    x = embeddings.cpu().double().numpy()
    first = MiniBatchKMeans(min(fine, n), random_state=seed, n_init=1, batch_size=4096).fit_predict(x)
    kept, place, counts = np.unique(first, return_inverse=True, return_counts=True)
    if len(kept) < n_clusters:
        raise InputError(
            f"only {len(kept)} different fine clusters came out, fewer than {n_clusters}; give more images"
        )
    centres = np.zeros((len(kept), x.shape[1]))
    np.add.at(centres, place, x)
    centres /= counts[:, None]
    second = KMeans(n_clusters, random_state=seed, n_init=10).fit_predict(centres, sample_weight=counts)[place]
    by_size = np.argsort(-np.bincount(second, minlength=n_clusters), kind="stable")
    return torch.from_numpy(np.argsort(by_size)[second].astype(np.int64))


def summarise(embeddings: Tensor, assignment: Tensor, n_clusters: int, made: dict[str, Any]) -> Clusters:
    """Centroids and shares of an assignment ``(N,)`` of embeddings ``(N, dim)``."""
    counts = assignment.bincount(minlength=n_clusters).double()
    sums = torch.zeros(n_clusters, embeddings.shape[1], dtype=torch.float64)
    sums.index_add_(0, assignment, embeddings.cpu().double())
    return Clusters((sums / counts[:, None]).float(), counts / counts.sum(), made=made)


def fit_text(pooled: Tensor, assignment: Tensor, n_clusters: int) -> tuple[Tensor, Tensor]:
    r"""A multinomial logistic regression :math:`p(k \mid caption)`: weight ``(K, E)`` and bias ``(K,)``.

    Args:
        pooled: of the captions, shape ``(N, E)``.
        assignment: clusters of their images, shape ``(N,)``; every cluster must occur.
        n_clusters: K.
    """
    from sklearn.linear_model import LogisticRegression

    # Standardised, as the solver's speed depends on the scales; folded back into weight and bias.
    mean, scale = pooled.double().mean(dim=0), pooled.double().std(dim=0).clamp(min=1e-6)
    model = LogisticRegression(C=10.0, max_iter=500)
    model.fit(((pooled.double() - mean) / scale).numpy(), assignment.numpy())
    assert len(model.classes_) == n_clusters
    weight = torch.from_numpy(model.coef_) / scale
    bias = torch.from_numpy(model.intercept_) - weight @ mean
    return weight.float(), bias.float()
