"""Typical wrong answers, each with words that its message must have."""

import math

import numpy as np


def against_the_number_of_steps(step_sizes, errors):
    """Log of 1 / h."""
    return float(np.polyfit(np.log(1 / np.array(step_sizes)), np.log(errors), 1)[0])


def one_logarithm(step_sizes, errors):
    """A semilogarithmic plot."""
    return float(np.polyfit(step_sizes, np.log(errors), 1)[0])


def no_logarithm(step_sizes, errors):
    """A plain line."""
    return float(np.polyfit(step_sizes, errors, 1)[0])


def turned_over(step_sizes, errors):
    """X and y exchanged."""
    return float(np.polyfit(np.log(errors), np.log(step_sizes), 1)[0])


def two_points(step_sizes, errors):
    """The ends alone."""
    return math.log(errors[0] / errors[-1]) / math.log(step_sizes[0] / step_sizes[-1])


def intercept(step_sizes, errors):
    """The other coefficient."""
    _, found = np.polyfit(np.log(step_sizes), np.log(errors), 1)
    return float(found)


def both_coefficients(step_sizes, errors):
    """Slope and intercept."""
    return np.polyfit(np.log(step_sizes), np.log(errors), 1)


WRONG_ANSWERS = (
    (against_the_number_of_steps, "the sign"),
    (one_logarithm, "the logarithm of both"),
    (no_logarithm, "without logarithms"),
    (turned_over, "turn it over"),
    (two_points, "the first and the last point alone"),
    (intercept, "that is the intercept"),
    (both_coefficients, "should be a number"),
)
