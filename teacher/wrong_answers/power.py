"""Typical wrong answers, each with words that its message must have."""

import torch


def _unit(v):
    return v / v.norm(dim=1, keepdim=True)


def square(jvp, vjp, start, iterations):
    """The eigenvalue of J^T J."""
    v = _unit(start)
    for _ in range(iterations):
        v = _unit(vjp(jvp(v)))
    return (v * vjp(jvp(v))).sum(dim=1)


def only_j(jvp, vjp, start, iterations):
    """Power iteration for eigenvalues."""
    v = _unit(start)
    for _ in range(iterations):
        v = _unit(jvp(v))
    return jvp(v).norm(dim=1)


def never_a_unit_vector(jvp, vjp, start, iterations):
    """Numbers explode."""
    v = start
    for _ in range(iterations):
        v = vjp(jvp(v))
    return jvp(v).norm(dim=1)


def unit_vector_at_the_end(jvp, vjp, start, iterations):
    """Right, as long as the numbers are finite."""
    v = start
    for _ in range(iterations):
        v = vjp(jvp(v))
    return jvp(_unit(v)).norm(dim=1)


def one_length_for_all(jvp, vjp, start, iterations):
    """The norm of the whole batch."""
    v = start / start.norm()
    for _ in range(iterations):
        v = vjp(jvp(v))
        v = v / v.norm()
    return jvp(v).norm(dim=1)


def no_iteration(jvp, vjp, start, iterations):
    """The loop changes something else."""
    v = _unit(start)
    for _ in range(iterations):
        u = vjp(jvp(v))
        u = _unit(u)
    return jvp(v).norm(dim=1)


def one_number(jvp, vjp, start, iterations):
    """The largest of the batch."""
    v = _unit(start)
    for _ in range(iterations):
        v = _unit(vjp(jvp(v)))
    return torch.linalg.vector_norm(jvp(v), dim=1).max()


WRONG_ANSWERS = (
    (square, "the square of the norm"),
    (only_j, "alternate J and J^T"),
    (never_a_unit_vector, "never made unit vectors"),
    (unit_vector_at_the_end, "the numbers overflow"),
    (one_length_for_all, "one length was used for the whole batch"),
    (no_iteration, "no iteration was made"),
    (one_number, "another shape"),
)
