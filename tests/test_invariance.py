"""What a result does not depend on: workers, the state of the cache, other samples, machines that share the work."""

import random
import shutil

import pytest

from mnist_ddm.cli import cli
from mnist_ddm.core.visits import Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.record import Shard, is_recorded, parse_shard, record, record_all, record_shard
from mnist_ddm.study.study import Study
from mnist_ddm.tables.files import to_csv

ANALYSES = ("expert-deviation", "averaging-variance")
WANTED = {Sampling("top2", 1100, steps=4): ("angles", "weights"), Sampling("full", 300, steps=4): ("weights",)}


@pytest.fixture
def tables(gaussian, tmp_path):
    """From options of a study and a store to its tables as they are written."""

    def answer(cache, n=600, workers=1):
        study = Study(gaussian, ANALYSES, n=n, steps=4, store=RecordingStore(tmp_path / cache))
        return {table.name: to_csv(table) for answer in study.run(workers).values() for table in answer.tables}

    return answer


@pytest.mark.long
def test_tables_do_not_depend_on_workers_or_on_what_the_cache_has(tables, tmp_path):
    cold = tables("a")
    assert len(cold) > 2
    assert tables("a") == cold
    assert tables("b", workers=2) == cold
    for cache, workers in (("a", 1), ("b", 2)):  # the same processes once more
        files = sorted(f for f in (tmp_path / cache).rglob("*") if f.is_file())  # blocks, seals and indices
        for file in random.Random(1).sample(files, len(files) // 2):
            file.unlink()
        assert tables(cache, workers=workers) == cold


@pytest.mark.long
def test_fewer_samples_are_the_first_of_more(tables, gaussian, tmp_path):
    alone = tables("a", n=300)
    tables("b", n=700)
    assert tables("b", n=300) == alone
    many, few = (
        record(gaussian, Sampling("top1", n, steps=3), ("x",), RecordingStore(tmp_path / "c")) for n in (700, 300)
    )
    assert few.final.equal(many.final[:300])
    assert few.observed["x"].equal(many.observed["x"][:300])


def test_shards_in_stores_of_their_own_make_one_store_when_they_are_copied_together(gaussian, tmp_path):
    whole = RecordingStore(tmp_path / "whole")
    record_all(gaussian, WANTED, whole)
    made, joined = [], RecordingStore(tmp_path / "joined")
    for number in (3, 1, 2):
        store = RecordingStore(tmp_path / f"shard-{number}")
        made.append(record_shard(gaussian, WANTED, store, Shard(number, 3)))
        assert not all(is_recorded(gaussian, visits, names, store) for visits, names in WANTED.items())
        shutil.copytree(store.folder, joined.folder, dirs_exist_ok=True)
    assert sum(made) == 7
    assert max(made) - min(made) <= 2
    assert all(is_recorded(gaussian, visits, names, joined) for visits, names in WANTED.items())
    files = [
        {f.relative_to(s.folder): f.read_bytes() for f in s.folder.rglob("*") if f.is_file()} for s in (whole, joined)
    ]
    assert files[0] == files[1]


def test_every_block_is_in_exactly_one_shard():
    for key in ("00000000", "0123abcd", "ffffffff"):
        for block in range(40):
            assert sum(Shard(number, 7).holds(key, block) for number in range(1, 8)) == 1
    for wrong in ("0/3", "4/3", "1/0", "3", "1/2/3", "-1/3", "1.5/3", "", "1 / 3", "\u0661/3"):
        with pytest.raises(InputError, match="a shard is written as"):
            parse_shard(wrong)


@pytest.mark.slow
def test_the_command_with_shards_makes_the_tables_of_the_plain_one(tmp_path, monkeypatch, capsys):
    command = ["analyze", "--system", "gaussian", "--n", "600", "--steps", "3", "--workers", "1", "--out"]
    monkeypatch.setenv("MNIST_DDM_CACHE", str(tmp_path / "one"))
    cli.main([*command, str(tmp_path / "plain")], standalone_mode=False)
    monkeypatch.setenv("MNIST_DDM_CACHE", str(tmp_path / "many"))
    for number in (1, 2):
        cli.main([*command, str(tmp_path / "shards"), "--shard", f"{number}/2"], standalone_mode=False)
        assert not (tmp_path / "shards").exists()
    capsys.readouterr()
    cli.main([*command, str(tmp_path / "shards")], standalone_mode=False)
    assert "recordings are in" in capsys.readouterr().out
    plain, shards = (
        {f.name: f.read_bytes() for f in (tmp_path / name / "results").glob("*.csv")} for name in ("plain", "shards")
    )
    assert plain == shards
