"""Typical wrong answers, each with words that its message must have."""

import numpy as np
from scipy.stats import kendalltau, spearmanr


def _rho(stability, quality):
    names = sorted(stability)
    return float(spearmanr([stability[n] for n in names], [quality[n] for n in names]).statistic)


def _ends(stability, quality):
    return min(stability, key=stability.get), min(quality, key=quality.get), max(quality, key=quality.get)


def large_is_good(stability, quality):
    """FID as a score."""
    stable, smallest, largest = _ends(stability, quality)
    return _rho(stability, quality), stable, largest, stable == smallest


def large_is_stable(stability, quality):
    """Delta_refine as a score."""
    _, best, worst = _ends(stability, quality)
    stable = max(stability, key=stability.get)
    return _rho(stability, quality), stable, best, stable == worst


def pearson(stability, quality):
    """Values instead of ranks."""
    names = sorted(stability)
    rho = np.corrcoef([stability[n] for n in names], [quality[n] for n in names])[0, 1]
    stable, best, worst = _ends(stability, quality)
    return float(rho), stable, best, stable == worst


def numbers_of_argsort(stability, quality):
    """Not ranks."""
    names = sorted(stability)
    rho = np.corrcoef(np.argsort([stability[n] for n in names]), np.argsort([quality[n] for n in names]))[0, 1]
    stable, best, worst = _ends(stability, quality)
    return float(rho), stable, best, stable == worst


def numbers_of_argsort_in_the_order_given(stability, quality):
    """Not ranks, and in another order."""
    rho = np.corrcoef(np.argsort(list(stability.values())), np.argsort([quality[n] for n in stability]))[0, 1]
    stable, best, worst = _ends(stability, quality)
    return float(rho), stable, best, stable == worst


def kendall(stability, quality):
    """Another correlation of ranks."""
    names = sorted(stability)
    rho = kendalltau([stability[n] for n in names], [quality[n] for n in names]).statistic
    stable, best, worst = _ends(stability, quality)
    return float(rho), stable, best, stable == worst


def best_is_largest(stability, quality):
    """Only one of the four is wrong."""
    stable, _, worst = _ends(stability, quality)
    return _rho(stability, quality), stable, worst, stable == worst


def order_of_the_tables(stability, quality):
    """Values in the order in which they come."""
    rho = spearmanr(list(stability.values()), list(quality.values())).statistic
    stable, best, worst = _ends(stability, quality)
    return float(rho), stable, best, stable == worst


def not_the_best(stability, quality):
    """A weaker meaning of dissociated."""
    stable, best, _ = _ends(stability, quality)
    return _rho(stability, quality), stable, best, stable != best


def sign_of_rho(stability, quality):
    """Quality as minus FID."""
    stable, best, worst = _ends(stability, quality)
    return -_rho(stability, quality), stable, best, stable == worst


def negative_rho(stability, quality):
    """The sign decides."""
    stable, best, _ = _ends(stability, quality)
    return _rho(stability, quality), stable, best, _rho(stability, quality) < 0


def numpys_truth(stability, quality):
    """Rho as the result object."""
    names = sorted(stability)
    stable, best, worst = _ends(stability, quality)
    return spearmanr([stability[n] for n in names], [quality[n] for n in names]), stable, best, stable == worst


WRONG_ANSWERS = (
    (large_is_good, "the best quality has the smallest"),
    (large_is_stable, "the most stable routing has the smallest"),
    (pearson, "that is Pearson's correlation"),
    (numbers_of_argsort, "argsort lists who comes first"),
    (numbers_of_argsort_in_the_order_given, "argsort lists who comes first"),
    (kendall, "that is Kendall's"),
    (best_is_largest, "best has the largest FID"),
    (order_of_the_tables, "look values up by name"),
    (not_the_best, "is the *worst*"),
    (sign_of_rho, "the sign of rho"),
    (negative_rho, "a negative rho alone"),
    (numpys_truth, "rho should be a number"),
)
