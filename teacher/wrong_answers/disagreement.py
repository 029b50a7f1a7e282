"""Typical wrong answers, each with words that its message must have."""

import torch


def _distances(velocities):
    return torch.cdist(velocities, velocities)


def _mean(velocities):
    k = velocities.shape[2]
    return _distances(velocities).sum(dim=(2, 3)) / (k * (k - 1))


def _integral(d, times):
    return ((d[:, :-1] + d[:, 1:]) / 2 * (times[:-1] - times[1:])).sum(dim=1) + d[:, -1] * times[-1]


def mean_of_the_matrix(velocities, times):
    """The diagonal counts."""
    d = _distances(velocities).mean(dim=(2, 3))
    return d, _integral(d, times)


def squared(velocities, times):
    """No root."""
    k = velocities.shape[2]
    d = (_distances(velocities) ** 2).sum(dim=(2, 3)) / (k * (k - 1))
    return d, _integral(d, times)


def sum_of_pairs(velocities, times):
    """No division."""
    d = _distances(velocities).sum(dim=(2, 3)) / 2
    return d, _integral(d, times)


def pairs_twice(velocities, times):
    """Both orders in the sum, one in the number."""
    k = velocities.shape[2]
    d = _distances(velocities).sum(dim=(2, 3)) / (k * (k - 1) / 2)
    return d, _integral(d, times)


def distance_to_the_mean(velocities, times):
    """Another measure of spread."""
    d = (velocities - velocities.mean(dim=2, keepdim=True)).norm(dim=3).mean(dim=2)
    return d, _integral(d, times)


def negative_integral(velocities, times):
    """Falling times."""
    d = _mean(velocities)
    return d, torch.trapezoid(d, times, dim=1)


def piece_missing(velocities, times):
    """Nothing below the last time."""
    d = _mean(velocities)
    return d, torch.trapezoid(d.flip(1), times.flip(0), dim=1)


def sign_of_the_piece(velocities, times):
    """The piece below the last time is subtracted."""
    d = _mean(velocities)
    return d, torch.trapezoid(d.flip(1), times.flip(0), dim=1) - d[:, -1] * times[-1]


def rectangles_from_above(velocities, times):
    """D where an interval begins."""
    d = _mean(velocities)
    return d, (d[:, :-1] * (times[:-1] - times[1:])).sum(dim=1) + d[:, -1] * times[-1]


def rectangles_from_below(velocities, times):
    """D where an interval ends."""
    d = _mean(velocities)
    return d, -(d[:, 1:] * times.diff()).sum(dim=1) + d[:, -1] * times[-1]


def mean_over_times(velocities, times):
    """As if the times were equally spaced."""
    d = _mean(velocities)
    return d, d.mean(dim=1)


def sum_over_times(velocities, times):
    """No widths."""
    d = _mean(velocities)
    return d, d.sum(dim=1)


WRONG_ANSWERS = (
    (mean_of_the_matrix, "an expert with itself"),
    (squared, "not their squares"),
    (sum_of_pairs, "that is the sum over pairs"),
    (pairs_twice, "counted twice"),
    (distance_to_the_mean, "not between pairs"),
    (negative_integral, "the sign of the integral"),
    (piece_missing, "down to 0 is missing"),
    (sign_of_the_piece, "the sign of the last piece"),
    (rectangles_from_above, "the rectangle rule"),
    (rectangles_from_below, "the rectangle rule"),
    (mean_over_times, "mean over the recorded times"),
    (sum_over_times, "without widths"),
)
