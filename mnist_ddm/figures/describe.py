"""Plots in words, for those who do not see them."""

import math

from mnist_ddm.figures.plot import Plot

_FEW = 12
"""Points that are told one by one."""


def described(plot: Plot) -> str:
    """The plot in words: what is drawn over what, and each series by its ends or values."""
    parts = [f"{plot.y_label} over {plot.x_label}."]
    for series in plot.series:
        name = series.label or "values"
        known = [i for i, y in enumerate(series.y) if not math.isnan(y)]
        pairs = [(series.x[i], series.y[i]) for i in known]
        if not pairs:
            parts.append(f"{name}: no values.")
        elif plot.kind == "lines":
            (x0, y0), (x1, y1) = pairs[0], pairs[-1]
            parts.append(f"{name}: {y0:.3g} at {_short(x0)}, {y1:.3g} at {_short(x1)}.")
        elif plot.kind == "points" and len(pairs) > _FEW:
            ys = sorted(y for _, y in pairs)
            parts.append(f"{name}: {len(pairs)} points, median {ys[len(ys) // 2]:.3g}, largest {ys[-1]:.3g}.")
        else:
            names = [series.names[i] if series.names else _short(series.x[i]) for i in known]
            values = ", ".join(f"{n} {y:.3g}" for n, (_, y) in zip(names, pairs, strict=True))
            parts.append(f"{name}: {values}.")
    return " ".join(parts)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else str(value)
