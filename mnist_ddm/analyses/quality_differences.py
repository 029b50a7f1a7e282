"""How much worse are the samples of one routing than another's, from the same noise?"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mnist_ddm.analyses.columns import ROUTING, N
from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.visits import Sampling
from mnist_ddm.metrics.frechet_limit import FrechetLimit
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
    """Those of `PAIRS` that are there, and each routing that is in none of them with Top-2, or with the first."""
    known = [pair for pair in PAIRS if set(pair) <= set(routings)]
    base = "top2" if "top2" in routings else routings[0]
    single = [r for r in routings if r != base and not any(r in pair for pair in known)]
    return known + [(r, base) for r in single]


def difference_table(
    samplings: Mapping[str, Sampling],
    limits: Mapping[str, Mapping[int, FrechetLimit]],
    on: Mapping[str, NDArray[np.bool_]],
) -> Table:
    """The table of `PAIRS`, and of each other routing with Top-2.

    Args:
        samplings: the samples of each routing.
        limits: their FIDs of infinitely many, where they have one, by how many of their first samples tell it.
        on: which of their first samples lie on the manifold of real ones, as many of each (`metrics/manifold.py`).
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
            }
        )
    notes = (
        "Paired: sample i of both routings starts from the same noise; of routings with unequal numbers of samples the "
        "first n of both. A FID above 0, and a precision below 0, say that the first is worse.",
    )
    return Table(DIFFERENCES, "How much worse are the samples of one routing than another's?", tuple(rows), notes)
