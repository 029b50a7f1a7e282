"""Quality with the shares of the classes taken apart: how wrong they are, what that costs, and what is left of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from mnist_ddm.analyses.columns import FID, ROUTING, N
from mnist_ddm.core.measures import Features
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.errors import InputError
from mnist_ddm.figures.plot import Plot, Series
from mnist_ddm.metrics.fidelity import HELD_OUT
from mnist_ddm.metrics.frechet import extract
from mnist_ddm.metrics.real import RealFeatures, real_features, real_images
from mnist_ddm.metrics.strata import (
    Classes,
    balancing_weights,
    class_shares,
    classes_of,
    effective_number,
    imbalance,
    imbalance_floor,
    recall_within,
)
from mnist_ddm.metrics.weighted import WeightedDistance, balanced_kernel_distance
from mnist_ddm.stats.intervals import Estimate
from mnist_ddm.tables.table import FRACTION, Column, Row, Schema, Table, Value

FID_BALANCED = Column("fid_balanced", "FID with the classes' shares put right")
IMBALANCE_EXCESS = Column("imbalance_excess", "class imbalance above chance")
_SHARES_ALONE = Column("fid_shares", "FID of real states with these shares")
WITHIN = Schema(
    "quality-within-classes",
    (
        ROUTING,
        N,
        replace(FID, role="note"),
        FID_BALANCED,
        _SHARES_ALONE,
        Column("kid_balanced", "KID x 1000 with the shares put right"),
        Column("n_effective", "effective n", "note"),
        IMBALANCE_EXCESS,
        Column("recall_within", "recall within classes", kind=FRACTION),
        Column("recall_of_real", "of as many real states", "note"),
        Column("missing", "classes without samples", "note"),
    ),
)
_BASE = "full"
"""What the other routings are compared with in words, where it is there."""


@final
@dataclass(frozen=True)
class Classified:
    """Samples of one routing.

    Attributes:
        vectors: their features, shape ``(n, dim)``.
        classes: of each, shape ``(n,)``.
        asked: the caption of each, if they have any.
    """

    vectors: Tensor
    classes: Tensor
    asked: tuple[str, ...] = ()

    def first(self, n: int) -> "Classified":
        """The first n of them."""
        return Classified(self.vectors[:n], self.classes[:n], self.asked[:n])


@final
@dataclass(frozen=True)
class ClassesApart:
    """What samples of a system are compared with, class by class.

    Attributes:
        classes: the division.
        real: features of held-out real states.
        real_classes: of them.
        training: features of training states, as samples that are perfect but for their shares.
        training_classes: of them.
    """

    classes: Classes
    real: RealFeatures
    real_classes: Tensor
    training: Tensor
    training_classes: Tensor

    @staticmethod
    def of(pool: ExpertPool, features: Features) -> "ClassesApart":
        """Of a system in the features of a metric.

        Raises:
            InputError: if the system has no classes, or no real states.
        """
        classes, real = classes_of(pool), real_features(pool, features)
        training = pool.decode(pool.measures.real_states(HELD_OUT, held_out=False)[0])
        vectors = extract(features, training)
        return ClassesApart(classes, real, classes.of(real_images(pool)), vectors, classes.of(training))

    @staticmethod
    def known(pool: ExpertPool, features: Features) -> "ClassesApart | None":
        """The same; ``None`` for a system that knows no classes."""
        try:
            return ClassesApart.of(pool, features)
        except InputError:
            return None

    @cached_property
    def _distance(self) -> WeightedDistance:
        return WeightedDistance(self.real.vectors)

    def balanced(self, images: Tensor, vectors: Tensor, asked: tuple[str, ...] = ()) -> Estimate:
        """The Frechet distance of samples, and their captions if they have any, with the classes' shares put right."""
        return self._distance.balanced(vectors, self.classes.of(images), self.classes.shares, asked)

    def differences(self, seen: Mapping[str, Classified]) -> Callable[[str, str, int], Estimate | None]:
        """How much larger that distance is of one routing than another's, of their first n samples, paired.

        ``None`` for a routing whose samples were not seen.
        """

        def of(first: str, second: str, n: int) -> Estimate | None:
            if not {first, second} <= seen.keys():
                return None
            a, b = seen[first].first(n), seen[second].first(n)
            return self._distance.balanced_difference(
                a.vectors, a.classes, b.vectors, b.classes, self.classes.shares, a.asked
            )

        return of

    def measured(self, images: Tensor, vectors: Tensor, asked: tuple[str, ...] = ()) -> dict[str, Value]:
        """The columns of `WITHIN` but for keys and the plain distance, of samples ``(n, ...)`` and their features.

        Args:
            images: of the samples.
            vectors: their features.
            asked: the caption of each, if they have any.
        """
        shares, seen = self.classes.shares, self.classes.of(images)
        n, n_classes = len(seen), len(shares)
        counts = seen.bincount(minlength=n_classes)
        as_seen = balancing_weights(self.training_classes, class_shares(seen, n_classes))
        kid = balanced_kernel_distance(self.real.kernel, vectors, seen, shares, asked)
        real, real_classes = self.real.vectors, self.real_classes
        alike = self._as_many(counts)
        recalls = [
            recall_within(real, real_classes, own, of, shares)
            for own, of in ((vectors, seen), (self.training[alike], self.training_classes[alike]))
        ]
        lacking = [self.classes.names[c] for c in range(n_classes) if counts[c] == 0 and shares[c] > 0]
        return {
            "fid_balanced": self._distance.balanced(vectors, seen, shares, asked),
            "fid_shares": self._distance(self.training, as_seen),
            "kid_balanced": Estimate(*(1000 * end for end in (kid.value, kid.low, kid.high))),
            "n_effective": effective_number(balancing_weights(seen, shares)),
            "imbalance_excess": imbalance(seen, shares) - imbalance_floor(n, shares),
            "recall_within": recalls[0],
            "recall_of_real": recalls[1],
            "missing": ", ".join(lacking) or None,
        }

    def _as_many(self, counts: Tensor) -> Tensor:
        """Rows of training states, of each class as many as were counted if there are."""
        rows = [(self.training_classes == c).nonzero()[:count, 0] for c, count in enumerate(counts.tolist())]
        return torch.cat(rows)

    def table(self, rows: Sequence[Row], differences: Mapping[tuple[str, str], Estimate]) -> Table:
        """The table of some routings.

        Args:
            rows: of each.
            differences: of the distances with the shares put right of two of them, paired.
        """
        notes = (
            f"Classes: {self.classes.what}. Shares put right: samples are weighted so that each class has its share of "
            "the data; extrapolated to infinite n, with the interval of a jackknife. With fewer than four samples of a "
            "class nothing is extrapolated, so that the distance is too large; without any there is none. effective n: "
            "Kish.",
            "FID of real states with these shares: what wrong shares alone cost, of training states weighted to the "
            "shares that the samples have.",
            "class imbalance above chance: total variation between the shares of samples and data, less its mean for "
            "as many independent draws. recall: share of real states that have a sample of their class as near as that "
            "sample's 5th neighbour.",
            *told(rows, differences),
        )
        return Table(WITHIN, "Quality within classes, and what the classes' shares cost", tuple(rows), notes)


