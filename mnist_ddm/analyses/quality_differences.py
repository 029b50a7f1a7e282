"""How much worse are the samples of one routing than another's, from the same noise?"""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mnist_ddm.analyses.columns import ROUTING, N
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.visits import Sampling
from mnist_ddm.metrics.frechet_limit import FrechetLimit
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.stats.shares import share_change
from mnist_ddm.tables.table import Column, Row, Schema, Table

DIFFERENCES = Schema(
    "quality-differences",
    (
        ROUTING,
        Column("than", "against", "key"),
        N,
        Column("fid_difference", "difference of the FIDs of infinitely many"),
        Column("fid_than", "FID of infinitely many of the second", "note"),
        Column("precision_difference", "difference of the precisions", optional=True),
        Column("n_precision_difference", "n of that difference", "note", optional=True),
        Column("fid_balanced_difference", "difference of the FIDs with the classes' shares put right", optional=True),
    ),
)
PAIRS = (
    *itertools.combinations(("full", "top1", "top2", MONOLITH), 2),
    ("misaligned2", "top2"),
    ("uniform", "full"),
    ("full", "label"),
)
"""Routings whose samples are compared, the first with the second."""


def _pairs(routings: Sequence[str]) -> list[tuple[str, str]]:
    """Those of `PAIRS` that are there, and each routing that is in none of them with Top-2 and with Full.

    Without Top-2 the first routing stands for it.
    """
    known = [pair for pair in PAIRS if set(pair) <= set(routings)]
    base = "top2" if "top2" in routings else routings[0]
    single = [r for r in routings if r != base and not any(r in pair for pair in known)]
    bases = tuple(dict.fromkeys((base, *(r for r in routings if r == "full"))))
    return known + [(r, b) for r in single for b in bases if r != b]


def difference_table(
    samplings: Mapping[str, Sampling],
    limits: Mapping[str, Mapping[int, FrechetLimit]],
    on: Mapping[str, NDArray[np.bool_]],
    balanced: Callable[[str, str, int], Estimate | None] | None = None,
) -> Table:
    """The table of `PAIRS`, and of each other routing with Top-2 and with Full.

    Args:
        samplings: the samples of each routing.
        limits: their FIDs of infinitely many, where they have one, by how many of their first samples tell it.
        on: which of their first samples lie on the manifold of real ones, as many of each (`metrics/manifold.py`).
        balanced: by two routings and a number of their first samples, the paired difference of their distances with
            the classes' shares put right; ``None`` where classes are not known.
    """
    rows: list[Row] = []
    for a, b in _pairs(list(samplings)):
        n = min(samplings[a].n, samplings[b].n)
        first, second = limits[a].get(n), limits[b].get(n)
        rows.append(
            {
                "routing": a,
                "than": b,
                "n": n,
                "fid_difference": None if first is None or second is None else first.minus(second),
                "fid_than": None if second is None else second.value,
                "precision_difference": share_change(on[a], on[b]) if a in on and b in on else None,
                "n_precision_difference": len(on[a]) if a in on and b in on else None,
                **({} if balanced is None else {"fid_balanced_difference": balanced(a, b, n)}),
            }
        )
    notes = (
        "Paired: sample i of both routings starts from the same noise; of routings with unequal numbers of samples the "
        "first n of both. A FID above 0, and a precision below 0, say that the first is worse. With shares put right "
        "the same samples are left out of both by a jackknife of ten groups.",
    )
    return Table(DIFFERENCES, "How much worse are the samples of one routing than another's?", tuple(rows), notes)


def balanced_differences(table: Table) -> dict[tuple[str, str], Estimate]:
    """What `difference_table` says of distances with the shares put right, by the two routings."""
    return {
        (str(row["routing"]), str(row["than"])): apart
        for row in table.rows
        if isinstance(apart := row.get("fid_balanced_difference"), Estimate)
    }
