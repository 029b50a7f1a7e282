"""Typical wrong answers, each with words that its message must have."""

import math

import torch


def _parts(x, t, means, scales):
    alpha = (1 - t)[:, None]
    variance = alpha**2 * scales**2 + t[:, None] ** 2
    square = ((x[:, None] - alpha[:, :, None] * means) ** 2).sum(dim=2)
    return variance, square


def _logits(x, t, means, scales, prior):
    variance, square = _parts(x, t, means, scales)
    return torch.log(prior) - x.shape[1] / 2 * torch.log(variance) - square / (2 * variance)


def time_reversed(x, t, means, scales, prior):
    """T = 1 is data."""
    return _logits(x, 1 - t, means, scales, prior).softmax(dim=1)


def no_prior(x, t, means, scales, prior):
    """All clusters equally frequent."""
    variance, square = _parts(x, t, means, scales)
    return (-x.shape[1] / 2 * torch.log(variance) - square / (2 * variance)).softmax(dim=1)


def no_normaliser(x, t, means, scales, prior):
    """The exponent alone."""
    variance, square = _parts(x, t, means, scales)
    return (torch.log(prior) - square / (2 * variance)).softmax(dim=1)


def normaliser_of_one_dimension(x, t, means, scales, prior):
    """The density of a number, not of a vector."""
    variance, square = _parts(x, t, means, scales)
    return (torch.log(prior) - torch.log(variance) / 2 - square / (2 * variance)).softmax(dim=1)


def means_do_not_shrink(x, t, means, scales, prior):
    """The clean centroids."""
    variance, _ = _parts(x, t, means, scales)
    square = ((x[:, None] - means) ** 2).sum(dim=2)
    return (torch.log(prior) - x.shape[1] / 2 * torch.log(variance) - square / (2 * variance)).softmax(dim=1)


def clean_variance(x, t, means, scales, prior):
    """The noise is forgotten in the width."""
    _, square = _parts(x, t, means, scales)
    variance = scales**2
    return (torch.log(prior) - x.shape[1] / 2 * torch.log(variance) - square / (2 * variance)).softmax(dim=1)


def standard_deviations_mixed(x, t, means, scales, prior):
    """No squares in V."""
    _, square = _parts(x, t, means, scales)
    variance = (1 - t)[:, None] * scales + t[:, None]
    return (torch.log(prior) - x.shape[1] / 2 * torch.log(variance) - square / (2 * variance)).softmax(dim=1)


def variance_squared(x, t, means, scales, prior):
    """V as if it were a standard deviation."""
    variance, square = _parts(x, t, means, scales)
    return (torch.log(prior) - x.shape[1] / 2 * torch.log(variance) - square / (2 * variance**2)).softmax(dim=1)


def half_missing(x, t, means, scales, prior):
    """The exponent is twice as large."""
    variance, square = _parts(x, t, means, scales)
    return (torch.log(prior) - x.shape[1] / 2 * torch.log(variance) - square / variance).softmax(dim=1)


def scales_as_variances(x, t, means, scales, prior):
    """The square is missing."""
    return _logits(x, t, means, torch.sqrt(scales), prior).softmax(dim=1)


def logarithms(x, t, means, scales, prior):
    """The softmax is missing."""
    return _logits(x, t, means, scales, prior)


def not_normalised(x, t, means, scales, prior):
    """Densities times prior."""
    return torch.exp(_logits(x, t, means, scales, prior))


def over_the_states(x, t, means, scales, prior):
    """The wrong axis."""
    return _logits(x, t, means, scales, prior).softmax(dim=0)


def underflow_without_the_constant(x, t, means, scales, prior):
    """Small variances to a high power are infinite."""
    variance, square = _parts(x, t, means, scales)
    density = prior * variance ** (-x.shape[1] / 2) * torch.exp(-square / (2 * variance))
    return density / density.sum(dim=1, keepdim=True)


def underflow(x, t, means, scales, prior):
    """Densities first, logarithms never."""
    variance, square = _parts(x, t, means, scales)
    density = prior * (2 * math.pi * variance) ** (-x.shape[1] / 2) * torch.exp(-square / (2 * variance))
    return density / density.sum(dim=1, keepdim=True)


WRONG_ANSWERS = (
    (time_reversed, "t is reversed"),
    (no_prior, "the prior is missing"),
    (no_normaliser, "V_k^(-d/2) of the density is missing"),
    (normaliser_of_one_dimension, "counts d times"),
    (means_do_not_shrink, "the means shrink"),
    (clean_variance, "the noise widens the clusters"),
    (standard_deviations_mixed, "V_k is made of squares"),
    (variance_squared, "not by 2 V_k^2"),
    (half_missing, "the 1/2 in the exponent"),
    (scales_as_variances, "standard deviations"),
    (logarithms, "these are logarithms"),
    (not_normalised, "do not sum to 1"),
    (over_the_states, "over the clusters, dim=1"),
    (underflow_without_the_constant, "use logarithms"),
    (underflow, "too small for a computer"),
)
