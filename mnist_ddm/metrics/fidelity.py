"""Figures of a system that need its classifier or its real states: fidelity and accuracy."""

import torch
from torch import Tensor

from mnist_ddm.core.flow import interpolate
from mnist_ddm.core.measures import Classifier
from mnist_ddm.core.noise import initial_noise, sample_seeds
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.errors import InputError

_BATCH = 500
_TRAINING_BATCH = 10_000
ALL = 100_000
"""Training states that the nearest one is looked for among, at most: all of MNIST."""
HELD_OUT = 10_000
"""Held-out states that accuracies and Frechet distances are measured on."""
TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)


@torch.inference_mode()
def classify(classifier: Classifier, images: Tensor) -> Tensor:
    """Class probabilities of many images, in batches; float64 on the CPU, shape ``(B, classes)``."""
    return torch.cat([classifier(batch) for batch in images.split(_BATCH)]).cpu().double()


@torch.inference_mode()
def nearest_training_distance(pool: ExpertPool, images: Tensor, classes: Tensor | None) -> Tensor:
    """The Euclidean distance of each image to the nearest training example, float64, shape ``(B,)``.

    Args:
        pool: the system.
        images: decoded states ``(B, ...)``.
        classes: look among the training examples of this cluster only, shape ``(B,)``; ``None`` for all.
    """
    nearest = torch.full((len(images),), torch.inf, dtype=torch.float64)
    flat = images.cpu().double().flatten(1)
    groups: list[tuple[int | None, Tensor]] = [(None, torch.arange(len(images)))]
    if classes is not None:
        groups = [(int(c), (classes == c).nonzero()[:, 0]) for c in classes.unique()]
    for cluster, rows in groups:
        states, _ = pool.measures.real_states(ALL, cluster, held_out=False)
        for batch in states.split(_TRAINING_BATCH):
            real = pool.decode(batch).cpu().double().flatten(1)
            nearest[rows] = torch.minimum(nearest[rows], torch.cdist(flat[rows], real).amin(dim=1))
    return nearest


@torch.inference_mode()
def recognised_experts(pool: ExpertPool, images: Tensor) -> Tensor:
    """The expert whose class the pool's classifier sees in each image, int64, shape ``(B,)``.

    Raises:
        InputError: if the pool has no classifier, or its experts are not specialised by class.
    """
    classifier = pool.measures.classifier
    if classifier is None or classifier.expert_of_label is None:
        raise InputError(f"the experts of {pool.name!r} are not specialised by class, so none can be recognised")
    return torch.tensor(classifier.expert_of_label)[classify(classifier, images).argmax(dim=1)]


def recognised_share(pool: ExpertPool, recording: Recording) -> float | None:
    """The share of samples that the classifier gives the class they were asked to be; ``None`` without classes."""
    if pool.measures.classifier is None or pool.measures.classifier.expert_of_label is None:
        return None
    images = pool.decode(recording.final.to(pool.device))
    return float((recognised_experts(pool, images) == recording.cluster).double().mean())


def classifier_accuracy(pool: ExpertPool) -> float | None:
    """The classifier's accuracy on all held-out real states; ``None`` where clusters are not classes."""
    if pool.measures.classifier is None or pool.measures.classifier.expert_of_label is None:
        return None
    states, clusters = pool.measures.real_states(HELD_OUT)
    return float((recognised_experts(pool, pool.decode(states)) == clusters.cpu()).double().mean())


@torch.inference_mode()
def router_accuracy(pool: ExpertPool, n: int = 2000) -> dict[str, float]:
    """The share of noised held-out states whose cluster the router ranks first, by time."""
    states, clusters = pool.measures.real_states(n)
    noise = initial_noise(sample_seeds(0, len(states)), pool.state_shape).to(states)
    accuracy = {}
    for t in TIMES:
        times = torch.full((len(states),), t, device=states.device)
        x = interpolate(states, noise, times)
        batches = zip(x.split(_BATCH), times.split(_BATCH), strict=True)
        guess = torch.cat([pool.router_logits(a, b).argmax(dim=1) for a, b in batches])
        accuracy[str(t)] = round(float((guess.cpu() == clusters.cpu()).double().mean()), 4)
    return accuracy
