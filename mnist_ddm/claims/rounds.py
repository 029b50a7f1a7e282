r"""Evaluations where claims are open: which analyses to give more samples, round after round, without fooling oneself.

Who looks after every round and stops at the first interval that excludes something finds something that is not there
more often than once in twenty. The error rate is spent in equal parts over at most `LOOKS` looks (Bonferroni, the
simplest group-sequential boundary; Jennison and Turnbull 2000, chapter 2, compare it with Pocock's), which holds
whatever the looks have in common. A test simulates it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mnist_ddm.claims.contrasts import POWER
from mnist_ddm.claims.judge import LEVEL, Judgement, Verdict
from mnist_ddm.stats.quantiles import normal_quantile, normal_share

LOOKS = 4
LEVEL_OF_A_LOOK = LEVEL / LOOKS
LARGEST = 20_000
"""A claim that needs more samples than this is hopeless: their recordings would fill a disk."""
_LEAST, _MOST = 2.0, 8.0
"""A round multiplies samples by so much: less decides little, more spends what another claim may need."""
_SPARE = 1.2
_BEYOND = normal_quantile(1 - LEVEL_OF_A_LOOK / 2)

Sizes = Mapping[str, int]
"""For some analyses their number of samples."""


@dataclass(frozen=True)
class NextRound:
    """What to do after a look.

    Attributes:
        sizes: for each analysis that gets more samples, how many it is to have; none if there is nothing to do.
        hopeless: for each open claim that no affordable number decides, the one that would; infinite if none does, and
            ``None`` if that cannot be told of as many samples as are affordable.
        postponed: open claims for which time does not suffice.
    """

    sizes: Sizes
    hopeless: Mapping[str, float | None]
    postponed: tuple[str, ...]


def predicted_power(growth: float, factor: float) -> float:
    """How likely ``factor`` times the samples decide what ``growth`` times would in four of five tries."""
    return normal_share((_BEYOND + normal_quantile(POWER)) * math.sqrt(factor / growth) - _BEYOND)


def next_round(
    judgements: Sequence[Judgement],
    sizes: Sizes,
    cost: Callable[[Sizes], tuple[float, float]],
    seconds: float,
) -> NextRound:
    """The analyses that are to have more samples: those that decide most for their evaluations, while time suffices.

    Claims of which nobody can tell what would decide them come after all others.

    Args:
        judgements: at this look.
        sizes: of every analysis now.
        cost: evaluations and seconds that it takes to have some analyses at other sizes.
        seconds: that are left.
    """
    hopeless: dict[str, float | None] = {}
    wanted: list[tuple[bool, float, str, dict[str, int]]] = []
    for j in judgements:
        if j.verdict is not Verdict.OPEN:
            continue
        asked = {a: sizes[a] for a in j.claim.analyses if a in sizes}
        unknown = j.needed is None  # as where too few errors are seen for an interval: more samples may have more
        fewest = min(asked.values(), default=LARGEST)
        growth = _MOST if j.needed is None else max(1.0, j.needed / fewest)
        if growth * fewest > LARGEST:
            hopeless[j.claim.id] = j.needed
            continue
        factor = min(max(_LEAST, _SPARE * growth), _MOST)
        larger = {a: min(LARGEST, math.ceil(n * factor)) for a, n in asked.items()}
        evaluations, _ = cost(larger)
        wanted.append((unknown, -predicted_power(growth, factor) / max(1.0, evaluations), j.claim.id, larger))
    chosen: dict[str, int] = {}
    postponed: list[str] = []
    for _, _, claim, larger in sorted(wanted, key=lambda w: w[:3]):  # what can be predicted comes first
        together = chosen | {a: max(n, chosen.get(a, 0)) for a, n in larger.items()}
        if cost(together)[1] <= seconds:
            chosen = together
        else:
            postponed.append(claim)
    return NextRound(chosen, hopeless, tuple(postponed))
