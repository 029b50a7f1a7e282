"""What a plan says of the time of tables is what they took here before, and of trainings what a few steps take."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mnist_ddm.analyses.registry import ANALYSES
from mnist_ddm.models.presets import Recipe
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study import pace, study
from mnist_ddm.study.study import Study
from mnist_ddm.training import pace as training_pace


def test_tables_are_expected_to_take_what_they_took(gaussian, tmp_path, monkeypatch):
    def asked(n=4):
        return Study(gaussian, ["averaging-variance", "expert-deviation"], n=n, steps=2, store=store)

    monkeypatch.setattr(pace, "_usual", dict)
    store, clock = RecordingStore(tmp_path / "cache"), iter((0.0, 2.0, 10.0, 15.0))
    assert asked().table_seconds is None
    monkeypatch.setattr(study.time, "monotonic", lambda: next(clock))
    with monkeypatch.context() as patched:
        patched.setattr(study, "RunFolder", _Folder)
        patched.setattr(study, "save_sample_grids", lambda *what: None)
        asked().write(_Folder(), asked().record())
    assert asked().table_seconds == 7
    assert asked(2).table_seconds == 7
    assert asked(12).table_seconds == 21
    other = Study(gaussian, ["averaging-variance", "quality"], n=4, steps=2, store=store)
    assert other.table_seconds is None  # nobody knows it of one of them


def test_between_two_numbers_of_samples_the_time_is_linear(gaussian, tmp_path):
    for n, seconds in ((4, 3.0), (8, 5.0), (4, 1.0)):  # the latest counts
        pace.note(tmp_path, gaussian.title, "quality", n, seconds)
    taken = [Study(gaussian, ["quality"], n=n, steps=2, store=RecordingStore(tmp_path)).table_seconds for n in _SIZES]
    assert taken == [1, 1, 3, 5, 10]


_SIZES = (2, 4, 6, 8, 16)


def test_tables_that_were_never_made_here_take_what_they_took_us(gaussian, tmp_path, monkeypatch):
    monkeypatch.setattr(pace, "_usual", lambda: {"gaussian/quality": {"4": 2.0}, "mnist/quality": {"4": 30.0}})

    settings = Study(gaussian, ["quality"], n=4, steps=2, store=RecordingStore(tmp_path)).settings
    assert pace.expected(tmp_path, "gaussian", settings) == 2
    assert pace.expected(tmp_path, "own", settings) == 30  # of another system, those of the digits
    pace.note(tmp_path, "gaussian", "quality", 4, 3.0)
    assert pace.expected(tmp_path, "gaussian", settings) == 3


def test_every_analysis_that_ships_has_been_timed():
    assert all(pace._points(pace._usual()[f"mnist/{name}"]) for name in ANALYSES)


class _Folder:
    """A run folder that keeps nothing and has nothing."""

    folder, picture_header = Path(), {}

    def has(self, name, settings):
        return False

    def write(self, *what):
        pass

    def finish(self, used):
        pass


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '{"gaussian/quality": [4, 1]}',
        '{"gaussian/quality": {"0": 1}}',
        '{"gaussian/quality": {"four": 1, "-4": 1, "\u00b2": 1}}',
        '{"gaussian/quality": {"4": NaN}}',
        '{"gaussian/quality": {"4": "1"}}',
        '{"gaussian/quality": 3}',
    ],
)
def test_a_damaged_file_is_as_good_as_none(gaussian, tmp_path, monkeypatch, text):
    monkeypatch.setattr(pace, "_usual", dict)
    (tmp_path / pace.FILE).write_text(text)
    of_quality = Study(gaussian, ["quality"], n=4, steps=2, store=RecordingStore(tmp_path))
    assert of_quality.table_seconds is None
    pace.note(tmp_path, gaussian.title, "quality", 4, 3.0)
    assert of_quality.table_seconds == 3


def test_where_nothing_can_be_written_nothing_fails(tmp_path):
    (tmp_path / "file").write_text("in the way")
    pace.note(tmp_path / "file", "gaussian", "quality", 4, 1.0)


@dataclass(frozen=True)
class _Job:
    """A training on a clock of its own: 3 seconds besides, a first step of 2, others of `step`."""

    part: str
    recipe: Recipe
    clock: list
    step: float
    out: Path = Path("nowhere")
    keep_every: int = 7
    show: bool = True

    def __call__(self, report):
        assert (self.keep_every, self.show) == (0, False)
        assert self.out.is_dir()
        self.clock[0] += 3
        for done in range(self.recipe.steps):
            self.clock[0] += self.step if done else 2
            report((done + 1) / self.recipe.steps)


def test_a_training_is_expected_to_take_its_steps_and_what_comes_besides(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(training_pace.time, "perf_counter", lambda: clock[0])

    def jobs(steps):
        recipe = Recipe(steps, 16, 1e-3, 0.0, 0.1, 0.1)
        monolith = _Job("monolith", replace(recipe, steps=10 * steps), clock, 0.5)
        return [*(_Job(f"expert-{k}", recipe, clock, 0.25) for k in range(4)), monolith]

    expert, monolith = 3 + (2 - 0.25) + 200 * 0.25, 3 + (2 - 0.5) + 2000 * 0.5
    assert training_pace.expected_seconds(jobs(200), 1) == pytest.approx(4 * expert + monolith)
    assert training_pace.expected_seconds(jobs(200), 2) == pytest.approx(monolith)  # no worker can help with one part
    before = clock[0]
    assert training_pace.expected_seconds(jobs(2), 1) is None
    assert clock[0] == before
