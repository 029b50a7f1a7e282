"""SIGKILL at random moments: the same command goes on, and ends with the bits of one that was never disturbed.

`MNIST_DDM_KILLS=10` kills each command ten times instead of twice. What was done is printed (`pytest -s`).
"""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnist_ddm.exercises.workspace import STATE

KILLS = int(os.environ.get("MNIST_DDM_KILLS", "2"))
PROGRAM = [sys.executable, "-c", "from mnist_ddm.cli import main; main()"]
SOLUTIONS = Path(__file__).parents[1] / "teacher" / "solutions"
GAUSSIAN = ("--system", "gaussian")
ANALYZE = ("analyze", *GAUSSIAN, "--n", "1500", "--steps", "20", "--out", "out")
REPRODUCE = ("reproduce", *GAUSSIAN, "--only", "table-2-significance", "--out", "out")
GRADE = ("exercises", "grade", "students", "--exercise", "euler", "--exercise", "flow", "--out", "out/grades.csv")
TRAIN = ("--preset", "tiny", "--steps", "120", "--out", "out")
COMMANDS = {
    "train": ("train-experts", "--only", "2,5", "--workers", "2", *TRAIN),
    "train alone": ("train-router", "--workers", "1", *TRAIN),
    "analyze": (*ANALYZE, "--workers", "1"),
    "analyze in two workers": (*ANALYZE, "--workers", "2"),
    "reproduce": (*REPRODUCE, "--workers", "1"),
    "reproduce in two workers": (*REPRODUCE, "--workers", "2"),
    "exercises check": ("exercises", "check", "euler", "--folder", "out"),
    "exercises grade": GRADE,
}
_VOLATILE = {"manifest.json", "report.html", "ro-crate-metadata.json", STATE}
"""Say when or how long as well."""


def start(command, folder):
    environment = {**os.environ, "MNIST_DDM_CACHE": str(folder / "cache"), "TMPDIR": str(folder / "temporary")}
    return subprocess.Popen([*PROGRAM, *COMMANDS[command]], cwd=folder, env=environment, stdout=subprocess.DEVNULL)


def prepared(folder):
    (folder / "temporary").mkdir(parents=True)
    (folder / "out").mkdir()
    for student in ("ada", "emmy"):
        (folder / "students" / student).mkdir(parents=True)
        for name in ("euler", "flow"):
            shutil.copy(SOLUTIONS / f"{name}.py", folder / "students" / student)
    return folder


def content(folder):
    """The bytes of every file of a result, without the times that some tell; of cards and grades all but seconds."""
    files = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name not in _VOLATILE and file.suffix != ".png":
            told = file.read_bytes()
            if file.suffix == ".json" and b'"seconds"' in told:
                value = json.loads(told)
                value["figures"].pop("seconds")
                told = json.dumps(value).encode()
            if file.name == "grades.csv":
                rows = list(csv.DictReader(told.decode().splitlines()))
                told = json.dumps([{**row, "seconds": ""} for row in rows]).encode()
            files[str(file.relative_to(folder))] = told
    return files


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_killed_goes_on_and_equals_one_that_was_not(tmp_path, command):
    whole, killed = prepared(tmp_path / "whole"), prepared(tmp_path / "killed")
    if command == "exercises check":
        for folder in (whole, killed):
            shutil.copy(SOLUTIONS / "euler.py", folder / "out" / "euler.py")
    begin = time.monotonic()
    assert start(command, whole).wait() == 0
    lasted = time.monotonic() - begin
    chance, done = random.Random(command), 0
    for _ in range(KILLS):
        process = start(command, killed)
        try:
            process.wait(chance.uniform(0.1, 1.0) * lasted)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            assert process.wait() in (0, -signal.SIGKILL)  # it may have ended in that very moment
            done += process.returncode != 0
        else:
            assert process.returncode == 0
    print(f"{command}: {done} kills in {lasted:.0f} s")
    assert start(command, killed).wait() == 0
    assert content(killed / "out")
    assert content(killed / "out") == content(whole / "out")
    assert not list((killed / "temporary").glob("mnist-ddm-*"))
