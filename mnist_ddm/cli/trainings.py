"""`reproduce` with several checkpoints: a run of each training, and one of all of them together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from mnist_ddm.claims.ledger import Claim
    from mnist_ddm.study.study import Study


def reproduce_trainings(
    console: Console,
    systems: Sequence[Mapping[str, Any]],
    studies: Sequence["Study"],
    claims: Sequence["Claim"],
    out: Path | None,
    command: str,
    only: tuple[str, ...],
    workers: int,
    backend: str,
) -> Path:
    """Make the run of each training, below the run that joins them.

    Args:
        console: where it is told.
        systems: the options that load each training.
        studies: of each; they have samples of their own.
        claims: that are judged in each.
        out: the folder of the run that joins them.
        command: as it was typed.
        only: names of the claims that the run is for; empty for all.
        workers: parallel processes.
        backend: where they run.

    Returns:
        The folder.
    """
    from mnist_ddm.claims.judge import judge_all
    from mnist_ddm.errors import InputError
    from mnist_ddm.pages.report import write_report
    from mnist_ddm.storage.files import digest
    from mnist_ddm.study.folder import Provenance, default_folder
    from mnist_ddm.study.results import read_results
    from mnist_ddm.study.trainings import joined_answer, training_folders
    from mnist_ddm.terminal.recordings import record_with_progress

    first = studies[0]
    prints = [digest(dict(study.pool.fingerprints)) for study in studies]
    if len(set(prints)) < len(prints):
        raise InputError("a training was given twice: their weights are the same")
    if len({(s.pool.name, s.pool.n_experts, s.pool.sources.get("data")) for s in studies}) > 1:
        raise InputError("the trainings are not of one system: they differ in their experts' number or in their data")
    whole = {**first.identity, "trainings": prints}
    place = out or default_folder({**whole, "claims": list(only)}, first.pool.title)
    joined_options = {**systems[0], "checkpoint": tuple(options["checkpoint"] for options in systems)}
    joined = first.open(place, Provenance(command, joined_options, only), trainings=prints)
    folders = training_folders(place, len(studies))
    for study, options, folder in zip(studies, systems, folders, strict=True):
        console.print(f"training {folder.name} of {len(studies)}: {options['checkpoint']}")
        own = study.open(folder, Provenance(command, options, only))
        study.write(own, record_with_progress(console, study.plan(), workers, backend, study.table_seconds))
        write_report(folder, judge_all(claims, read_results(folder)))
    for name, why in first.absent.items():
        joined.leave_out(name, why)
    for name, settings in first.settings.items():
        try:
            joined.write(name, settings, joined_answer(folders, name))
        except InputError as error:
            joined.leave_out(name, str(error))
    joined.finish({})
    return place
