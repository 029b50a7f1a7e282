"""Trainings of one device at once: the bits of those alone, captured or not, stopped or not.

There is no GPU here, so steps are called, or captured by `Recording`: it writes down the operations of a step with
their tensors and numbers, and does them again, as a CUDA graph does. A number of Python's in a step would stay what it
was, and a tensor that is made anew for a step would never be read.
"""

import gc
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from elsewhere import DEVICE, Elsewhere
from rich.console import Console
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mnist_ddm.cli import training as command
from mnist_ddm.compute.launches import Capture, CudaGraphs
from mnist_ddm.errors import InputError
from mnist_ddm.models.checkpoint import is_finished, read_part_card
from mnist_ddm.models.presets import preset_named
from mnist_ddm.storage.files import read_tensors
from mnist_ddm.training import loop, together
from mnist_ddm.training.data import Streams, rows_of_step
from mnist_ddm.training.loop import LOG_EVERY
from mnist_ddm.training.module import BETAS, rate_type
from mnist_ddm.training.objectives import OBJECTIVES, VelocityObjective
from mnist_ddm.training.plan import Together, TrainingPlan, divided, training_jobs
from mnist_ddm.training.together import fit_together

PARTS = ("expert-3", "expert-7", "router", "classifier")
STEPS, KEPT = LOG_EVERY + 20, 20


def plan(images, out, preset=None, **changes):
    return TrainingPlan(images, preset or preset_named("tiny"), out, **({"steps": STEPS, "keep_every": KEPT} | changes))


def ignore(part, fraction):
    pass


def train(jobs, capture=None, report=ignore):
    """Train at once, by captured steps or not."""
    wanted = [(*job.prepared(), partial(report, job.part)) for job in jobs]
    fit_together(wanted, lambda number, fitted: jobs[number].finish(fitted), capture)


def written(folder, part):
    """The bytes of all that a training leaves but its card, which tells its seconds."""
    files = [folder / f"{part}.safetensors", folder / "losses" / f"{part}.csv", *folder.glob(f"kept/{part}-*")]
    return {file.name: file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def alone(few_images, tmp_path_factory):
    """What Lightning's loop makes of each part, one after the other."""
    out = tmp_path_factory.mktemp("alone")
    for job in training_jobs(plan(few_images, out), PARTS):
        job(lambda fraction: None)
    return {part: written(out, part) for part in PARTS}


@pytest.fixture
def each_row_saved(monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(loop, "SAVE_SHARE", float("inf"))


class Recording(TorchDispatchMode, Capture):
    """A graph of operations."""

    def __init__(self, stream=None):
        super().__init__()
        assert stream is None
        self.operations = []
        self.repeated = 0

    def __call__(self, function, inputs):
        for _ in range(3):
            function(*inputs)
        with self:
            output = function(*inputs)
        return self.repeat, output

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func.overloadpacket.__name__ not in ("_local_scalar_dense", "nonzero", "equal"), "waits for a device"
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result

    def repeat(self):
        self.repeated += 1
        with torch.no_grad():
            for func, args, kwargs, result in self.operations:
                again = func(*args, **kwargs)
                for place, value in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if isinstance(place, torch.Tensor) and place.data_ptr() != value.data_ptr():
                        place.copy_(value)


def test_parts_trained_at_once_are_those_trained_alone_bit_for_bit(few_images, alone, tmp_path, global_state):
    """Weights, losses, and the weights that were kept on the way, whatever the part: the classifier has no inputs."""
    told = {part: [] for part in PARTS}
    train(training_jobs(plan(few_images, tmp_path), PARTS), report=lambda part, done: told[part].append(done))
    for part in PARTS:
        assert written(tmp_path, part) == alone[part]
        kept = sorted(name for name in alone[part] if "step" in name)
        assert kept == [f"{part}-step-0000{n}.safetensors" for n in (20, 40, 60)]
        assert told[part] == [n / STEPS for n in (20, 40, 50, 60, 70)]
    assert not (tmp_path / "state").exists()


def test_an_expert_does_not_depend_on_who_is_trained_beside_it(few_images, alone, tmp_path):
    train(training_jobs(plan(few_images, tmp_path), ["expert-7"]))
    assert written(tmp_path, "expert-7") == alone["expert-7"]


@pytest.mark.parametrize("at", [45, 55])
@pytest.mark.parametrize(("first", "then"), [("together", "together"), ("together", "alone"), ("alone", "together")])
def test_a_training_that_was_stopped_goes_on_by_either_loop_with_the_same_bits(
    few_images, alone, tmp_path, each_row_saved, first, then, at
):
    """Stopped when the first of two is saved, or neither is, or later both."""
    parts = ["expert-3", "router"]
    jobs = training_jobs(plan(few_images, tmp_path), parts)

    def stop(part, fraction):
        if fraction > at / STEPS:
            raise KeyError

    if first == "together":
        with pytest.raises(KeyError):
            train(jobs, report=stop)
    else:
        for job in jobs:
            with pytest.raises(KeyError):
                job(partial(stop, job.part))
    saved = [read_tensors(job.state_file)[1]["done"] for job in jobs if job.state_file.exists()]
    assert saved == [LOG_EVERY] * (2 if at == 55 else 1 if first == "together" else 0)
    if then == "together":
        train(jobs)
    else:
        for job in jobs:
            job(lambda fraction: None)
    assert {part: written(tmp_path, part) for part in parts} == {part: alone[part] for part in parts}


@pytest.mark.long
def test_trainings_that_were_killed_go_on_and_equal_those_that_were_not(few_images, alone, tmp_path):
    """With a real SIGKILL."""
    code = (
        "import sys, pickle, torch; from pathlib import Path; from mnist_ddm.training.plan import Together\n"
        "torch.set_num_threads(1)\n"  # as in these tests: sums of several threads are rounded otherwise
        "Together(pickle.loads(Path(sys.argv[1]).read_bytes())).train(lambda number, fraction: None)"
    )
    jobs = training_jobs(plan(few_images, tmp_path / "out", steps=400), ["expert-3", "router"])
    (tmp_path / "jobs").write_bytes(pickle.dumps(tuple(jobs)))
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "jobs")])
    deadline = time.monotonic() + 120
    while not all(job.state_file.exists() for job in jobs) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert all(0 < read_tensors(job.state_file)[1]["done"] < 400 for job in jobs)
    train(jobs)
    whole = training_jobs(plan(few_images, tmp_path / "whole", steps=400), ["expert-3", "router"])
    train(whole)
    for job, other in zip(jobs, whole, strict=True):
        assert written(job.out, job.part) == written(other.out, other.part)


