"""Classes apart: in which class each sample is, and weights that give classes the shares that they have in the data.

A Frechet distance mixes two questions: are the classes there in the right shares, and is what is there right within
each? Samples that are weighted so that classes have the data's shares leave only the second.

References:
    Holt, Smith (1979), Post stratification.
    Kish (1965), Survey sampling: the effective number of weighted samples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.errors import InputError
from mnist_ddm.metrics.fidelity import classify
from mnist_ddm.metrics.frechet import extract
from mnist_ddm.metrics.manifold import NEIGHBOURS
from mnist_ddm.metrics.real import real_images


@final
@dataclass(frozen=True)
class Classes:
    """A division of images into classes.

    Attributes:
        what: what the classes are, in a few words.
        names: of each class.
        shares: of each class in the data, float64, shape ``(C,)``, of sum 1.
        of: the class of each image, int64 on the CPU, shape ``(B,)``.
    """

    what: str
    names: tuple[str, ...]
    shares: Tensor
    of: Callable[[Tensor], Tensor]


def classes_of(pool: ExpertPool) -> Classes:
    """The classes of a system: its classifier's, or else the clusters of its first embedding.

    The shares are the experts' prior where each class has its expert, else those of held-out real states.

    Raises:
        InputError: if the system has neither, or no real states.
    """
    measures, images = pool.measures, real_images(pool)
    classifier = measures.classifier
    if classifier is not None:
        known = classifier

        def seen(shown: Tensor) -> Tensor:
            return classify(known, shown).argmax(dim=1)

        labels = classifier.labels
        prior = None if classifier.expert_of_label is None else pool.prior.cpu()[list(classifier.expert_of_label)]
        return Classes(f"classes of the {classifier.name}", labels, _shares(seen, images, labels, prior), seen)
    if not measures.embeddings:
        raise InputError(f"the system {pool.name!r} has no classes: neither a classifier nor an embedding")
    name, embedding = next(iter(measures.embeddings.items()))
    centroids = embedding.centroids.cpu().double()

    def nearest(shown: Tensor) -> Tensor:
        return torch.cdist(extract(embedding.features, shown), centroids).argmin(dim=1)

    labels = tuple(f"cluster {k}" for k in range(len(centroids)))
    return Classes(
        f"nearest centroids in the embedding {name!r}", labels, _shares(nearest, images, labels, None), nearest
    )


def _shares(of: Callable[[Tensor], Tensor], images: Tensor, names: tuple[str, ...], prior: Tensor | None) -> Tensor:
    return class_shares(of(images), len(names)) if prior is None else prior


def class_shares(classes: Tensor, n_classes: int) -> Tensor:
    """The share of each class, float64, shape ``(C,)``."""
    counts = classes.bincount(minlength=n_classes).double()
    return counts / counts.sum()


def balancing_weights(classes: Tensor, shares: Tensor, counting: Tensor | None = None) -> Tensor:
    """Weights that give classes some shares; float64, shape ``(n,)``, of the sum n.

    A class without samples cannot be given any; the others share what it should have.

    Args:
        classes: of the samples, shape ``(n,)``.
        shares: that the classes shall have, shape ``(C,)``.
        counting: how often each sample counts, float64, shape ``(n,)``, by default once; the sum of the weights is then
            the `effective_number` of these, so that what does not count is not there.
    """
    counting = torch.ones(len(classes), dtype=torch.float64) if counting is None else counting
    counts = torch.zeros(len(shares), dtype=torch.float64).index_add(0, classes, counting)
    each = torch.where(counts > 0, shares / torch.where(counts > 0, counts, 1), 0)[classes] * counting
    return each * (effective_number(counting) / each.sum())


def effective_number(weights: Tensor) -> float:
    r"""How many equally weighted samples tell a mean as well (Kish): :math:`(\sum w)^2 / \sum w^2`."""
    return float(weights.sum() ** 2 / weights.square().sum())


def imbalance(classes: Tensor, shares: Tensor) -> float:
    """The total variation between the classes of some samples and some shares, 0 to 1."""
    return float((class_shares(classes, len(shares)) - shares).abs().sum() / 2)


def imbalance_floor(n: int, shares: Tensor) -> float:
    """The mean `imbalance` of n independent draws with exactly these shares: sampling alone makes it positive.

    Half the sum of the binomial mean deviations, which have a closed form (De Moivre 1730).
    """
    from scipy import stats

    total = 0.0
    for share in shares.tolist():
        m = int(n * share) + 1
        total += 2 * m * (1 - share) * float(stats.binom.pmf(m, n, share)) / n if 0 < share < 1 else 0.0
    return total / 2


def recall_within(real: Tensor, real_classes: Tensor, fake: Tensor, fake_classes: Tensor, shares: Tensor) -> float:
    """Recall within classes, then their mean by shares, in ``[0, 1]``.

    Recall (Kynkaanniemi et al. 2019): the share of real vectors that lie within the k-th-neighbour ball of some sample,
    here of the same class. It depends on how many there are, so compare it with that of as many real states.

    Args:
        real: vectors ``(N, dim)``.
        real_classes: of them, shape ``(N,)``.
        fake: vectors ``(M, dim)``.
        fake_classes: of them, shape ``(M,)``.
        shares: of the classes, shape ``(C,)``; those without real vectors are left out.
    """
    value = total = 0.0
    for c, share in enumerate(shares.tolist()):
        own, samples = real[real_classes == c].double(), fake[fake_classes == c].double()
        if len(own) == 0:
            continue
        total += share
        if len(samples) > 1:
            exact = "donot_use_mm_for_euclid_dist"
            k = min(NEIGHBOURS, len(samples) - 1) + 1  # the nearest of all is the sample itself
            radius = torch.cdist(samples, samples, compute_mode=exact).kthvalue(k, dim=1).values
            covered = (torch.cdist(own, samples, compute_mode=exact) <= radius).any(dim=1)
            value += share * float(covered.double().mean())
    return value / total if total > 0 else float("nan")
