"""Fixtures: small systems with exact answers, and a tiny trained checkpoint."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MNIST_DDM_WAIT"] = "0"  # no process is left behind by a test

import random
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import settings

from mnist_ddm import cli
from mnist_ddm.core.recording import recording_key, sample
from mnist_ddm.data import load_images
from mnist_ddm.systems.gaussian import GaussianPool

# What trains imports Lightning and large libraries: only the fixtures that need them do.

# The same examples every time, and no time limit for one: machines are shared.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


def pytest_configure(config):
    """Know the marks of pytest-xdist without it as well, and hear Ctrl-C.

    A shell starts what runs in its background with SIGINT ignored, and commands that tests start would inherit it.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "xdist_group(name): tests that run in one process of pytest-xdist")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """From a name and a function that makes a folder to that folder, made by the first of parallel processes alone."""
    base = tmp_path_factory.getbasetemp()
    place = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make_once(name, make) -> Path:
        folder, unfinished = place / name, place / f"{name}-unfinished"
        with FileLock(place / f"{name}.lock"):
            if not folder.exists():
                shutil.rmtree(unfinished, ignore_errors=True)
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return make_once


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Many small operations: one thread is faster, and bits are the same everywhere on a machine."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _private_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MNIST_DDM_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def gaussian():
    """Four overlapping Gaussians in six dimensions, of unequal weight and width."""
    rng = np.random.Generator(np.random.Philox(7))
    means = torch.from_numpy(rng.normal(size=(4, 1, 2, 3)))
    return GaussianPool(means, torch.tensor([0.3, 0.5, 0.7, 0.4]), torch.tensor([1.0, 2.0, 3.0, 4.0]))


@pytest.fixture
def small_map(monkeypatch):
    """Of the Gaussian system's errors and roughnesses the largest alone: a map of regimes has a fourth of its points.

    At each point Jacobians of three routings are looked at.
    """
    monkeypatch.setattr(GaussianPool, "error_levels", ("", "error=4"))
    monkeypatch.setattr(GaussianPool, "roughnesses", (50.0,))


@pytest.fixture(scope="session")
def answered():
    """From an analysis, a pool and settings to the answer; what is stored for optional needs is said beside them.

    What two answers need alike is recorded once.
    """
    recorded = {}

    def record(pool, visits, names):
        key = recording_key(pool, visits), visits, tuple(names)
        if key not in recorded:
            recorded[key] = sample(pool, visits, names)
        return recorded[key]

    def answer(analysis, pool, settings, stored=()):
        wanted = dict.fromkeys(stored, ())
        for need in analysis.needs(pool, settings):
            if not need.optional:
                wanted[need.visits] = tuple(sorted({*wanted.get(need.visits, ()), *need.observables}))
        return analysis.answer(pool, {v: record(pool, v, names) for v, names in wanted.items()}, settings)

    return answer


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder and a cache for the module, so that the recordings are made once."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture
def call_command(monkeypatch, capsys):
    """Run the command where the test is; returns exit code, standard output and standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mnist-ddm", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return call


@pytest.fixture
def run(monkeypatch, call_command, place):
    """Run the command in `place`; returns exit code, standard output and standard error."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("MNIST_DDM_CACHE", str(place / "cache"))
    return call_command


@pytest.fixture(scope="session")
def images():
    return load_images()


@pytest.fixture(scope="session")
def few_images():
    """The first images, which train a network in a moment."""
    images = load_images()
    return replace(
        images,
        train_images=images.train_images[:1500],
        train_labels=images.train_labels[:1500],
        test_images=images.test_images[:300],
        test_labels=images.test_labels[:300],
    )


@pytest.fixture(scope="session")
def tiny_checkpoint(made_once, few_images) -> Path:
    """A complete `tiny` checkpoint, trained for a few steps."""

    def train(out):
        from mnist_ddm.models.presets import preset_named
        from mnist_ddm.training.plan import TrainingPlan, training_jobs

        plan = TrainingPlan(few_images, preset_named("tiny"), out, steps=3)
        parts = [f"expert-{k}" for k in range(10)] + ["router", "monolith", "classifier"]
        run_in_turn(parts, training_jobs(plan, parts), ())

    return made_once("tiny-checkpoint", train)


@pytest.fixture(scope="session")
def tiny_paris_plan(few_images):
    """From a folder to the plan of a tiny Paris, on a part of MNIST."""
    from paris_ddm.mini.plan import MiniPlan

    def plan(out: Path) -> MiniPlan:
        return MiniPlan(few_images, out, "tiny")

    return plan


@pytest.fixture(scope="session")
def tiny_paris(made_once, tiny_paris_plan) -> Path:
    """A whole model in the format of Paris, trained for a few steps."""

    def train(out):
        from paris_ddm.mini.build import build

        build(tiny_paris_plan(out), run_in_turn, lambda line: None)

    return made_once("tiny-paris", train)


def run_in_turn(names, jobs, costs):
    for job in jobs:
        job(lambda fraction: None)


@pytest.fixture
def global_state():
    """Fails a test in which a global random state moved."""
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())  # noqa: NPY002 (it is watched)
    yield
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002 (it is watched)
    assert before[2] == random.getstate()


@pytest.fixture
def run_exercises(monkeypatch, capsys, tmp_path):
    """Run a command of `exercises` in an empty folder; returns exit code and standard output with errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mnist-ddm", "exercises", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code, captured.out + captured.err

    return call


@pytest.fixture
def quick(monkeypatch):
    """Exercises are checked in this process, for what is not about processes."""
    from mnist_ddm.exercises import grading, runner, workspace
    from mnist_ddm.exercises.crashes import explain
    from mnist_ddm.exercises.registry import exercise_named
    from mnist_ddm.exercises.runner import CheckResult
    from mnist_ddm.exercises.worker import imports_package, load_function

    def check_here(name, file, limits, picture=None, *, confined=False, start=None, on_passed=lambda message: None):
        told = {"imports_package": imports_package(file.read_bytes())}
        try:
            verdict = exercise_named(name).examine(load_function(file, name))
        except Exception as error:
            return CheckResult(*explain(error, file), 0.1, runner.sha256(file), **told)
        on_passed(verdict.message)
        score = vars(verdict.score) if verdict.score else None
        return CheckResult("passed", verdict.message, 0.1, runner.sha256(file), score=score, **told)

    monkeypatch.setattr(workspace, "run_check", check_here)
    monkeypatch.setattr(grading, "run_check", check_here)