def test_steps_are_captured_once_a_model_and_repeated_from_what_lies_in_their_tensors(few_images, alone, tmp_path):
    """Warm-ups and the capture take steps, of which nothing stays; every step after them is a repetition."""
    made = []

    def capture(stream):
        made.append(Recording(stream))
        return made[-1]

    train(training_jobs(plan(few_images, tmp_path), PARTS), capture)
    assert [recording.repeated for recording in made] == [STEPS] * len(PARTS)
    for recording in made:
        assert sum(func.overloadpacket.__name__ == "_fused_adamw_" for func, *_ in recording.operations) == 1
    assert {part: written(tmp_path, part) for part in PARTS} == alone


@pytest.mark.parametrize("resumed", [False, True])
def test_a_capture_leaves_weights_average_moments_and_counts_alone(few_images, tmp_path, each_row_saved, resumed):
    def stop(part, fraction):
        if fraction > LOG_EVERY / STEPS:
            raise KeyError

    (job,) = training_jobs(plan(few_images, tmp_path), ["router"])
    if resumed:
        with pytest.raises(KeyError):
            train([job], report=stop)
    trainee = together._Trainee(*job.prepared(), lambda fraction: None, beside=1)
    before = [tensor.clone() for tensor in trainee._step.trained]
    assert sum(float(tensor) == (LOG_EVERY if resumed else 0) for tensor in before if tensor.ndim == 0) >= 10
    trainee.capture(Recording)
    after = trainee._step.trained
    assert len(after) == len(before)
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    trainee.draw()
    trainee.send()
    assert int(trainee._step.place) == 0


def test_graphs_of_several_streams_share_neither_memory_nor_stream(monkeypatch):
    """As far as it can be told without a GPU: what torch is told of warm-ups and captures."""
    current, graphs = ["default"], []

    class Stream:
        def __init__(self, name):
            self.name = name

        def wait_stream(self, other):
            pass

    @contextmanager
    def on(stream):
        before, current[0] = current[0], stream.name
        yield
        current[0] = before

    @contextmanager
    def graph(made, pool, stream):
        graphs.append((pool, stream.name))
        with on(stream):
            yield

    pools, called = iter(range(9)), []
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(current[0]))
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: next(pools))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: None))
    monkeypatch.setattr(torch.cuda, "graph", graph)
    for name in "ab":
        capture = CudaGraphs(Stream(name))
        for _ in range(2):
            capture(lambda x: called.append(current[0]) or x, (torch.zeros(1),))
    assert called == ["a"] * 8 + ["b"] * 8
    assert graphs == [(0, "a"), (0, "a"), (1, "b"), (1, "b")]
    names = iter("cdef")
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream(next(names)))
    called.clear()
    for capture in (CudaGraphs(), CudaGraphs()):
        for _ in range(2):
            capture(lambda x: called.append((current[0], gc.isenabled())) or x, (torch.zeros(1),))
    # To warm up and to capture each has a stream of its own, and keeps it.
    assert called == [*[("c", False)] * 3, ("d", False)] * 2 + [*[("e", False)] * 3, ("f", False)] * 2
    assert graphs[4:] == [(2, "d"), (2, "d"), (3, "f"), (3, "f")]


