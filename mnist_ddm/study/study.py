"""A study: some analyses of one system, from a plan to a run folder.

    >>> from mnist_ddm import Study, load_system
    >>> study = Study(load_system("gaussian"), ["expert-deviation"], n=64, steps=20)
    >>> study.plan().evaluations
    >>> answers = study.answer(study.record())
    >>> study.write("runs/mine")

Commands, notebooks and other packages all go through it.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

from mnist_ddm.analyses.analysis import Analysis, Answer, Need
from mnist_ddm.analyses.registry import analysis_named, installed_analyses, known_analyses
from mnist_ddm.analyses.settings import Settings
from mnist_ddm.core.field import make_field
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError, NotFiniteError, blamed, unknown
from mnist_ddm.storage.cache import recording_store
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study import pace
from mnist_ddm.study.folder import SAMPLES, Provenance, RunFolder, identity, used_recordings
from mnist_ddm.study.plan import Plan, joined
from mnist_ddm.study.record import record_all
from mnist_ddm.study.samples import save_sample_grids
from mnist_ddm.study.scales import scale_named

_ROUTINGS = "routings"
"""The setting that only analyses which compare routings take."""
Recordings = Mapping[Visits, Recording]


@final
class Answers(dict[str, Answer]):
    """What analyses say, by name.

    Attributes:
        absent: for each that the system could not answer, why not.
    """

    def __init__(self, answers: Mapping[str, Answer], absent: Mapping[str, str]) -> None:
        super().__init__(answers)
        self.absent = dict(absent)

    def __missing__(self, name: str) -> Answer:
        """Say why it is not there.

        Raises:
            InputError: always.
        """
        if name in self.absent:
            raise InputError(f"there is no answer of {name}: {self.absent[name]}")
        raise unknown("answer", name, list(self))


@final
class Study:
    """Some analyses of one system.

    Attributes:
        pool: the system.
        scale: how large the study is.
        analyses: those that the system can answer, by name.
        settings: of each.
        absent: for each of the others, why not.
        store: where recordings are kept.
    """

    def __init__(
        self,
        pool: ExpertPool,
        analyses: Iterable[str | Analysis[Any]] | None = None,
        *,
        scale: str = "full",
        store: RecordingStore | None = None,
        sizes: Mapping[str, int] = MappingProxyType({}),
        **choices: Any,
    ) -> None:
        """Choose what to ask.

        Args:
            pool: the system.
            analyses: their names, or analyses themselves; all that there are by default.
            scale: `small`, `medium` or `full` (the paper's numbers).
            store: where recordings are kept; by default the user's cache.
            sizes: for some analyses, by name, their number of samples.
            choices: settings that differ from those of the scale, such as ``n``, ``steps``, ``seed`` or ``routings``,
                for every analysis that has them; ``None`` is no choice.

        Raises:
            InputError: if an analysis or the scale does not exist, or no analysis has a chosen setting.
        """
        self.pool = pool
        self.scale = scale_named(scale)
        self.store = recording_store() if store is None else store
        wanted = known_analyses() if analyses is None else analyses
        asked = [analysis_named(a) if isinstance(a, str) else a for a in wanted]
        given = {name: value for name, value in choices.items() if value is not None}
        self._refuse_routings(asked, given.get(_ROUTINGS, ()))
        self._refuse_unknown(asked, scale, given)
        self.analyses: dict[str, Analysis[Any]] = {}
        self.settings: dict[str, Settings] = {}
        self.absent: dict[str, str] = {}
        self._needs: dict[str, tuple[Need, ...]] = {}
        for analysis in asked:
            own = given if analysis.compares else {k: v for k, v in given.items() if k != _ROUTINGS}
            sized = {"n": sizes[analysis.id]} if analysis.id in sizes else {}
            self._ask(analysis, analysis.sizes.at(scale).choosing(**{**own, **sized}))

    @staticmethod
    def _refuse_unknown(asked: list[Analysis[Any]], scale: str, given: Mapping[str, object]) -> None:
        known = {field.name for analysis in asked for field in fields(analysis.sizes.at(scale))}
        if unknown := sorted(given.keys() - known):
            names = ", ".join(analysis.id for analysis in asked)
            raise InputError(
                f"{names}: there is no setting {unknown[0]!r} to choose; there are: {', '.join(sorted(known))}"
            )

    def _refuse_routings(self, asked: list[Analysis[Any]], routings: Iterable[str]) -> None:
        """Refuse chosen routings that the system cannot have, or that nothing which was asked compares."""
        for routing in routings:
            make_field(self.pool, routing)
        if routings and not any(analysis.compares for analysis in asked):
            said = "; ".join(f"{analysis.id}: {analysis.fixed}" for analysis in asked)
            raise InputError(f"{said}; choose another analysis")

    def _ask(self, analysis: Analysis[Any], settings: Settings) -> None:
        try:
            with self._blamed(analysis.id):
                needs = analysis.needs(self.pool, settings)
            for need in needs:
                need.visits.field(self.pool)
        except InputError as error:
            self.absent[analysis.id] = str(error)
            return
        self.analyses[analysis.id], self.settings[analysis.id] = analysis, settings
        self._needs[analysis.id] = needs

    @staticmethod
    def _blamed(name: str) -> AbstractContextManager[None]:
        """What another package provides is named if it fails; a defect of ours or of a script is shown as it is."""
        return blamed(f"the analysis {name!r}") if name in installed_analyses().readable else nullcontext()

    def plan(self, *names: str) -> Plan:
        """The recordings that the analyses (or some of them) need; what several need is computed once."""
        chosen = names or tuple(self.analyses)
        return joined(self.pool, (need for name in chosen for need in self._needs[name]), self.store)

    def recorded_sizes(self, among: Iterable[int]) -> dict[str, int]:
        """For each analysis the largest number of samples that the store holds all recordings of, if above its own.

        Args:
            among: the numbers to look for.
        """
        found: dict[str, int] = {}
        for name, analysis in self.analyses.items():
            own = self.settings[name]
            for n in sorted((n for n in among if n > own.n), reverse=True):
                needs = analysis.needs(self.pool, own.choosing(n=n))
                if not joined(self.pool, (need for need in needs if not need.optional), self.store).missing:
                    found[name] = n
                    break
        return found

    @property
    def table_seconds(self) -> float | None:
        """About how long the tables will take after the recordings; ``None`` with an analysis that nobody timed."""
        return pace.expected(self.store.folder, self.pool.title, self.settings)

    @property
    def indifferent(self) -> dict[str, str]:
        """For each analysis that takes no choice of routings, why not."""
        return {name: analysis.fixed for name, analysis in self.analyses.items() if not analysis.compares}

    @property
    def required(self) -> set[Visits]:
        """The visits without which some analysis has no answer."""
        return {need.visits for needs in self._needs.values() for need in needs if not need.optional}

    def record(
        self, workers: int = 1, on_progress: Callable[[Visits, float], None] = lambda visits, fraction: None
    ) -> dict[Visits, Recording]:
        """Make the recordings that the store does not have, and read them all.

        Args:
            workers: parallel processes; the result does not depend on it.
            on_progress: called with visits and the fraction of them that is done.
        """
        return record_all(self.pool, self.plan().wanted, self.store, workers, on_progress)

    def answer(self, recordings: Recordings) -> "Answers":
        """What each analysis says, by name; one that the system cannot answer says why when it is asked for."""
        return Answers({name: self.answer_one(name, recordings) for name in self.analyses}, self.absent)

    def answer_one(self, name: str, recordings: Recordings) -> Answer:
        """What one analysis says; every table says what the system is where its name alone could mislead."""
        with self._blamed(name):
            answer = self.analyses[name].answer(self.pool, recordings, self.settings[name])
        if not self.pool.description:
            return answer
        said = f"system: {self.pool.title}, {self.pool.description}."
        return replace(answer, tables=tuple(replace(table, notes=(*table.notes, said)) for table in answer.tables))

    def run(self, workers: int = 1) -> "Answers":
        """Record and answer."""
        return self.answer(self.record(workers))

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two studies the same one."""
        return identity(self.pool, self.scale.name, self.settings, self.absent)

    def open(self, folder: Path, provenance: Provenance, **more: Any) -> RunFolder:
        """The run folder of this study, new or as an earlier try left it.

        Args:
            folder: its place.
            provenance: command and options, for the manifest.
            more: of the manifest's `Run` that makes it another run than the study alone would be.

        Raises:
            InputError: if the folder holds anything else, or cannot be written.
        """
        return RunFolder(folder, {**self.identity, **more}, self.pool, provenance)

    def write(
        self,
        folder: Path | str | RunFolder,
        recordings: Recordings | None = None,
        on_answer: Callable[[str, Answer | None], None] = lambda name, answer: None,
    ) -> RunFolder:
        """Answer everything into a run folder; what an earlier try left whole is taken over.

        Args:
            folder: its place, or the folder itself.
            recordings: of `record`; made here by default.
            on_answer: called with each analysis' name and its answer, ``None`` if that was taken over.

        Raises:
            InputError: if the folder holds anything else, or cannot be written.
        """
        opened = folder if isinstance(folder, RunFolder) else self.open(Path(folder), Provenance())
        recordings = self.record() if recordings is None else recordings
        for name, why in self.absent.items():
            opened.leave_out(name, why)
        for name, settings in self.settings.items():
            if opened.has(name, settings):
                on_answer(name, None)
                continue
            begin = time.monotonic()
            try:
                answer = self.answer_one(name, recordings)
            except NotFiniteError:  # the other analyses of such a system would mean nothing either
                raise
            except InputError as error:
                opened.leave_out(name, str(error))
                continue
            opened.write(name, settings, answer)
            pace.note(self.store.folder, self.pool.title, name, settings.n, time.monotonic() - begin)
            on_answer(name, answer)
        chosen = [routing for settings in self.settings.values() for routing in getattr(settings, _ROUTINGS, ())]
        save_sample_grids(self.pool, recordings, opened.folder / SAMPLES, opened.picture_header, chosen)
        opened.finish(used_recordings(self.pool, recordings, self.store))
        return opened
