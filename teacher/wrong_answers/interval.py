"""Typical wrong answers, each with words that its message must have."""

import math

from scipy import stats


def textbook(events, n):
    """The formula that everybody knows."""
    p = events / n
    half = 1.96 * math.sqrt(p * (1 - p) / n)
    return p - half, p + half


def cut_off(events, n):
    """The same within bounds."""
    low, high = textbook(events, n)
    return max(low, 0.0), min(high, 1.0)


def ninety(events, n):
    """The whole 5% on each side."""
    low = 0.0 if events == 0 else float(stats.beta.ppf(0.05, events, n - events + 1))
    high = 1.0 if events == n else float(stats.beta.ppf(0.95, events + 1, n - events))
    return low, high


def wilson(events, n):
    """A good one, and another one."""
    found = stats.binomtest(events, n).proportion_ci(0.95, method="wilson")
    return found.low, found.high


def jeffreys(events, n):
    """From a prior."""
    return tuple(float(e) for e in stats.beta.ppf([0.025, 0.975], events + 0.5, n - events + 0.5))


def counts(events, n):
    """Not divided by n."""
    found = stats.binomtest(events, n).proportion_ci(0.95, method="exact")
    return n * found.low, n * found.high


def no_ends(events, n):
    """The beta distribution has no value there."""
    low = float(stats.beta.ppf(0.025, events, n - events + 1))
    return low, float(stats.beta.ppf(0.975, events + 1, n - events))


WRONG_ANSWERS = (
    (textbook, "which is what must be replaced"),
    (cut_off, "cut off at 0 and 1"),
    (ninety, "an interval of 90%"),
    (wilson, "Wilson's interval"),
    (jeffreys, "Jeffreys' interval"),
    (counts, "these are events"),
    (no_ends, "an end is NaN"),
)