def test_where_steps_cannot_be_captured_they_are_called_which_is_said_once(few_images, alone, tmp_path, caplog):
    class Failing(Capture):
        def __call__(self, function, inputs):
            function(*inputs)
            raise RuntimeError("operation not permitted\nmore")

    made = iter([Recording(), Failing()])
    train(training_jobs(plan(few_images, tmp_path), PARTS[:3]), lambda stream: next(made))
    assert [record.message for record in caplog.records] == [
        "training goes on without captured launches: operation not permitted"
    ]
    assert {part: written(tmp_path, part) for part in PARTS[:3]} == {part: alone[part] for part in PARTS[:3]}


def test_a_part_that_diverges_ends_all_with_its_error_and_the_others_go_on_from_their_states(
    few_images, alone, tmp_path
):
    """It diverges in the first 20 steps; the others go on to the end of a row, where a state can be saved."""
    tiny = preset_named("tiny")
    wild = replace(tiny, recipes=tiny.recipes | {"router": replace(tiny.recipes["router"], learning_rate=1e30)})
    jobs = training_jobs(plan(few_images, tmp_path, wild), ["expert-3", "router", "expert-7"])
    with pytest.raises(InputError, match=r"the loss of router became nan at step \d+; lower its learning rate"):
        train(jobs)
    assert [job.state_file.exists() for job in jobs] == [True, False, True]
    assert not any(is_finished(job.out, job.part) for job in jobs)
    for job in (jobs[0], jobs[2]):
        assert read_tensors(job.state_file, finite=True)[1]["done"] == LOG_EVERY
        job(lambda fraction: None)
        assert written(tmp_path, job.part) == alone[job.part]


