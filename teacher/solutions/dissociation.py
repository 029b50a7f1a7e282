"""Reading a table of stability and quality."""

from collections.abc import Mapping

from scipy.stats import spearmanr


def dissociation(stability: Mapping[str, float], quality: Mapping[str, float]) -> tuple[float, str, str, bool]:
    names = sorted(stability)
    rho = spearmanr([stability[n] for n in names], [quality[n] for n in names]).statistic
    most_stable = min(names, key=lambda n: stability[n])
    best = min(names, key=lambda n: quality[n])
    worst = max(names, key=lambda n: quality[n])
    return float(rho), most_stable, best, most_stable == worst
