"""Corrections for many tests at once."""

from collections.abc import Sequence


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which of some tests are significant at ``level`` for all of them together (Holm 1979).

    The smallest p-value is held against level / m, the next against level / (m - 1), and so on to the first that fails.
    """
    significant, holding = [False] * len(p_values), True
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        holding = holding and p_values[i] <= level / (len(p_values) - rank)
        significant[i] = holding
    return significant
