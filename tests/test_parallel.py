"""Jobs in worker processes."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import joblib
import pytest
from joblib._parallel_backends import ThreadingBackend
from joblib.externals.loky.process_executor import BrokenProcessPool

from mnist_ddm.compute import parallel
from mnist_ddm.compute.parallel import Shared, backend_named, run_jobs
from mnist_ddm.compute.scratch import scratch_folder
from mnist_ddm.errors import InputError


class Counted:
    """Counts in the process that looks at it how often it was pickled, and how often it was looked at."""

    pickled = 0

    def __init__(self):
        self.seen = 0

    def __getstate__(self):
        Counted.pickled += 1
        return {"seen": self.seen}


def look(shared, report):
    shared.value.seen += 1
    return os.getpid(), shared.value.seen


def test_what_jobs_share_is_pickled_once_and_unpickled_once_in_each_worker():
    shared = Shared(Counted())
    before = Counted.pickled
    for several in (1, 2):  # within one call and over two of them, as workers are used again
        found = run_jobs([partial(look, shared) for _ in range(6)], workers=2)
        for pid in {pid for pid, _ in found}:
            seen = [count for other, count in found if other == pid]
            assert max(seen) >= len(seen), several
    assert Counted.pickled == before + 1
    assert shared.value.seen == 0
    assert max(count for _, count in found) > 1


def fall(folder, times, number, report):
    """The job number 1 has its worker killed so many times."""
    attempts = len(list(folder.glob(f"{number}-*")))
    (folder / f"{number}-{attempts}").touch()
    if number == 1 and attempts < times:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.long
def test_a_job_whose_worker_was_killed_is_done_again_once(tmp_path):
    jobs = [partial(fall, tmp_path, 1, number) for number in range(4)]
    assert run_jobs(jobs, workers=2) == [0, 1, 2, 3]
    assert (tmp_path / "1-1").exists()


@pytest.mark.slow
def test_a_job_whose_worker_was_killed_twice_is_given_up(tmp_path):
    with pytest.raises(InputError, match="killed twice") as error:
        run_jobs([partial(fall, tmp_path, 9, number) for number in range(2)], workers=2)
    assert "\n" not in str(error.value)


def test_jobs_are_done_again_without_those_that_are_done_and_given_up_if_workers_are_lost_again(monkeypatch):
    """The same as above without processes."""
    asked = []

    def lose(calls, count, begin):
        asked.append(len(calls))
        for function, arguments, _ in calls[:1]:
            yield function(*arguments)
        raise BrokenProcessPool

    monkeypatch.setattr(parallel, "_as_they_come", lose)
    with pytest.raises(InputError, match="killed twice") as error:
        run_jobs([lambda report: 0] * 3, workers=2)
    assert "\n" not in str(error.value)
    assert asked == [3, 2]


def test_what_killed_commands_left_behind_is_deleted_by_the_next_and_that_of_the_living_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    owners = ended.pid, os.getpid(), "9" * 30, "x"
    dead, *living = (tmp_path / f"mnist-ddm-exercise-{owner}-abc" for owner in owners)
    for folder in (dead, *living, tmp_path / "mnist-ddm-other"):
        (folder / "inside").mkdir(parents=True)
    with scratch_folder("exercise") as mine:
        assert mine.is_dir()
        assert set(tmp_path.iterdir()) == {mine, *living, tmp_path / "mnist-ddm-other"}
    assert set(tmp_path.iterdir()) == {*living, tmp_path / "mnist-ddm-other"}


def test_without_the_files_that_joblib_looks_for_everything_runs_here(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("mnist_ddm.compute.parallel._PROC", tmp_path / "proc")
    monkeypatch.setattr("sys.platform", "linux")
    assert set(run_jobs([lambda report: os.getpid()] * 3, workers=2)) == {os.getpid()}
    assert "everything runs in one process" in caplog.text


class Elsewhere(ThreadingBackend):
    """Stands for a cluster's back end."""

    used = 0

    def configure(self, *arguments, **options):
        Elsewhere.used += 1
        return super().configure(*arguments, **options)


def test_jobs_run_where_a_caller_says(tmp_path):
    joblib.register_parallel_backend("elsewhere", Elsewhere)
    with joblib.parallel_config(backend="elsewhere"):
        assert run_jobs([partial(fall, tmp_path, 0, number) for number in range(3)], workers=2) == [0, 1, 2]
    assert Elsewhere.used
    with pytest.raises(InputError, match="unknown backend"), backend_named("dask"):
        pass


PROGRAM = """
import os, sys, time
from functools import partial
from pathlib import Path
from mnist_ddm.compute.parallel import run_jobs

def job(number, report):
    Path(sys.argv[1], str(number)).write_text(str(os.getpid()))
    time.sleep(60)

run_jobs([partial(job, i) for i in range(2)], workers=2)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_a_worker_ends_soon_after_its_parent_and_not_before(monkeypatch):
    """The worker's child of a child of this process; the test below is the same with real workers and a real kill."""
    monkeypatch.setattr(parallel, "POLL_SECONDS", 0.02)
    ends, worker_has = os.pipe()
    begin, may_end = os.pipe()
    parent = os.fork()
    if parent == 0:
        try:
            if os.fork() == 0:
                parallel.end_with_parent.__wrapped__()
                time.sleep(60)
            else:
                os.read(begin, 1)
        finally:
            os._exit(0)
    os.close(worker_has)
    assert not select.select([ends], [], [], 0.3)[0]  # the worker lives as long as its parent
    os.write(may_end, b"x")
    assert select.select([ends], [], [], 20)[0], "the worker goes on"
    assert os.read(ends, 1) == b""
    os.waitpid(parent, 0)
    for end in (ends, begin, may_end):
        os.close(end)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_workers_end_when_the_process_that_started_them_is_killed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    pids = tmp_path / "pids"
    pids.mkdir()
    process = subprocess.Popen([sys.executable, str(program), str(pids)])
    deadline = time.monotonic() + 60
    while len([f for f in pids.iterdir() if f.read_text()]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    workers = [int(f.read_text()) for f in pids.iterdir()]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker goes on"
        time.sleep(0.1)


def alive(pid):
    with contextlib.suppress(FileNotFoundError):  # a process that nobody waits for stays as a zombie
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False
