"""Typical wrong answers, each with words that its message must have."""

import torch


def _hot(scores):
    return torch.nn.functional.one_hot(scores.argmax(dim=1), scores.shape[1]).to(scores.dtype)


def _noise(uniform):
    return -torch.log(-torch.log(uniform))


def top1(logits, uniform):
    """No noise at all."""
    return _hot(logits)


def plain(logits, uniform):
    """Uniform noise."""
    return _hot(logits + uniform)


def sign(logits, uniform):
    """The outer sign."""
    return _hot(logits + torch.log(-torch.log(uniform)))


def exponential(logits, uniform):
    """One logarithm too few."""
    return _hot(logits - torch.log(uniform))


def probabilities(logits, uniform):
    """On another scale."""
    return _hot(logits.softmax(dim=1) + _noise(uniform))


def shared(logits, uniform):
    """One vector for all."""
    return _hot(logits + _noise(uniform[0]))


def soft(logits, uniform):
    """The relaxation that is used in training."""
    return (logits + _noise(uniform)).softmax(dim=1)


def numbers(logits, uniform):
    """Not weights yet."""
    return (logits + _noise(uniform)).argmax(dim=1)


WRONG_ANSWERS = (
    (top1, "that is Top-1"),
    (plain, "uniform numbers were added"),
    (sign, "the sign of the noise"),
    (exponential, "only one logarithm"),
    (probabilities, "added to probabilities"),
    (shared, "the noise of the first one"),
    (soft, "weights of several experts"),
    (numbers, "these are the experts' numbers"),
)
