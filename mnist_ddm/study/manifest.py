"""What the manifest of a run says, with its types and the rules that bind it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, final

import msgspec

from mnist_ddm.core.visits import Noising, Sampling, Visits
from mnist_ddm.storage.names import inside
from mnist_ddm.storage.typed import as_kind

_KINDS: Mapping[str, type[Sampling] | type[Noising]] = {"sampling": Sampling, "noising": Noising}
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Option = str | int | float | list[str] | None


@final
class AnalysisEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest says of one analysis.

    Attributes:
        n: number of samples.
        settings: of the analysis.
        tables: their names.
        plots: their names.
        files: the hash of each file of these, by its name in the run's folder.
    """

    n: _Count
    settings: dict[str, Any]
    tables: list[str]
    plots: list[str]
    files: dict[str, str]


@final
class RecordingEntry(msgspec.Struct, frozen=True, kw_only=True, rename={"evaluations": "expert evaluations"}):
    """What a manifest says of one recording.

    Attributes:
        visits: their kind and settings.
        n: the numbers of samples that analyses read.
        observables: that were kept.
        evaluations: of experts.
        files: the hash of each file, by its name in the recording's folder.
    """

    visits: dict[str, Any]
    n: Annotated[list[_Count], msgspec.Meta(min_length=1)]
    observables: list[str] = []
    evaluations: _Count = 0
    files: dict[str, str] = {}

    def __post_init__(self) -> None:
        self.visited()

    def visited(self) -> list[Visits]:
        """The visits, for each number of samples.

        Raises:
            ValueError: if there are no such visits.
        """
        kind = self.visits.get("kind")
        if not isinstance(kind, str) or kind not in _KINDS:
            raise ValueError(f"visits of the kind {kind!r}")
        given = {key: value for key, value in self.visits.items() if key != "kind"}
        return [as_kind({**given, "n": n}, _KINDS[kind], "an entry", f"of the kind {kind}") for n in self.n]


@final
class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What makes two runs the same run; see `folder.identity`."""

    system: str
    scale: str
    seed: Annotated[int, msgspec.Meta(ge=0)]
    settings: dict[str, dict[str, Any]]
    fingerprints: dict[str, str]
    description: str = ""
    absent: list[str] = []
    trainings: list[str] = []
    look: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    level: Annotated[float, msgspec.Meta(gt=0, le=0.05)] = 0.05


@final
class Git(msgspec.Struct, frozen=True):
    """The commit of the code, and whether it was changed."""

    commit: str
    dirty: bool = False


@final
class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest of a run, finished or not.

    Attributes:
        schema: of the manifest.
        state: `running` or `finished`.
        command: as it was typed.
        run: what makes it this run.
        analyses: that were answered, by name.
        recordings: that they used, by key.
        results: the hash of every file, by its name in the run's folder.
        derived: the hash of each page and verdict that was made from these.
        claims: names of those that the run is for; empty for all.
        title: what results call the system; empty for its name.
        in_paper: the system of the paper whose data were measured; empty for other data.
        absent: for each analysis that was left out, why.
        options: that load the system again.
        sources: hashes of the system's data and weights.
        started: when.
        ended: when the last result was there; empty in older ones.
        seconds: that it took.
        versions: of the software.
        code: a hash of it.
        git: of a checkout.
        hardware: of the machine.
    """

    schema: int
    state: str
    command: str
    run: Run
    analyses: dict[str, AnalysisEntry] = {}
    recordings: dict[str, RecordingEntry] = {}
    results: dict[str, str] = {}
    derived: dict[str, str] = {}
    claims: list[str] = []
    title: str = ""
    in_paper: str = ""
    absent: dict[str, str] = {}
    options: dict[str, Option] = {}
    sources: dict[str, str] = {}
    started: str = ""
    ended: str = ""
    seconds: Annotated[float, msgspec.Meta(ge=0, le=1e12)] = 0.0
    versions: dict[str, str] = {}
    code: str = ""
    git: Git | None = None
    hardware: dict[str, str | int | float | None] = {}

    def __post_init__(self) -> None:
        here = Path("run")
        named = [name for entry in self.analyses.values() for name in entry.files]
        stems = [name for entry in self.analyses.values() for name in (*entry.tables, *entry.plots)]
        kept = [f"{key}/{name}" for key, entry in self.recordings.items() for name in (".", *entry.files)]
        for name in (*named, *stems, *self.results, *self.derived, *kept):
            inside(here, name)
        if lost := self.analyses.keys() - self.run.settings.keys():
            raise ValueError(f"the analysis {min(lost)!r} has no settings")
