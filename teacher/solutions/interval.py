"""The exact interval of a share."""

from scipy.stats import beta


def interval(events: int, n: int) -> tuple[float, float]:
    low = 0.0 if events == 0 else float(beta.ppf(0.025, events, n - events + 1))
    high = 1.0 if events == n else float(beta.ppf(0.975, events + 1, n - events))
    return low, high
