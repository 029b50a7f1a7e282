"""Typical wrong answers, each with words that its message must have."""

import torch


def _cosine(velocities, reference):
    a, b = velocities.flatten(2), reference.flatten(1)[:, None]
    return (a * b).sum(dim=2) / (a.norm(dim=2) * b.norm(dim=2))


def radians(velocities, reference):
    """The unit is wrong."""
    return torch.arccos(_cosine(velocities, reference).clamp(-1, 1))


def cosine(velocities, reference):
    """Not yet an angle."""
    return _cosine(velocities, reference)


def absolute(velocities, reference):
    """Opposite counts as parallel."""
    return torch.rad2deg(torch.arccos(_cosine(velocities, reference).abs().clamp(max=1)))


def no_clamp(velocities, reference):
    """NaN for parallel vectors."""
    return torch.rad2deg(torch.arccos(_cosine(velocities, reference)))


def bounds_inside(velocities, reference):
    """A margin against NaN, at the price of 0.08 degrees."""
    return torch.rad2deg(torch.arccos(_cosine(velocities, reference).clamp(-1 + 1e-6, 1 - 1e-6)))


def bounds_just_inside(velocities, reference):
    """A smaller margin."""
    return torch.rad2deg(torch.arccos(_cosine(velocities, reference).clamp(-1 + 1e-8, 1 - 1e-8)))


def along_the_experts(velocities, reference):
    """Torch's function with its own axis."""
    cosine = torch.cosine_similarity(velocities, reference[:, None])
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))


def along_the_channels(velocities, reference):
    """One axis of the image."""
    cosine = torch.cosine_similarity(velocities, reference[:, None], dim=2)
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))


def along_the_experts_of_vectors(velocities, reference):
    """Flattened, and yet the wrong axis."""
    cosine = torch.cosine_similarity(velocities.flatten(2), reference.flatten(1)[:, None])
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))


def dot_product(velocities, reference):
    """The lengths are forgotten."""
    dots = (velocities.flatten(2) * reference.flatten(1)[:, None]).sum(dim=2)
    return torch.rad2deg(torch.arccos(dots.clamp(-1, 1)))


def squared_lengths(velocities, reference):
    """Divided by the squares."""
    a, b = velocities.flatten(2), reference.flatten(1)[:, None]
    cosine = (a * b).sum(dim=2) / ((a**2).sum(dim=2) * (b**2).sum(dim=2))
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))


def rows_of_pixels(velocities, reference):
    """Torch's function on images."""
    cosine = torch.cosine_similarity(velocities, reference[:, None], dim=-1)
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))).flatten(2).mean(dim=2)


WRONG_ANSWERS = (
    (radians, "these are radians"),
    (cosine, "this is the cosine"),
    (absolute, "loses the direction"),
    (no_clamp, "clamp it to [-1, 1]"),
    (bounds_inside, "the bounds are too narrow"),
    (bounds_just_inside, "the bounds are too narrow"),
    (along_the_experts, "along another axis"),
    (along_the_channels, "along another axis"),
    (along_the_experts_of_vectors, "along another axis"),
    (dot_product, "divide by both lengths"),
    (squared_lengths, "not by their squares"),
    (rows_of_pixels, "flatten a whole image"),
)
