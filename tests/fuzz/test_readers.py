"""Mutated files of every kind: one clear line or a right result, and nothing outside the folder is touched.

`MNIST_DDM_FUZZ_SECONDS` is the time that all readers share (60), `MNIST_DDM_FUZZ_SEED` another sequence of inputs, and
`MNIST_DDM_FUZZ_ONLY` a part of the names of the readers that are tried. Findings are printed as they come, and the
counts of inputs by reader at the end (`pytest -s`).
"""

import os
import random
import shutil
import tempfile
import time
import traceback
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from mnist_ddm.errors import LONGEST, InputError

from .mutations import mutate, restore
from .readers import readers

pytestmark = pytest.mark.slow
_SECONDS = float(os.environ.get("MNIST_DDM_FUZZ_SECONDS", "60"))
_SEED = int(os.environ.get("MNIST_DDM_FUZZ_SEED", "18"))
_ONLY = os.environ.get("MNIST_DDM_FUZZ_ONLY", "")
_LEAST = 20
"""Inputs of each reader, however slow it is."""


@contextmanager
def _memory():
    """A folder in memory where there is one: a disk takes longer to write a mutated file than a reader to refuse it."""
    shared = Path("/dev/shm")
    place = shared if os.access(shared, os.W_OK | os.X_OK) else None
    folder = Path(tempfile.mkdtemp(dir=place, prefix="mnist-ddm-fuzz-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(f.relative_to(folder)): _state(f) for f in folder.rglob("*")}


def _state(file: Path) -> tuple[int, ...]:
    try:
        told = file.lstat()
    except OSError:
        return ()
    return told.st_mode, told.st_size, told.st_mtime_ns, told.st_ino


def _problem(reader, outside, before) -> str | None:
    """What is wrong with how a reader takes its files as they are; nothing if it does as it should."""
    try:
        reader.read()
    except InputError as error:
        if not 0 < len(str(error)) <= LONGEST or not str(error).isprintable():
            return f"the message is no clear line: {str(error)!r:.200}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in last if "mnist_ddm" in frame.filename or "paris_ddm" in frame.filename] or last
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno} {ours[-1].name}"
        return f"{type(error).__name__} at {where}: {str(error)[:150]!r}"
    return None if _snapshot(outside) == before else "something outside the folder was touched"


class _Trial:
    """One reader: its files as they are when they are valid, its own sequence of inputs, and the time it took."""

    def __init__(self, reader):
        self.reader, self.rng, self.spent, self.count = reader, random.Random(f"{_SEED} {reader.name}"), 0.0, 0
        near = [file for place in {file.parent for file in reader.files} for file in place.iterdir()]
        near += reader.below.rglob("*") if reader.below else ()
        self.kept = {file: file.read_bytes() for file in near if file.is_file()}
        self.states = {file: _state(file) for file in self.kept}

    def next(self, outside, before):
        """Try one input and put the files back; what is wrong, and with which files, if anything is."""
        begin = time.process_time()
        spoiled = self.rng.sample(self.reader.files, min(len(self.reader.files), self.rng.choice((1, 1, 1, 2))))
        for file in spoiled:
            mutate(file, self.rng, outside)
        problem = _problem(self.reader, outside, before)
        for file, state in self.states.items():
            if _state(file) != state:
                restore(file, self.kept[file])
                self.states[file] = _state(file)
        self.count += 1
        self.spent += time.process_time() - begin
        return problem, [file.name for file in spoiled]


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_named_or_read_right(tiny_checkpoint, tiny_paris, capsys, caplog):
    caplog.set_level("CRITICAL")
    with _memory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outside = place / "outside"
        outside.mkdir()
        (outside / "secret").write_text('{"secret": true}\n')
        (place / "inside").mkdir()
        before = _snapshot(outside)
        trials = [_Trial(r) for r in readers(place / "inside", tiny_checkpoint, tiny_paris) if _ONLY in r.name]
        for trial in trials:
            assert _problem(trial.reader, outside, before) is None, f"{trial.reader.name} does not read what is valid"
        findings, kinds = {}, Counter()
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end or min(trial.count for trial in trials) < _LEAST:
            # Whose turn it is: the reader that has had the least of the time that is its due.
            trial = min(trials, key=lambda t: t.spent / t.reader.weight if t.count >= _LEAST else 0.0)
            problem, files = trial.next(outside, before)
            if problem is not None:
                said = f"{trial.reader.name}: {problem}"
                kind = said.split(": '")[0]
                kinds[kind] += 1
                if kind not in findings:
                    findings[kind] = f"{said} (input {trial.count}, {files})"
                    with capsys.disabled():
                        print(f"\n  FINDING {findings[kind]}", flush=True)
                (outside / "secret").write_text('{"secret": true}\n')
                before = _snapshot(outside)
    with capsys.disabled():
        total = sum(trial.count for trial in trials)
        print(f"\n{total} inputs with the seed {_SEED}, {len(findings)} kinds of findings, {kinds.total()} findings")
        for trial in trials:
            print(f"  {trial.reader.name}: {trial.count}")
    assert not findings, "\n".join(findings.values())
