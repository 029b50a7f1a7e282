"""`reproduce --until-decided`: samples where claims are open, round after round."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from mnist_ddm.analyses.analysis import Answer
    from mnist_ddm.claims.ledger import Claim
    from mnist_ddm.study.plan import Plan
    from mnist_ddm.study.study import Recordings, Study


def until_decided(
    console: Console,
    study_of: Callable[[Mapping[str, int]], "Study"],
    claims: Sequence["Claim"],
    workers: int,
    backend: str,
    hours: float,
) -> tuple["Study", int]:
    """Record and judge, give open claims more samples, and look again.

    Args:
        console: where it is told.
        study_of: the study with some analyses at other sizes than the scale's.
        claims: that are to be decided.
        workers: parallel processes.
        backend: where they run.
        hours: in which all is to be done; the first look is made whatever it takes.

    Returns:
        The study as it was at the last look, recorded, and the number of that look.
    """
    from mnist_ddm.claims.judge import judge_all
    from mnist_ddm.claims.rounds import LEVEL_OF_A_LOOK, LOOKS, next_round
    from mnist_ddm.claims.word import counts_line, rounded_up
    from mnist_ddm.study.results import results_of
    from mnist_ddm.terminal.recordings import record_with_progress
    from mnist_ddm.terminal.words import shown_duration

    end = time.monotonic() + 3600 * hours
    sizes: dict[str, int] = {}
    for look in range(1, LOOKS + 1):
        study = study_of(sizes)
        if look == 1 and (needs := _seconds(study, study.plan(), workers)) > 3600 * hours:
            console.print(
                f"the first look alone takes about {shown_duration(needs)}, more than --hours {hours:g}; none follows"
            )
        recordings = record_with_progress(console, study.plan(), workers, backend, study.table_seconds)
        judgements = judge_all(claims, results_of(study, _answers(study, recordings), LEVEL_OF_A_LOOK))
        console.print(f"look {look} of at most {LOOKS}: {counts_line(judgements)}")
        now = {name: settings.n for name, settings in study.settings.items()}

        left = end - time.monotonic()
        following = next_round(judgements, now, _cost_of(study_of, sizes, workers), left)
        for claim, needed in following.hopeless.items():
            told = (
                "cannot be told"
                if needed is None
                else "no n"
                if needed == float("inf")
                else f"n = {rounded_up(needed):,}"
            )
            console.print(f"  {claim} stays open; what would decide it: {told}")
        if following.postponed:
            console.print(f"  no time is left for {', '.join(following.postponed)}")
        if look == LOOKS or not following.sizes:
            break
        shown = ", ".join(f"{name} n = {n}" for name, n in following.sizes.items())
        console.print(f"  next: {shown}; {shown_duration(left)} are left")
        sizes |= following.sizes
    return study, look


def _answers(study: "Study", recordings: "Recordings") -> dict[str, "Answer"]:
    """What the analyses say; one that cannot is left out, as in the run that is written in the end."""
    from mnist_ddm.errors import InputError, NotFiniteError

    answers = {}
    for name in study.analyses:
        try:
            answers[name] = study.answer_one(name, recordings)
        except NotFiniteError:  # the other analyses of such a system would mean nothing either
            raise
        except InputError:
            continue
    return answers


def _cost_of(
    study_of: Callable[[Mapping[str, int]], "Study"], sizes: Mapping[str, int], workers: int
) -> Callable[[Mapping[str, int]], tuple[float, float]]:
    """What more samples cost: evaluations, and seconds with the tables of a look and of the run that is written."""

    def cost(wanted: Mapping[str, int]) -> tuple[float, float]:
        study = study_of({**sizes, **wanted})
        plan = study.plan(*(name for name in study.settings if name in wanted))
        return plan.evaluations, _seconds(study, plan, workers)

    return cost


def _seconds(study: "Study", plan: "Plan", workers: int) -> float:
    """Of recordings, and of tables twice: for the look, and in the run that is written in the end."""
    return plan.seconds(workers) + 2 * (study.table_seconds or 0.0)
