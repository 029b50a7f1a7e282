"""What a plan says of the time of tables is what they took here before."""

from pathlib import Path

import pytest

from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study import pace, study
from mnist_ddm.study.study import Study


def test_tables_are_expected_to_take_what_they_took(gaussian, tmp_path, monkeypatch):
    def asked(n=4):
        return Study(gaussian, ["averaging-variance", "expert-deviation"], n=n, steps=2, store=store)

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
    assert other.table_seconds is None  # one of them was never made here


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
    "text", ["{", "[1]", '{"gaussian/quality": [0, 1]}', '{"gaussian/quality": [4, NaN]}', '{"gaussian/quality": 3}']
)
def test_a_damaged_file_is_as_good_as_none(gaussian, tmp_path, text):
    (tmp_path / pace.FILE).write_text(text)
    of_quality = Study(gaussian, ["quality"], n=4, steps=2, store=RecordingStore(tmp_path))
    assert of_quality.table_seconds is None
    pace.note(tmp_path, gaussian.title, "quality", 4, 3.0)
    assert of_quality.table_seconds == 3


def test_where_nothing_can_be_written_nothing_fails(tmp_path):
    (tmp_path / "file").write_text("in the way")
    pace.note(tmp_path / "file", "gaussian", "quality", 4, 1.0)
