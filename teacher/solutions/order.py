"""The order, as the slope of a line on logarithmic axes."""

from collections.abc import Sequence

import numpy as np


def order(step_sizes: Sequence[float], errors: Sequence[float]) -> float:
    slope, _ = np.polyfit(np.log(step_sizes), np.log(errors), 1)
    return float(slope)
