"""Typical wrong answers, each with words that its message must have."""

import torch


def _velocities(experts, x, t):
    return torch.stack([expert(x, t) for expert in experts], dim=1)


def uniform(experts, router, x, t):
    """The router is ignored."""
    return _velocities(experts, x, t).mean(dim=1)


def logits_as_weights(experts, router, x, t):
    """The softmax is missing."""
    return (router(x, t)[:, :, None, None, None] * _velocities(experts, x, t)).sum(dim=1)


def sum_of_all(experts, router, x, t):
    """No weights at all."""
    return sum(expert(x, t) for expert in experts)


def softmax_over_states(experts, router, x, t):
    """The wrong axis."""
    weights = router(x, t).softmax(dim=0)
    return (weights[:, :, None, None, None] * _velocities(experts, x, t)).sum(dim=1)


def top1(experts, router, x, t):
    """The most probable expert."""
    best = router(x, t).argmax(dim=1)
    return _velocities(experts, x, t)[torch.arange(len(x)), best]


def mean_instead_of_sum(experts, router, x, t):
    """Divided by K once more."""
    weights = router(x, t).softmax(dim=1)
    return (weights[:, :, None, None, None] * _velocities(experts, x, t)).mean(dim=1)


def keeps_the_experts(experts, router, x, t):
    """The sum is missing."""
    return router(x, t).softmax(dim=1)[:, :, None, None, None] * _velocities(experts, x, t)


def number_times_image(experts, router, x, t):
    """Shapes do not fit."""
    weights = router(x, t).softmax(dim=1)
    return sum(weights[:, k] * expert(x, t) for k, expert in enumerate(experts))


WRONG_ANSWERS = (
    (uniform, "every expert got the same weight"),
    (logits_as_weights, "the logits are no weights yet"),
    (sum_of_all, "the sum of all velocities"),
    (softmax_over_states, "each row needs weights of its own"),
    (top1, "that is Top-1"),
    (mean_instead_of_sum, "divided by the number of experts"),
    (keeps_the_experts, "another shape"),
    (number_times_image, "(B,) does not fit (B, C, H, W)"),
)
