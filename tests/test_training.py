"""Isolation, determinism, and going on after a real SIGKILL."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from mnist_ddm.cli import cli
from mnist_ddm.compute.parallel import run_jobs
from mnist_ddm.core.noise import Purpose
from mnist_ddm.errors import InputError
from mnist_ddm.models.checkpoint import load_part, read_part_card, read_system_card
from mnist_ddm.models.presets import preset_named
from mnist_ddm.storage.files import read_tensors, write_tensors
from mnist_ddm.training import loop
from mnist_ddm.training.data import Streams, rows_of_step
from mnist_ddm.training.loop import LOG_EVERY
from mnist_ddm.training.module import averaging_decay, learning_rate
from mnist_ddm.training.objectives import (
    training_times,
)
from mnist_ddm.training.plan import TrainingPlan, share_parts, training_jobs
from mnist_ddm.versions import versions


@pytest.fixture(scope="module")
def images(few_images):
    return few_images


def plan(images, out, **changes):
    return TrainingPlan(images, preset_named("tiny"), out, **({"steps": 4} | changes))


def trained(the_plan, part):
    for job in training_jobs(the_plan, [part]):
        job(lambda fraction: None)
    return read_tensors(the_plan.out / f"{part}.safetensors")[0]


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_batches_run_through_shuffled_epochs_without_leaving_anything_out():
    n, batch = 10, 4
    rows = torch.cat([rows_of_step(n, batch, step, Streams(0, 0, 1)) for step in range(5)])
    assert sorted(rows[:10].tolist()) == list(range(10))
    assert sorted(rows[10:].tolist()) == list(range(10))
    assert rows[:10].tolist() != rows[10:].tolist()
    assert rows_of_step(3, 8, 0, Streams(0, 0, 1)).tolist() != rows_of_step(3, 8, 1, Streams(0, 0, 1)).tolist()


def test_training_times_are_stratified_and_logit_normal():
    recipe = replace(preset_named("tiny").recipes["expert"], time_mean=0.5, time_spread=1.3)
    t = training_times(2000, recipe, Streams(0, 0, 0).of(Purpose.BATCH)).double()
    logits = torch.logit(t)
    assert float(logits.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(logits.std()) == pytest.approx(1.3, abs=0.01)


def test_the_learning_rate_rises_and_falls_to_zero_and_the_average_starts_fast():
    recipe = replace(preset_named("tiny").recipes["expert"], steps=1000, learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(recipe, step) for step in range(1000)]
    assert max(rates) == pytest.approx(1, abs=1e-2)
    assert rates.index(max(rates)) == pytest.approx(100, abs=1)
    assert rates[-1] < 1e-5
    assert averaging_decay(recipe, 0) < 0.2


def test_an_expert_sees_its_own_part_of_the_data_and_nothing_else(images, tmp_path):
    rest = images.train_labels != 3
    others = images.train_images.clone()
    others[rest] = 255 - others[rest]
    changed = replace(images, train_images=others)
    (job,) = training_jobs(plan(images, tmp_path / "a"), ["expert-3"])
    assert torch.equal(job.data.images, images.train_images[images.train_labels == 3])
    assert int(job.data.targets.max()) == 0
    assert equal(trained(plan(images, tmp_path / "a"), "expert-3"), trained(plan(changed, tmp_path / "b"), "expert-3"))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_training_one_expert_alone_equals_training_it_among_others_and_in_parallel(images, tmp_path, workers):
    run_jobs(training_jobs(plan(images, tmp_path / "two"), ["expert-1", "expert-7"]), workers=workers)
    alone = trained(plan(images, tmp_path / "one"), "expert-7")
    assert equal(alone, read_tensors(tmp_path / "two" / "expert-7.safetensors")[0])


def test_the_seed_decides(images, tmp_path):
    a, b = (trained(plan(images, tmp_path / str(seed), seed=seed), "expert-0") for seed in (0, 1))
    assert not equal(a, b)


def test_the_loss_falls(images, tmp_path):
    trained(plan(images, tmp_path / "x", steps=3 * LOG_EVERY), "router")
    figures = read_part_card(tmp_path / "x", "router").figures
    assert figures["last_loss"] < 0.8 * figures["first_loss"]
    header, *rows = (tmp_path / "x" / "losses" / "router.csv").read_text().splitlines()
    assert header.split(",")[:3] == ["step", "learning_rate", "loss"]
    assert [row.split(",")[0] for row in rows] == ["50", "100", "150"]


def test_kept_stages_are_the_averaged_weights_on_the_way(images, tmp_path):
    trained(plan(images, tmp_path / "kept", steps=5, keep_every=2), "expert-0")
    kept = sorted(f.name for f in (tmp_path / "kept" / "kept").iterdir())
    assert kept == ["expert-0-step-000002.safetensors", "expert-0-step-000004.safetensors"]


@pytest.mark.slow
def test_parts_that_do_not_depend_on_the_partition_can_be_shared_and_are_the_same_bits(images, tmp_path):
    digit, alone, shared = (plan(images, tmp_path / name, steps=2) for name in ("digit", "alone", "shared"))
    alone, shared = replace(alone, partition="random"), replace(shared, partition="random")
    for part in ("monolith", "classifier"):
        trained(digit, part)
        trained(alone, part)
    share_parts(shared, digit.out, ["expert-0", "monolith", "classifier"])
    for part in ("monolith", "classifier"):
        assert (shared.out / f"{part}.safetensors").read_bytes() == (alone.out / f"{part}.safetensors").read_bytes()
        assert read_part_card(shared.out, part).system == read_part_card(alone.out, part).system
        assert not training_jobs(shared, [part])
    assert training_jobs(shared, ["expert-0"])
    with pytest.raises(InputError, match="not trained for 3 steps"):
        share_parts(replace(shared, steps=3, out=tmp_path / "other"), digit.out, ["classifier"])
    with pytest.raises(InputError, match="more than the partition"):
        share_parts(replace(shared, seed=1, out=tmp_path / "another"), digit.out, ["classifier"])


def test_a_loss_that_is_not_finite_stops_with_a_clear_error(images, tmp_path):
    preset = preset_named("tiny")
    wild = replace(preset, recipes=preset.recipes | {"router": replace(preset.recipes["router"], learning_rate=1e30)})
    the_plan = replace(plan(images, tmp_path / "x", steps=60), preset=wild)
    with pytest.raises(InputError, match="lower its learning rate"):
        trained(the_plan, "router")
    assert not (tmp_path / "x" / "router.json").exists()


def test_the_state_of_another_training_is_refused(images, tmp_path):
    def stop(fraction):
        if fraction > 50 / 60:
            raise KeyError

    first = plan(images, tmp_path / "x", steps=60)
    (job,) = training_jobs(first, ["expert-0"])
    with pytest.raises(KeyError):
        job(stop)
    (other,) = training_jobs(replace(first, steps=70), ["expert-0"])
    with pytest.raises(InputError, match="another training"):
        other(lambda fraction: None)


def test_a_folder_with_another_system_is_refused(images, tmp_path):
    training_jobs(plan(images, tmp_path / "x"), ["expert-0"])
    with pytest.raises(InputError, match=r"holds another run .*seed: 0 there, 5 asked"):
        training_jobs(plan(images, tmp_path / "x", seed=5), ["expert-0"])
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        training_jobs(plan(images, tmp_path / "y"), ["expert-0"])


def test_nothing_moves_the_global_random_state(images, tmp_path, global_state):
    trained(plan(images, tmp_path / "x", steps=2), "classifier")


@pytest.mark.long
def test_a_training_that_was_stopped_goes_on_and_equals_one_that_was_not(images, tmp_path):
    """Bit for bit, stopped between two saved states; the one below is the same with a real SIGKILL."""
    steps = LOG_EVERY + 10

    def stop(fraction):
        if fraction > (LOG_EVERY + 5) / steps:
            raise KeyError

    (job,) = training_jobs(plan(images, tmp_path / "stopped", steps=steps), ["expert-3"])
    with pytest.raises(KeyError):
        job(stop)
    assert read_tensors(job.state_file)[1]["done"] == LOG_EVERY
    assert not (job.out / "expert-3.json").exists()
    job(lambda fraction: None)
    trained(plan(images, tmp_path / "whole", steps=steps), "expert-3")
    for name in ("expert-3.safetensors", "losses/expert-3.csv"):
        assert (job.out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not job.state_file.exists()
    assert not list(job.out.rglob("*.tmp*"))


@pytest.mark.slow
def test_a_training_that_was_killed_goes_on_and_equals_one_that_was_not(tmp_path):
    """Bit for bit, with a real SIGKILL between two saved states."""

    def arguments(out):
        settings = ["--preset", "tiny", "--only", "3", "--steps", "120", "--workers", "1"]
        return ["train-experts", *settings, "--out", str(out)]

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    out, state = tmp_path / "killed", tmp_path / "killed" / "state" / "expert-3.safetensors"
    command = [sys.executable, "-c", "from mnist_ddm.cli import main; main()", *arguments(out)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert state.exists()
    assert not (out / "expert-3.json").exists()
    done = read_tensors(state)[1]["done"]
    assert 0 < done < 120
    for folder in (out, tmp_path / "whole"):
        cli.main(arguments(folder), standalone_mode=False)
    assert (out / "expert-3.safetensors").read_bytes() == (tmp_path / "whole" / "expert-3.safetensors").read_bytes()
    assert (out / "losses" / "expert-3.csv").read_text() == (tmp_path / "whole" / "losses" / "expert-3.csv").read_text()
    assert not state.exists()
    assert not list(out.rglob("*.tmp*"))


def test_finished_parts_of_another_recipe_are_not_mixed_with_new_ones(images, tmp_path):
    first = plan(images, tmp_path / "x", steps=2)
    trained(first, "expert-3")
    longer = replace(first, steps=4)
    for part in ("expert-3", "expert-4"):  # the same expert, and one that would belong to it
        with pytest.raises(InputError, match=r"expert-3 in .* trained otherwise \(steps: 2 there, 4 asked\)"):
            training_jobs(longer, [part])
    assert training_jobs(longer, ["router"])
    assert training_jobs(first, ["expert-3", "expert-4"])[0].part == "expert-4"
    (tmp_path / "x" / "expert-3.json").unlink()
    assert len(training_jobs(longer, ["expert-3"])) == 1


def test_data_are_known_by_their_content_and_not_by_their_name(images, tmp_path):
    here, there = (
        plan(images, tmp_path / "x", steps=1),
        plan(replace(images, name="elsewhere"), tmp_path / "y", steps=1),
    )
    trained(here, "expert-0")
    trained(there, "expert-1")
    for file in there.out.glob("expert-1.*"):  # two machines join what they trained
        (here.out / file.name).write_bytes(file.read_bytes())
    card = read_system_card(here.out)
    assert card.data == "mnist"
    for part in ("expert-0", "expert-1"):
        load_part(here.out, part, card)
        load_part(here.out, part, there.system)
    assert not training_jobs(replace(there, out=here.out), ["expert-0", "expert-1"])
    with pytest.raises(InputError, match="data_digest"):
        training_jobs(replace(here, images=replace(images, digest="0" * 64)), ["expert-0"])


def test_a_training_that_goes_on_under_another_torch_says_so_on_its_card(images, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def stop(fraction):
        if fraction > 50 / 60:
            raise KeyError

    (job,) = training_jobs(plan(images, tmp_path / "x", steps=60), ["router"])
    with pytest.raises(KeyError):
        job(stop)
    tensors, header = read_tensors(job.state_file)
    assert header["versions"] == versions()
    write_tensors(job.state_file, tensors, {**header, "versions": {**header["versions"], "torch": "2.0.1"}})
    job(lambda fraction: None)
    told = f"2.0.1, then {versions()['torch']}"
    assert read_part_card(job.out, "router").versions["torch"] == told
    again = ("train-router", "--preset", "tiny", "--steps", "60", "--keep-every", "10", "--out", str(job.out))
    cli.main(again, standalone_mode=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "router: finished before, so --keep-every does nothing for it" in said
    assert "torch 2.0.1, then" in said


@pytest.mark.parametrize("number", [0, -1, 1501, 2**64])
def test_a_number_of_experts_that_cannot_be_is_refused_and_not_taken_for_none_given(images, tmp_path, number):
    with pytest.raises(InputError, match="number of experts must be between 1 and 1500"):
        plan(images, tmp_path / "x", n_experts=number)
    assert not (tmp_path / "x").exists()


def test_classes_that_were_numbered_anew_are_on_the_card_and_found_again(tmp_path, images):
    letters = replace(images, labels=tuple(range(1, 11)))
    the_plan = plan(letters, tmp_path / "x", steps=1)
    training_jobs(the_plan, ["router"])
    assert read_system_card(the_plan.out).labels == letters.labels
    training_jobs(the_plan, ["router"])
    with pytest.raises(InputError, match="labels"):
        training_jobs(plan(images, tmp_path / "x", steps=1), ["router"])


_TYPES = (torch.Tensor.double, lambda value: value.view(torch.int32), lambda value: value[None])


@pytest.fixture(scope="module")
def half_way(images, tmp_path_factory):
    """A training that was stopped, and its state file."""
    the_plan = plan(images, tmp_path_factory.mktemp("half way"), steps=LOG_EVERY + 1)

    (job,) = training_jobs(the_plan, ["router"])
    state = job.state_file

    def stop_when_saved(fraction):
        if state.exists():
            raise KeyError

    with pytest.raises(KeyError):
        job(stop_when_saved)
    return job, state, state.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"done": 0},
        {"done": LOG_EVERY + 1},
        {"done": 10**9},
        {"log": []},
        {"log": [{"step": LOG_EVERY}]},
        {"log": [{"step": float(LOG_EVERY), "loss": 0.5}]},
        {"log": [{"step": LOG_EVERY, "loss": float("nan")}]},
        {"log": [{"step": LOG_EVERY, "loss": "0.5"}]},
        {"log": [{"step": LOG_EVERY, "loss": 0.5}, {"step": LOG_EVERY, "loss": 0.5}]},
        {"log": [{"step": -1, "loss": 0.5}, {"step": LOG_EVERY, "loss": 0.5}]},
        {"log": [{"step": 1, "loss": 0.5, "x": 1}, {"step": LOG_EVERY, "loss": 0.5}]},
        {"done": LOG_EVERY + 2, "log": [{"step": LOG_EVERY + 2, "loss": 0.5}]},
        {"seconds": -1},
    ],
)
def test_a_resume_state_that_does_not_fit_together_is_refused(half_way, change):
    job, state, whole = half_way
    tensors, header = read_tensors(state)
    try:
        write_tensors(state, tensors, header | change)
        with pytest.raises(InputError, match="delete it to begin again"):
            job(lambda fraction: None)
    finally:
        state.write_bytes(whole)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *((name, change) for name in ("exp_avg", "exp_avg_sq", "step", "model", "averaged") for change in _TYPES),
        ("exp_avg_sq", torch.neg),
        ("step", lambda value: value - 1),
    ],
)
def test_moments_and_weights_of_a_resume_state_are_what_they_were_saved_as(half_way, name, change):
    job, state, whole = half_way
    tensors, header = read_tensors(state)
    changed = next(n for n in tensors if n.endswith(f".{name}") or n.startswith(f"{name}."))
    try:
        write_tensors(state, tensors | {changed: change(tensors[changed])}, header)
        with pytest.raises(InputError, match="delete it to begin again"):
            job(lambda fraction: None)
    finally:
        state.write_bytes(whole)


def test_a_loss_that_is_not_finite_is_named_by_its_step_however_late_it_is_looked_at():
    """On a GPU losses are looked at together, when a row of the log is due."""
    keeper = loop.Keeper(SimpleNamespace(name="expert-0"), lambda fraction: None)
    keeper._losses = [torch.ones(1, 4), torch.ones(1, 4)]
    keeper._check(11)
    keeper._losses += [torch.ones(1, 4), torch.tensor([[1.0, torch.nan]]).repeat(1, 2), torch.ones(1, 4)]
    with pytest.raises(InputError, match="expert-0 became nan at step 13;"):
        keeper._check(14)
