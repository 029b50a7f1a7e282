"""Typical wrong answers, each with words that its message must have."""

import torch


def half_as_many(integrate, noise, steps, distance):
    """N / 2 against N."""
    return distance(integrate(noise, steps // 2, 1), integrate(noise, steps, 1))


def finer_grid(integrate, noise, steps, distance):
    """2N intervals: a random routing draws anew."""
    return distance(integrate(noise, steps, 1), integrate(noise, 2 * steps, 1))


def other_noise(integrate, noise, steps, distance):
    """Each run has its own start."""
    return distance(integrate(noise, steps, 1), integrate(noise.flip(0), steps, 2))


def same_run(integrate, noise, steps, distance):
    """The distance is 0."""
    return distance(integrate(noise, steps, 1), integrate(noise, steps, 1))


def from_the_result(integrate, noise, steps, distance):
    """The second run starts where the first ended."""
    coarse = integrate(noise, steps, 1)
    return distance(coarse, integrate(coarse, steps, 2))


def mean(integrate, noise, steps, distance):
    """One number for all samples."""
    return distance(integrate(noise, steps, 1), integrate(noise, steps, 2)).mean()


def own_distance(integrate, noise, steps, distance):
    """L2, whatever was given."""
    return (integrate(noise, steps, 1) - integrate(noise, steps, 2)).flatten(1).norm(dim=1)


def row_by_row(integrate, noise, steps, distance):
    """Two runs for each sample."""
    rows = [noise[i : i + 1] for i in range(len(noise))]
    return torch.cat([distance(integrate(row, steps, 1), integrate(row, steps, 2)) for row in rows])


def four_times(integrate, noise, steps, distance):
    """Both are doubled."""
    return distance(integrate(noise, steps, 1), integrate(noise, 2 * steps, 2))


def fresh_noise(integrate, noise, steps, distance):
    """New random numbers."""
    generator = torch.Generator().manual_seed(0)
    other = torch.randn(noise.shape, generator=generator, dtype=noise.dtype)
    return distance(integrate(noise, steps, 1), integrate(other, steps, 2))


WRONG_ANSWERS = (
    (half_as_many, "N was halved"),
    (finer_grid, "use refine=2"),
    (other_noise, "the same noise, in the same order"),
    (same_run, "compared with itself"),
    (from_the_result, "not from the result of the first"),
    (mean, "not their mean"),
    (own_distance, "use the distance that is given"),
    (row_by_row, "two runs are enough"),
    (four_times, "4N steps"),
    (fresh_noise, "the runs start from `noise`"),
)
