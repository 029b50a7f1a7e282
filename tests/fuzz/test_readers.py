"""Mutated files of every kind: one clear line or a right result, and nothing outside the folder is touched.

`MNIST_DDM_FUZZ_SECONDS` is the time that all readers share (60), `MNIST_DDM_FUZZ_SEED` another sequence of inputs. The
count of inputs by reader is printed with `pytest -s`.
"""

import os
import random
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import pytest

from mnist_ddm.errors import LONGEST, InputError

from .mutations import mutate, restore
from .readers import readers

pytestmark = pytest.mark.slow
_SECONDS = float(os.environ.get("MNIST_DDM_FUZZ_SECONDS", "60"))
_SEED = int(os.environ.get("MNIST_DDM_FUZZ_SEED", "18"))
_ONLY = os.environ.get("MNIST_DDM_FUZZ_ONLY", "")


def _snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(f.relative_to(folder)): (f.stat().st_size, f.stat().st_mtime_ns) for f in folder.rglob("*")}


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


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_named_or_read_right(tiny_checkpoint, tiny_paris, tmp_path, capsys, caplog):
    caplog.set_level("CRITICAL", "mnist_ddm")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text('{"secret": true}\n')
    (tmp_path / "inside").mkdir()
    before = _snapshot(outside)
    every = readers(tmp_path / "inside", tiny_checkpoint, tiny_paris)
    chosen = [reader for reader in every if _ONLY in reader.name]
    total = sum(reader.weight for reader in chosen)
    counts, findings = Counter[str](), {}
    for reader in chosen:
        rng = random.Random(f"{_SEED} {reader.name}")
        kept = {
            file: file.read_bytes()
            for folder in {f.parent for f in reader.files}
            for file in folder.iterdir()
            if file.is_file()
        }
        assert _problem(reader, outside, before) is None, f"{reader.name} does not read what is valid"
        end = time.monotonic() + _SECONDS * reader.weight / total
        while time.monotonic() < end or counts[reader.name] < 20:
            spoiled = rng.sample(reader.files, min(len(reader.files), rng.choice((1, 1, 1, 2))))
            for file in spoiled:
                mutate(file, rng, outside)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                problem = _problem(reader, outside, before)
            counts[reader.name] += 1
            if problem is not None:
                kind = f"{reader.name}: {problem}"
                findings.setdefault(kind.split(": '")[0], (counts[reader.name], kind, [f.name for f in spoiled]))
                if (outside / "secret").exists() is False or _snapshot(outside) != before:
                    (outside / "secret").write_text('{"secret": true}\n')
                    before = _snapshot(outside)
            for file, content in kept.items():
                if file in spoiled or not file.is_file() or file.stat().st_size != len(content):
                    restore(file, content)
    with capsys.disabled():
        print(f"\n{sum(counts.values())} inputs with the seed {_SEED}, {len(findings)} kinds of findings")
        for name, count in counts.items():
            print(f"  {name}: {count}")
        for number, kind, files in findings.values():
            print(f"  FINDING {kind} (input {number}, {files})")
    assert not findings, f"{len(findings)} kinds"
