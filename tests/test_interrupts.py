"""Ctrl-C: a real SIGINT ends every command within seconds, in one line, with exit code 130."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mnist_ddm.cli import cli
from mnist_ddm.terminal.interrupts import MESSAGE

PROGRAM = [sys.executable, "-c", "from mnist_ddm.cli import main; main()"]
TRAIN = ("train", "--preset", "tiny", "--steps", "5000")
RECORD = ("analyze", "--system", "gaussian", "--analysis", "expert-deviation", "--n", "20000", "--steps", "100")
TABLES = ("analyze", "--system", "gaussian", "--analysis", "expert-deviation", "--n", "1500", "--steps", "30")


class Interrupted:
    """What became of a command that got a SIGINT, by itself or with its whole process group as from a keyboard."""

    def __init__(self, arguments, folder, until, *, group, out="out"):
        command = [*PROGRAM, *arguments, "--out", str(folder / out)]
        environment = {**os.environ, "MNIST_DDM_CACHE": str(folder / "cache")}
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        said = ""
        deadline = time.monotonic() + 200
        while until not in said:
            line = process.stdout.readline()
            assert line or process.poll() is None, (said, process.stderr.read())
            assert time.monotonic() < deadline, said
            said += line
        time.sleep(1.5)
        begin = time.monotonic()
        (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
        self.code = process.wait(60)
        self.seconds = time.monotonic() - begin
        _, self.stderr = process.communicate(timeout=60)


CASES = {
    "training": (TRAIN, ("--workers", "1"), "steps"),
    "training in two workers": (TRAIN, ("--workers", "2"), "training"),
    "recording": (RECORD, ("--workers", "1"), "making"),
    "recording in two workers": (RECORD, ("--workers", "2"), "making"),
}


@pytest.mark.slow
@pytest.mark.parametrize("group", [False, True], ids=["alone", "with its group"])
@pytest.mark.parametrize("case", CASES)
def test_ctrl_c_ends_a_command_at_once_with_one_line_and_130(tmp_path, case, group):
    arguments, workers, until = CASES[case]
    end = Interrupted((*arguments, *workers), tmp_path, until, group=group)
    assert (end.code, end.stderr.strip()) == (130, MESSAGE)
    assert end.seconds < 5


@pytest.mark.slow
def test_ctrl_c_during_the_tables_ends_a_command_too(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_DDM_CACHE", str(tmp_path / "cache"))
    cli.main([*TABLES, "--workers", "1", "--out", str(tmp_path / "first")], standalone_mode=False)
    end = Interrupted((*TABLES, "--workers", "1"), tmp_path, "are in", group=True)
    assert (end.code, end.stderr.strip()) == (130, MESSAGE)
    assert end.seconds < 5


LOST = """
import signal, sys, time
from mnist_ddm.terminal.interrupts import watched

def lose():
    try:
        print("here", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        WHAT

with watched() as interrupts:
    lose()
    interrupts.end_if_seen()
sys.exit(0)
"""


@pytest.mark.long
@pytest.mark.parametrize("what", ["pass", "time.sleep(60)", "while True: pass"])
def test_an_interrupt_that_a_library_loses_or_lingers_over_ends_the_process_all_the_same(what):
    program = [sys.executable, "-c", LOST.replace("WHAT", what)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "here\n"
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr.strip()) == (130, MESSAGE)
    assert time.monotonic() - begin < 5
