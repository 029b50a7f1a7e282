"""Typical wrong answers, each with words that its message must have."""

import torch


def _like(t, x):
    return t.reshape(-1, *(1,) * (x.ndim - 1))


def other_papers_time(clean, noise, t):
    """T = 1 is data, as in papers on flow matching."""
    t = _like(t, clean)
    return t * clean + (1 - t) * noise, clean - noise


def time_reversed_in_the_state(clean, noise, t):
    """Only x_t is reversed."""
    t = _like(t, clean)
    return t * clean + (1 - t) * noise, noise - clean


def sign_of_v(clean, noise, t):
    """The way from noise to data."""
    t = _like(t, clean)
    return (1 - t) * clean + t * noise, clean - noise


def t_on_the_last_axis(clean, noise, t):
    """Broadcasting does what it is not meant to do."""
    return (1 - t) * clean + t * noise, noise - clean


def one_axis_more(clean, noise, t):
    """Enough for rows of numbers, not for images."""
    t = t[:, None]
    return (1 - t) * clean + t * noise, noise - clean


def swapped(clean, noise, t):
    """V comes first."""
    t = _like(t, clean)
    return noise - clean, (1 - t) * clean + t * noise


def variance_preserving(clean, noise, t):
    """The path of another family of models."""
    t = _like(t, clean)
    return torch.sqrt(1 - t) * clean + torch.sqrt(t) * noise, noise - clean


def way_instead_of_speed(clean, noise, t):
    """V as x_t - x_0."""
    t = _like(t, clean)
    x = (1 - t) * clean + t * noise
    return x, x - clean


def only_the_state(clean, noise, t):
    """The target is forgotten."""
    t = _like(t, clean)
    return (1 - t) * clean + t * noise


def no_return(clean, noise, t):
    """The result stays inside."""
    t = _like(t, clean)
    (1 - t) * clean + t * noise, noise - clean


def in_place(clean, noise, t):
    """Saves memory at the caller's expense."""
    v = noise - clean
    clean *= 1 - _like(t, clean)
    clean += _like(t, clean) * noise
    return clean, v


def arrays(clean, noise, t):
    """Numpy instead of torch."""
    t = _like(t, clean)
    return ((1 - t) * clean + t * noise).numpy(), (noise - clean).numpy()


WRONG_ANSWERS = (
    (other_papers_time, "time run the other way"),
    (time_reversed_in_the_state, "t is reversed"),
    (sign_of_v, "the sign of v"),
    (t_on_the_last_axis, "stretched along the last axis"),
    (one_axis_more, "t[:, None] has one axis more"),
    (swapped, "are swapped"),
    (variance_preserving, "square roots"),
    (way_instead_of_speed, "t times too small"),
    (only_the_state, "end with: return x_t, v"),
    (no_return, "is a `return` missing?"),
    (in_place, "changed its argument clean"),
    (arrays, "should be a tensor"),
)
