"""Jobs in worker processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from mnist_ddm.compute.parallel import Shared, run_jobs


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
