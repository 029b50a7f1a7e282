"""Reproducing the paper on a system: every experiment that its claims need, in one plan of shared recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_ddm.analyses.analysis import Analysis, Settings
from mnist_ddm.analyses.registry import ANALYSES, analysis_named
from mnist_ddm.claims.ledger import Claim, claim_named, ledger
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Sampling, Visits
from mnist_ddm.errors import InputError
from mnist_ddm.pages.pictures import save_grid
from mnist_ddm.study.folder import SAMPLES, RunFolder
from mnist_ddm.study.scales import Scale
from mnist_ddm.study.study import Plan, answerable, findings_of, make_plan

SHOWN_ROUTINGS = ("monolith", "label", "top1", "top2", "top4", "full", "uniform", "misaligned2", "once", "each")
"""Whose samples are shown, in this order, where they are recorded."""

_SHOWN_SAMPLES, _COLUMNS = 20, 10


@dataclass(frozen=True)
class Reproduction:
    """What will be done.

    Attributes:
        claims: that get a verdict.
        analyses: with their settings.
        absent: analyses that the system cannot have, and why.
        plan: the recordings that they need together.
    """

    claims: tuple[Claim, ...]
    analyses: Mapping[Analysis, Settings]
    absent: Mapping[Analysis, str]
    plan: Plan


def prepare(pool: ExpertPool, scale: Scale, seed: int, only: Sequence[str] = ()) -> Reproduction:
    """Plan the study of a system.

    Args:
        pool: the system.
        scale: how large.
        seed: of every run.
        only: names of claims; all of them by default.

    Raises:
        InputError: if a claim does not exist, or the system can answer none of the questions.
    """
    claims = tuple(map(claim_named, only)) or tuple(ledger().claims.values())
    wanted = {name for claim in claims for name in claim.analyses}
    chosen = [analysis_named(name) for name in ANALYSES if name in wanted]
    analyses, absent = answerable(pool, scale.analyses(chosen, seed))
    if not analyses:
        raise InputError(f"the system {pool.name!r} can answer none of it: {'; '.join(absent.values())}")
    return Reproduction(claims, analyses, absent, make_plan(pool, analyses))


def answer_all(
    pool: ExpertPool, study: Reproduction, recordings: Mapping[Visits, Recording], folder: RunFolder
) -> list[str]:
    """Write what each analysis finds; those that an earlier try finished are left as they are.

    Returns:
        The names of the analyses that were taken over.
    """
    kept = []
    for analysis, why in study.absent.items():
        folder.leave_out(analysis, why)
    for analysis, settings in study.analyses.items():
        if folder.has(analysis, settings):
            kept.append(analysis.id)
            continue
        try:
            findings = findings_of(analysis, pool, recordings, settings)
        except InputError as error:
            folder.leave_out(analysis, str(error))
        else:
            folder.write(analysis, settings, findings)
    return kept


def save_sample_grids(
    pool: ExpertPool, recordings: Mapping[Visits, Recording], folder: Path, description: Mapping[str, str]
) -> list[Path]:
    """Write a grid of the first samples of each routing, all from the same noise; returns the pictures."""
    runs: dict[str, Sampling] = {}
    for run in recordings:
        if isinstance(run, Sampling) and run.routing in SHOWN_ROUTINGS and not run.variant and run.refine == 1:
            best = runs.get(run.routing)
            if best is None or run.n > best.n:
                runs[run.routing] = run
    written = []
    for routing in (r for r in SHOWN_ROUTINGS if r in runs):
        run = runs[routing]
        images = pool.decode(recordings[run].final[:_SHOWN_SAMPLES].to(pool.device))
        written.append(folder / SAMPLES / f"{routing}.png")
        save_grid(images, written[-1], {**description, "Run": run.label}, columns=_COLUMNS)
    return written