def best_first(balanced: Mapping[str, Estimate]) -> str | None:
    """Names by their distances with the shares put right, the smallest first; ``None`` if one cannot be told."""
    if not balanced or any(math.isnan(distance.value) for distance in balanced.values()):
        return None
    return ", ".join(sorted(balanced, key=lambda name: balanced[name].value))


def parts_plot(rows: Sequence[Row]) -> Plot:
    """For each routing its distance, what its shares alone cost, and what is left within classes."""

    def bars(label: str, key: str) -> Series:
        named = [(str(row["routing"]), row[key]) for row in rows]
        known = [(name, v.value if isinstance(v, Estimate) else v) for name, v in named]
        return Series(label, [name for name, _ in known], [v if isinstance(v, float) else math.nan for _, v in known])

    parts = (
        bars("FID", "fid"),
        bars("of real states with these shares", "fid_shares"),
        bars("with the shares put right", "fid_balanced"),
    )
    return Plot("quality-parts", "bars", "How much of a Frechet distance is class shares?", "routing", "FID", parts)


def told(rows: Sequence[Row], differences: Mapping[tuple[str, str], Estimate]) -> tuple[str, ...]:
    """In words, for routings beside the full ensemble, which part of a difference of distances is shares.

    Args:
        rows: of `WITHIN`.
        differences: of the distances with the shares put right of two routings, paired, in either order.
    """
    by_routing: Mapping[str, Row] = {str(row["routing"]): row for row in rows}
    base = by_routing.get(_BASE)
    if base is None:
        return ()
    words = []
    for routing, row in by_routing.items():
        if routing == _BASE:
            continue
        ends = [(row[key], base[key]) for key in ("fid", "fid_shares")]
        (whole, shares) = (a - b if isinstance(a, float) and isinstance(b, float) else math.nan for a, b in ends)
        within = _paired(differences, routing, _BASE)
        if math.isnan(whole) or within is None:
            continue
        if math.isnan(within.value):
            words.append(f"{routing} {whole:+.3f}, shares alone {shares:+.3f}, within classes not told")
            continue
        interval = "" if math.isnan(within.low) else f" [{within.low:+.3f}, {within.high:+.3f}]"
        words.append(
            f"{routing} {whole:+.3f}, shares alone {shares:+.3f}, within classes {within.value:+.3f}{interval}"
        )
    return (f"FID less that of {_BASE}, within classes paired by noise: {'; '.join(words)}.",) if words else ()


def _paired(differences: Mapping[tuple[str, str], Estimate], first: str, second: str) -> Estimate | None:
    """That of two routings, whichever of them comes first where it is known."""
    if (first, second) in differences:
        return differences[first, second]
    other = differences.get((second, first))
    return None if other is None else Estimate(-other.value, -other.high, -other.low)
