"""Figures of a system that need its classifier or its real states: fidelity and accuracy."""

import torch

from mnist_ddm.core.errors import InputError
from mnist_ddm.core.flow import interpolate
from mnist_ddm.core.noise import initial_noise, sample_seeds
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording

_BATCH = 500
HELD_OUT = 10_000
"""Held-out states that accuracies and Frechet distances are measured on."""
TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)


@torch.inference_mode()
def recognised_experts(pool: ExpertPool, images: torch.Tensor) -> torch.Tensor:
    """The expert whose class the pool's classifier sees in each image, int64, shape ``(B,)``.

    Raises:
        InputError: if the pool has no classifier, or its experts are not specialised by class.
    """
    classifier = pool.classifier
    if classifier is None or classifier.expert_of_label is None:
        raise InputError(f"the experts of {pool.name!r} are not specialised by class, so none can be recognised")
    labels = torch.cat([classifier(batch).argmax(dim=1) for batch in images.split(_BATCH)]).cpu()
    return torch.tensor(classifier.expert_of_label)[labels]


def recognised_share(pool: ExpertPool, recording: Recording) -> float | None:
    """The share of samples that the classifier gives the class they were asked to be; ``None`` without classes."""
    if pool.classifier is None or pool.classifier.expert_of_label is None:
        return None
    images = pool.decode(recording.final.to(pool.device))
    return float((recognised_experts(pool, images) == recording.cluster).double().mean())


def classifier_accuracy(pool: ExpertPool) -> float | None:
    """The classifier's accuracy on all held-out real states; ``None`` where clusters are not classes."""
    if pool.classifier is None or pool.classifier.expert_of_label is None:
        return None
    states, clusters = pool.real_states(HELD_OUT)
    return float((recognised_experts(pool, pool.decode(states)) == clusters.cpu()).double().mean())


@torch.inference_mode()
def router_accuracy(pool: ExpertPool, n: int = 2000) -> dict[str, float]:
    """The share of noised held-out states whose cluster the router ranks first, by time."""
    states, clusters = pool.real_states(n)
    noise = initial_noise(sample_seeds(0, len(states)), pool.state_shape).to(states)
    found = {}
    for t in TIMES:
        times = torch.full((len(states),), t, device=states.device)
        x = interpolate(states, noise, times)
        batches = zip(x.split(_BATCH), times.split(_BATCH), strict=True)
        guess = torch.cat([pool.router_logits(a, b).argmax(dim=1) for a, b in batches])
        found[str(t)] = round(float((guess == clusters).double().mean()), 4)
    return found
