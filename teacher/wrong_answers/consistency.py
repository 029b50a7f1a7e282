"""Typical wrong answers, each with words that its message must have."""

import torch


def _apart(velocities, weights):
    return velocities - torch.einsum("bk,bkd->bd", weights, velocities)[:, None]


def _outer(apart, weights):
    return torch.einsum("bk,bki,bkj->bij", weights, apart, apart)


def _factor(t):
    return ((1 - t) / t)[:, None, None]


def positive(velocities, weights, t):
    """A covariance, as one would expect."""
    return _factor(t) * _outer(_apart(velocities, weights), weights)


def reversed_time(velocities, weights, t):
    """T = 1 is data."""
    return -_outer(_apart(velocities, weights), weights) / _factor(t)


def no_factor(velocities, weights, t):
    """The time has no say."""
    return -_outer(_apart(velocities, weights), weights)


def not_centred(velocities, weights, t):
    """Second moments instead of a covariance."""
    return -_factor(t) * _outer(velocities, weights)


def plain_mean(velocities, weights, t):
    """Centred at another place."""
    return -_factor(t) * _outer(velocities - velocities.mean(dim=1, keepdim=True), weights)


def equal_weights(velocities, weights, t):
    """All experts count alike."""
    return -_factor(t) * torch.einsum("bki,bkj->bij", *2 * (_apart(velocities, weights),))


def trace(velocities, weights, t):
    """The disagreement."""
    return -((1 - t) / t) * (weights * _apart(velocities, weights).square().sum(dim=2)).sum(dim=1)


WRONG_ANSWERS = (
    (positive, "the sign: a router takes weight"),
    (reversed_time, "are exchanged"),
    (no_factor, "the factor (1 - t) / t is missing"),
    (not_centred, "take the blend from each velocity"),
    (plain_mean, "beside the plain mean"),
    (equal_weights, "every expert has the same weight"),
    (trace, "that is the trace"),
)
