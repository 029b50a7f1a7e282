"""Typical wrong answers, each with words that its message must have."""

from itertools import pairwise


def euler(velocity, x, times):
    """One slope."""
    for t, t_next in pairwise(times):
        x = x + (t_next - t) * velocity(x, t)
    return x


def second_look_at_zero(velocity, x, times):
    """Heun everywhere."""
    for t, t_next in pairwise(times):
        h, first = t_next - t, velocity(x, t)
        x = x + h / 2 * (first + velocity(x + h * first, t_next))
    return x


def _with(slope, velocity, x, times):
    for t, t_next in pairwise(times):
        h, first = t_next - t, velocity(x, t)
        guess = x + h * first
        x = guess if t_next == 0 else x + h * slope(velocity, x, guess, t, t_next, first)
    return x


def second_slope_at_t(velocity, x, times):
    """The time of the guess is wrong."""
    return _with(lambda v, x, guess, t, t_next, first: (first + v(guess, t)) / 2, velocity, x, times)


def second_slope_at_x(velocity, x, times):
    """The guess is not used."""
    return _with(lambda v, x, guess, t, t_next, first: (first + v(x, t_next)) / 2, velocity, x, times)


def sum_of_slopes(velocity, x, times):
    """The half is missing."""
    return _with(lambda v, x, guess, t, t_next, first: first + v(guess, t_next), velocity, x, times)


def only_the_second_slope(velocity, x, times):
    """Implicit, nearly."""
    return _with(lambda v, x, guess, t, t_next, first: v(guess, t_next), velocity, x, times)


def from_the_guess(velocity, x, times):
    """Goes on where it only looked."""
    for t, t_next in pairwise(times):
        h, first = t_next - t, velocity(x, t)
        guess = x + h * first
        x = guess if t_next == 0 else guess + h / 2 * (first + velocity(guess, t_next))
    return x


def sign_of_the_step(velocity, x, times):
    """Away from the data."""
    for t, t_next in pairwise(times):
        h, first = t - t_next, velocity(x, t)
        x = x + h / 2 * (first + velocity(x + h * first, t_next))
    return x


def midpoint(velocity, x, times):
    """Also of second order."""
    for t, t_next in pairwise(times):
        h = t_next - t
        x = x + h * velocity(x + h / 2 * velocity(x, t), t + h / 2)
    return x


def first_slope_twice(velocity, x, times):
    """Right, and half as dear again."""
    for t, t_next in pairwise(times):
        h = t_next - t
        guess = x + h * velocity(x, t)
        x = guess if t_next == 0 else x + h / 2 * (velocity(x, t) + velocity(guess, t_next))
    return x


WRONG_ANSWERS = (
    (euler, "that is Euler's method"),
    (second_look_at_zero, "into t = 0 must be Euler's"),
    (second_slope_at_t, "not velocity(guess, t)"),
    (second_slope_at_x, "not velocity(x, t_next)"),
    (sum_of_slopes, "added, not averaged"),
    (only_the_second_slope, "only the second slope"),
    (from_the_guess, "not from the guess"),
    (sign_of_the_step, "the sign of the step"),
    (midpoint, "that is the midpoint method"),
    (first_slope_twice, "three looks in a step"),
)
