"""Recordings and trainings on a real Ray of two workers on this machine, one of which is killed."""

import os
import signal
from pathlib import Path

import pytest

from mnist_ddm.compute.parallel import backend_named, run_jobs
from mnist_ddm.core.visits import Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.models.presets import preset_named
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.record import record_all
from mnist_ddm.systems.gaussian import load
from mnist_ddm.training.plan import TrainingPlan, training_jobs

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install ray)")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]
WANTED = {Sampling("top2", 1100, steps=6): ("angles", "weights")}


@pytest.fixture(scope="module", autouse=True)
def cluster():
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": paths}})
    yield
    ray.shutdown()


class Falls:
    """A job that kills the process that runs it, the first time."""

    def __init__(self, mark, job):
        self.mark, self.job = mark, job

    def __call__(self, report):
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.job(report)


def always_falls(report):
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(report):
    raise InputError("this cannot be used; give another")


def files(store):
    return {f.relative_to(store.folder): f.read_bytes() for f in store.folder.rglob("*") if f.is_file()}


def test_recordings_on_ray_have_the_bits_of_those_made_here(tmp_path):
    here, there = RecordingStore(tmp_path / "here"), RecordingStore(tmp_path / "there")
    record_all(load(), WANTED, here)
    with backend_named("ray"):
        record_all(load(), WANTED, there, workers=2)
    assert files(here) == files(there)


def test_a_worker_of_ray_that_is_killed_has_its_job_done_again(tmp_path, monkeypatch):
    here, there = RecordingStore(tmp_path / "here"), RecordingStore(tmp_path / "there")
    record_all(load(), WANTED, here)

    def falling(jobs, workers, report):
        return run_jobs([Falls(tmp_path / "fell", jobs[0]), *jobs[1:]], workers, report)

    monkeypatch.setattr("mnist_ddm.study.record.run_jobs", falling)
    with backend_named("ray"):
        record_all(load(), WANTED, there, workers=2)
    assert (tmp_path / "fell").exists()
    assert files(here) == files(there)


def test_experts_train_on_ray(images, tmp_path):
    plans = [TrainingPlan(images, preset_named("tiny"), tmp_path / name, steps=4) for name in ("here", "there")]
    parts = ["expert-0", "router"]
    run_jobs(training_jobs(plans[0], parts), workers=1)
    with backend_named("ray"):
        run_jobs(training_jobs(plans[1], parts), workers=2)
    for part in parts:
        here, there = ((plan.out / f"{part}.safetensors").read_bytes() for plan in plans)
        assert here == there


def test_a_job_that_kills_its_workers_again_and_again_ends_in_one_line():
    with backend_named("ray"), pytest.raises(InputError, match="killed twice") as error:
        run_jobs([always_falls, always_falls], workers=2)
    assert "\n" not in str(error.value)


def test_what_a_job_refuses_on_ray_is_said_in_its_own_words():
    with backend_named("ray"), pytest.raises(InputError) as error:
        run_jobs([refuse, refuse], workers=2)
    assert str(error.value) == "this cannot be used; give another"
