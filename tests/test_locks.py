"""Two processes on one run folder or one cache."""

import os
import signal
import subprocess
import sys

import pytest

from mnist_ddm.errors import InputError
from mnist_ddm.storage.locks import hold_folder, release_folder
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.study import Study

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
HOLDER = """
import sys, time
from pathlib import Path
from mnist_ddm.storage.locks import hold_folder
hold_folder(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""
PROGRAM = [sys.executable, "-c", "from mnist_ddm.cli import main; main()"]
ANALYZE = ("analyze", "--system", "gaussian", "--n", "700", "--steps", "10", "--workers", "1")


def held_elsewhere(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def end(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_two_processes_do_not_write_into_one_run_folder(gaussian, tmp_path):
    study = Study(gaussian, ["averaging-variance"], n=8, steps=2, store=RecordingStore(tmp_path / "store"))
    folder = tmp_path / "run"
    folder.mkdir()
    other = held_elsewhere(folder)
    with pytest.raises(InputError, match=r"another process writes into .*; wait for it, or choose another --out"):
        study.write(folder)
    assert not list(folder.iterdir())
    end(other)
    study.write(folder)
    end(held_elsewhere(folder))  # when a study is written, others may have its folder
    study.write(folder)


def test_a_folder_is_held_by_a_process_as_often_as_it_likes_until_it_lets_go(tmp_path):
    hold_folder(tmp_path)
    hold_folder(tmp_path)
    release_folder(tmp_path)
    release_folder(tmp_path)
    hold_folder(tmp_path / "nowhere")
    end(held_elsewhere(tmp_path))


@pytest.mark.slow
def test_two_commands_on_one_cache_both_end_with_the_right_tables(tmp_path):
    environment = {**os.environ, "MNIST_DDM_CACHE": str(tmp_path / "both")}
    both = [
        subprocess.Popen(
            [*PROGRAM, *ANALYZE, "--out", str(tmp_path / name)], env=environment, stdout=subprocess.DEVNULL
        )
        for name in ("a", "b")
    ]
    assert [process.wait() for process in both] == [0, 0]
    alone = {**os.environ, "MNIST_DDM_CACHE": str(tmp_path / "alone")}
    subprocess.run([*PROGRAM, *ANALYZE, "--out", str(tmp_path / "c")], env=alone, check=True, stdout=subprocess.DEVNULL)
    a, b, c = ({f.name: f.read_bytes() for f in (tmp_path / name / "results").glob("*.csv")} for name in "abc")
    assert a == b == c


@pytest.mark.slow
def test_two_trainings_of_one_part_in_one_folder_both_end_with_the_same_bits(tmp_path):
    train = (*PROGRAM, "train-router", "--preset", "tiny", "--steps", "60", "--workers", "1", "--out")
    both = [subprocess.Popen([*train, str(tmp_path / "both")], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    subprocess.run([*train, str(tmp_path / "alone")], check=True, stdout=subprocess.DEVNULL)
    both_made, alone_made = ((tmp_path / name / "router.safetensors").read_bytes() for name in ("both", "alone"))
    assert both_made == alone_made