def test_after_ctrl_c_all_are_saved_at_their_next_row_and_go_on_from_there(few_images, alone, tmp_path):
    parts = ["expert-3", "router"]
    jobs = training_jobs(plan(few_images, tmp_path), parts)
    told = []

    def interrupt(part, fraction):
        told.append(part)
        if len(told) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(jobs, report=interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    assert [read_tensors(job.state_file)[1]["done"] for job in jobs] == [LOG_EVERY] * 2
    train(jobs)
    assert {part: written(tmp_path, part) for part in parts} == {part: alone[part] for part in parts}


def test_a_part_is_finished_while_others_go_on_and_is_not_trained_again(few_images, tmp_path):
    short, long = training_jobs(plan(few_images, tmp_path), ["expert-3", "router"])
    jobs = (replace(short, recipe=replace(short.recipe, steps=10)), long)
    finished = []
    train(jobs, report=lambda part, done: finished.append((part, round(done, 2), is_finished(tmp_path, "expert-3"))))
    assert finished[:3] == [("expert-3", 1.0, False), ("router", 0.29, False), ("router", 0.57, True)]
    told = []
    Together(jobs)(told.append)
    assert told == [pytest.approx(10 / (10 + STEPS)), pytest.approx(1.0)]


def test_the_fraction_of_several_is_that_of_their_steps(few_images, tmp_path):
    jobs = training_jobs(plan(few_images, tmp_path, steps=4, keep_every=2), ["expert-3", "router"])
    told = []
    Together((jobs[0], replace(jobs[1], recipe=replace(jobs[1].recipe, steps=2))))(told.append)
    assert told == [pytest.approx(n / 6) for n in (2, 4, 6)]


def test_jobs_are_divided_into_groups_of_about_the_same_work(few_images, tmp_path):
    parts = ["monolith", *(f"expert-{k}" for k in range(10))]
    jobs = training_jobs(plan(few_images, tmp_path), parts)
    groups = [[job.part for job in group.jobs] for group in divided(jobs, 2)]
    assert groups == [parts[:1], parts[1:]]
    assert [len(group.jobs) for group in divided(jobs[1:], 3)] == [4, 3, 3]
    assert [len(group.jobs) for group in divided(jobs[1:3], 8)] == [1, 1]
    assert divided([], 2) == []


@pytest.mark.parametrize("gpus", [1, pytest.param(2, marks=pytest.mark.long)])
def test_the_command_trains_the_parts_of_each_gpu_at_once(few_images, alone, tmp_path, monkeypatch, capsys, gpus):
    """Here on a CPU; two groups run in processes of their own."""
    monkeypatch.setattr(command, "shared_gpus", lambda device: ("0",) * gpus)
    jobs = training_jobs(plan(few_images, tmp_path), ["expert-3", "expert-7"])
    command._on_gpus(Console(width=200), jobs, 8, "cpu", "loky")
    assert {part: written(tmp_path, part) for part in PARTS[:2]} == {part: alone[part] for part in PARTS[:2]}
    assert "2 of 2 done" in capsys.readouterr().out
    assert read_part_card(tmp_path, "expert-3").figures["images"] == len(jobs[0].data)


def test_a_gpu_is_for_parts_at_once_and_a_cpu_for_lightning(few_images, tmp_path, monkeypatch):
    called = Counter()
    for way in ("_on_gpus", "_on_cores"):
        monkeypatch.setattr(command, way, lambda *given, way=way: called.update([way]))
    monkeypatch.setattr(command, "load_images", lambda *given, **options: few_images)
    monkeypatch.setattr(command, "write_model_card", lambda out: out)
    said = dict.fromkeys(("experts", "share", "labels", "data_dir", "workers"))
    for device in ("cuda", "cuda:1", "mps", "cpu"):
        out = tmp_path / device.replace(":", "-")
        options = {"preset": "tiny", "out": out, "partition": "digit", "steps": 1, "relabel": False, "keep_every": 0}
        command.train(lambda names: names[:2], **said, **options, seed=0, device=device, backend="loky")
    assert called == {"_on_gpus": 2, "_on_cores": 2}


def test_a_rate_in_a_tensor_gives_the_bits_of_the_same_rate_as_a_number():
    """In float64 on a CPU; in float32, as CUDA reads it, those of the number rounded to float32, which are others."""

    def trained(rate):
        weights = torch.nn.Parameter(torch.linspace(-1, 1, 999))
        optimizer = torch.optim.AdamW([weights], lr=rate(0.0), betas=BETAS, weight_decay=0.01, fused=True)
        for step in range(20):
            optimizer.param_groups[0]["lr"] = rate(0.01 / (step + 3))
            weights.grad = torch.sin(weights.detach() * (step + 1))
            optimizer.step()
        return weights.detach()

    number, rounded = trained(float), trained(lambda rate: float(np.float32(rate)))
    assert trained(lambda rate: torch.tensor(rate, dtype=rate_type(torch.device("cpu")))).equal(number)
    assert trained(lambda rate: torch.tensor(rate, dtype=rate_type(torch.device("cuda")))).equal(rounded)
    assert not rounded.equal(number)


@pytest.mark.parametrize("kind", ["expert", "router"])
def test_a_batch_is_completed_on_its_device_without_waiting_for_it(few_images, tmp_path, kind):
    (job,) = training_jobs(plan(few_images, tmp_path), ["router"])
    objective, streams = OBJECTIVES[kind], Streams(0, 0, 0)
    rows = rows_of_step(len(job.data), 16, 3, streams)
    batch, drawn = (make(job.data, rows, job.recipe, streams.of(0, 3)) for make in (objective.batch, objective.drawn))
    assert "clean" not in drawn
    with Elsewhere(float64=True) as device:
        there = [
            {name: rows.to(DEVICE, non_blocking=True) for name, rows in tensors.items()}
            for tensors in (drawn, objective.resident(job.data))
        ]
        completed = objective.completed(*there)
        assert not device.looks
        assert completed.keys() == batch.keys()
        assert all(completed[name].cpu().equal(batch[name]) for name in batch)


def test_the_states_of_grey_levels_are_those_of_images(few_images, tmp_path):
    (job,) = training_jobs(plan(few_images, tmp_path), ["router"])
    drawn = VelocityObjective().drawn(job.data, torch.arange(256), job.recipe, np.random.default_rng(0))
    clean = VelocityObjective().completed(drawn, VelocityObjective().resident(job.data))["clean"]
    assert clean.equal(job.data.images[:256].float() / 127.5 - 1)


def test_states_that_take_long_to_write_are_written_seldom(few_images, tmp_path, monkeypatch):
    """Of ten that are saved in turn each takes its part of a twentieth of the time."""
    now = [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(loop, "save_state", lambda *given: now.__setitem__(0, now[0] + 0.2))
    (job,) = training_jobs(plan(few_images, tmp_path), ["router"])
    fit, model = job.prepared()
    module = together.TrainingModule(model, fit.objective, fit.recipe)
    keeper = loop.Keeper(fit, lambda fraction: None, beside=10)
    assert not keeper.save(module)
    keeper._rows = [{"step": 0}]
    assert keeper.save(module)
    assert keeper._next_save == pytest.approx(0.2 * 10 / 0.05)
