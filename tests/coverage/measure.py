"""How often an interval covers, how often it is given, and how often it misleads: given, and wrong."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from kinds import KINDS, Kind

SIZES = (20, 50, 100, 500, 1000)
TOO_OFTEN = 0.07
"""An interval that misleads in more of the tries is not one of 95%."""


@dataclass(frozen=True)
class Coverage:
    """What came of an interval at one n.

    Attributes:
        interval: what it is an interval of.
        data: in words.
        n: samples.
        tries: how often it was drawn.
        given: share of the tries in which it has ends.
        covers: share of those in which it holds the truth; NaN if there is none.
        misled: share of all tries in which it is given and does not hold it.
        power: share of all tries in which it is given and excludes the null; NaN without one.
    """

    interval: str
    data: str
    n: int
    tries: int
    given: float
    covers: float
    misled: float
    power: float


def measure(kind: Kind, n: int, tries: int, seed: int = 0) -> Coverage:
    """Draw an interval again and again."""
    rng = np.random.Generator(np.random.Philox([seed, n]))
    drawn = [kind.draw(rng, n) for _ in range(tries)]
    given = [e for e in drawn if not (math.isnan(e.low) or math.isnan(e.high))]
    slack = 1e-9 * max(1.0, abs(kind.truth))
    right = sum(e.low - slack <= kind.truth <= e.high + slack for e in given)
    power = math.nan if kind.null is None else sum(not e.low <= kind.null <= e.high for e in given) / tries
    covers = right / len(given) if given else math.nan
    return Coverage(kind.interval, kind.data, n, tries, len(given) / tries, covers, (len(given) - right) / tries, power)


def measure_all(tries: int) -> list[dict[str, Any]]:
    """Every kind at every n, as JSON has it; kinds that resample are tried a tenth as often."""
    rows = [asdict(measure(kind, n, max(tries // 10, 50) if kind.slow else tries)) for kind in KINDS for n in SIZES]
    return [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        for row in rows
    ]


def shown(row: dict[str, Any]) -> str:
    """One cell: coverage where given, and in which share of the tries that was; bold if it misleads too often."""
    if row["given"] == 0:
        return "-"
    covers = f"{row['covers']:.3f}"
    text = covers if row["given"] > 0.995 else f"{covers} ({100 * row['given']:.0f}%)"
    return f"**{text}**" if row["misled"] > TOO_OFTEN else text


def table(rows: list[dict[str, Any]]) -> str:
    """For people: a row for each kind, a column for each n, of what `measure_all` returns."""
    lines = ["| interval | data | " + " | ".join(f"n = {n}" for n in SIZES) + " | power at n = 100 |"]
    lines.append("|---" * (len(SIZES) + 3) + "|")
    for i in range(0, len(rows), len(SIZES)):
        group = rows[i : i + len(SIZES)]
        power = next(row["power"] for row in group if row["n"] == 100)
        cells = [group[0]["interval"], group[0]["data"], *map(shown, group)]
        lines.append("| " + " | ".join([*cells, "" if power is None else f"{power:.2f}"]) + " |")
    return "\n".join(lines) + "\n"
