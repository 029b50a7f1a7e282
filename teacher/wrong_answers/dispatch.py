"""Typical wrong answers, each with words that its message must have."""

import torch


def one_state_after_the_other(experts, weights, x, t):
    """A loop over the batch."""
    found = torch.zeros_like(x)
    for i in range(len(x)):
        for k, expert in enumerate(experts):
            if weights[i, k] > 0:
                found[i] += weights[i, k] * expert(x[i : i + 1], t[i : i + 1])[0]
    return found


def everything_to_everyone(experts, weights, x, t):
    """Zeros are computed, too."""
    found = torch.zeros_like(x)
    for k, expert in enumerate(experts):
        found = found + weights[:, k, None, None, None] * expert(x, t)
    return found


def everything_to_those_needed(experts, weights, x, t):
    """Some experts are spared, no state is."""
    found = torch.zeros_like(x)
    for k, expert in enumerate(experts):
        if (weights[:, k] > 0).any():
            found = found + weights[:, k, None, None, None] * expert(x, t)
    return found


def _dispatch(experts, weights, x, t, add):
    found = torch.zeros_like(x)
    for k, expert in enumerate(experts):
        rows = (weights[:, k] > 0).nonzero()[:, 0]
        if len(rows) > 0:
            add(found, rows, expert(x[rows], t[rows]), weights[rows, k, None, None, None])
    return found


def no_weights(experts, weights, x, t):
    """Velocities as they are."""

    def add(found, rows, v, w):
        found[rows] += v

    return _dispatch(experts, weights, x, t, add)


def overwrites(experts, weights, x, t):
    """The last expert wins."""

    def add(found, rows, v, w):
        found[rows] = w * v

    return _dispatch(experts, weights, x, t, add)


def empty_batches(experts, weights, x, t):
    """Experts that nobody needs are called."""
    found = torch.zeros_like(x)
    for k, expert in enumerate(experts):
        rows = weights[:, k].nonzero()[:, 0]
        found[rows] += weights[rows, k, None, None, None] * expert(x[rows], t[rows])
    return found


def all_times(experts, weights, x, t):
    """Rows are selected of x only."""
    found = torch.zeros_like(x)
    for k, expert in enumerate(experts):
        rows = weights[:, k].nonzero()[:, 0]
        if len(rows) > 0:
            found[rows] += weights[rows, k, None, None, None] * expert(x[rows], t)
    return found


def first_times(experts, weights, x, t):
    """Times of other rows."""
    found = torch.zeros_like(x)
    for k, expert in enumerate(experts):
        rows = weights[:, k].nonzero()[:, 0]
        if len(rows) > 0:
            found[rows] += weights[rows, k, None, None, None] * expert(x[rows], t[: len(rows)])
    return found


WRONG_ANSWERS = (
    (one_state_after_the_other, "may be called only once"),
    (everything_to_everyone, "rows without weight"),
    (everything_to_those_needed, "got the rows of others"),
    (no_weights, "the weights are missing"),
    (overwrites, "overwrote"),
    (empty_batches, "empty batch"),
    (all_times, "times of shape (12,)"),
    (first_times, "do not belong together"),
)
