"""Checkpoints that are missing, cut short, changed or mixed up; and what ships."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import torch

from mnist_ddm.cli import cli
from mnist_ddm.errors import InputError, NotFiniteError
from mnist_ddm.models.checkpoint import (
    SystemCard,
    load_part,
    load_weights,
    open_system,
    part_kind,
    part_names,
    read_part_card,
    read_system_card,
    system_digest,
)
from mnist_ddm.models.presets import preset_named
from mnist_ddm.models.shipped import checkpoints_folder
from mnist_ddm.storage.files import digest, read_tensors, sha256, write_tensors
from mnist_ddm.systems.mnist import SHIPPED, MnistPool
from mnist_ddm.training.plan import TrainingPlan, training_jobs


@pytest.fixture
def copy(tiny_checkpoint, tmp_path):
    return shutil.copytree(tiny_checkpoint, tmp_path / "copy")


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 0x40
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:1000])


def pickle_instead(path):
    torch.save({"weights": torch.zeros(3)}, path)
    rewrite(path.with_suffix(".json"), sha256=sha256(path))


SPOILED = {
    "no card": lambda c: (c / "card.json").unlink(),
    "card is not JSON": lambda c: (c / "card.json").write_text("{"),
    "card of another schema": lambda c: rewrite(c / "card.json", schema=99),
    "card of another preset": lambda c: rewrite(c / "card.json", preset="classroom"),
    "other data": lambda c: rewrite(c / "card.json", data_digest="0" * 64),
    "missing weights": lambda c: (c / "expert-4.safetensors").unlink(),
    "missing part card": lambda c: (c / "router.json").unlink(),
    "a changed byte": lambda c: flip_a_byte(c / "expert-4.safetensors"),
    "cut short": lambda c: cut(c / "classifier.safetensors"),
    "a pickle": lambda c: pickle_instead(c / "expert-0.safetensors"),
    "a part of another system": lambda c: rewrite(c / "expert-2.json", system="1" * 64),
}


@pytest.mark.parametrize("what", list(SPOILED))
def test_a_spoiled_checkpoint_gets_one_line_that_names_it(copy, images, what):
    SPOILED[what](copy)
    with pytest.raises(InputError) as error:
        MnistPool(copy, images)
    assert "\n" not in str(error.value)
    assert str(copy) in str(error.value)


def test_weights_of_another_preset_are_refused_even_with_a_right_hash(copy):
    card = read_system_card(copy)
    with torch.random.fork_rng():
        other = preset_named("classroom").build("expert", 10, 10)
    path = copy / "expert-0.safetensors"
    write_tensors(path, other.state_dict())
    rewrite(copy / "expert-0.json", sha256=sha256(path))
    with pytest.raises(InputError, match="does not fit the preset 'tiny'"):
        load_part(copy, "expert-0", card)


@pytest.mark.parametrize("change", [torch.Tensor.double, lambda value: value.view(torch.int32)])
def test_weights_of_another_type_are_refused_and_not_converted(copy, change):
    card, path = read_system_card(copy), copy / "expert-0.safetensors"
    tensors, _ = read_tensors(path)
    write_tensors(path, tensors | {"head.bias": change(tensors["head.bias"])})
    rewrite(copy / "expert-0.json", sha256=sha256(path))
    with pytest.raises(InputError, match="does not fit the preset 'tiny'"):
        load_part(copy, "expert-0", card)


@pytest.mark.parametrize(
    "command",
    [
        ["sample", "--routing", "label", "--steps", "2", "--n", "3"],
        ["analyze", "--analysis", "averaging-variance", "--steps", "2", "--n", "3"],
        ["explore", "--routing", "full,top2", "--steps", "2", "--n", "3"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_experts_whose_answers_overflow_are_named_with_sample_and_step(copy, tmp_path, command, workers):
    for k in range(10):  # finite in the file, so that loading finds nothing
        path = copy / f"expert-{k}.safetensors"
        tensors, _ = read_tensors(path)
        write_tensors(path, {name: (value * 0 + 3e38 if "head" in name else value) for name, value in tensors.items()})
        rewrite(copy / f"expert-{k}.json", sha256=sha256(path))
    out = tmp_path / "out" / {"sample": "x.png", "explore": "x.html"}.get(command[0], "x")
    arguments = [*command, "--checkpoint", str(copy), "--workers", workers, "--out", str(out)]
    with pytest.raises(NotFiniteError) as said:
        cli.main(arguments, standalone_mode=False)
    told = r"sample \d+: the system 'mnist' fails at t = [\d.]+ \(step 1\) for the sample of seed \d+: expert \d gives"
    assert re.match(told, str(said.value)), str(said.value)
    assert not list(out.parent.rglob("*.png"))
    assert not list(out.parent.rglob("*.csv"))
    assert not list(out.parent.rglob("*.html"))


def test_a_card_that_says_nothing_of_a_linear_start_means_one_and_keeps_its_digest(tmp_path):
    """Cards of before there were plain UNets: `paper` had a linear start then, and their parts know this digest."""
    before = SystemCard("paper", "digit", 10, 10, 0, "MNIST", "ab")
    assert system_digest(before) == digest(
        {"preset": "paper", "partition": "digit", "n_experts": 10, "classes": 10, "seed": 0, "data_digest": "ab"}
    )
    assert system_digest(replace(before, linear=False)) != system_digest(before)
    open_system(tmp_path / "old", before)
    assert "linear" not in json.loads((tmp_path / "old" / "card.json").read_text())
    assert read_system_card(tmp_path / "old") == before
    with torch.random.fork_rng():
        model = preset_named("paper-linear").build("expert", 10, 10)
    write_tensors(tmp_path / "a.safetensors", model.state_dict())
    assert load_weights(tmp_path / "a.safetensors", "expert", before, "cpu").config.linear
    with pytest.raises(InputError, match="does not fit the preset 'paper'"):
        load_weights(tmp_path / "a.safetensors", "expert", replace(before, linear=False), "cpu")
    with pytest.raises(InputError, match=r"another run \(linear: True there, False asked\)"):
        open_system(tmp_path / "old", replace(before, linear=False))


def test_the_training_of_a_plain_system_says_so_on_its_card(images, tmp_path):
    plan = TrainingPlan(images=images, preset=preset_named("classroom-plain"), out=tmp_path / "plain", steps=1)
    assert not training_jobs(plan, ["expert-3"])[0].system.linear
    assert json.loads((tmp_path / "plain" / "card.json").read_text())["linear"] is False


def test_a_pool_is_named_by_its_weights(copy, tiny_checkpoint, images):
    assert MnistPool(copy, images).fingerprints == MnistPool(tiny_checkpoint, images).fingerprints
    path = copy / "expert-0.safetensors"
    tensors, _ = read_tensors(path)
    tensors["head.bias"] += 1
    write_tensors(path, tensors)
    rewrite(copy / "expert-0.json", sha256=sha256(path))
    assert MnistPool(copy, images).fingerprints != MnistPool(tiny_checkpoint, images).fingerprints


def test_the_shipped_checkpoint_is_whole_small_and_holds_no_pickle():
    folder = checkpoints_folder() / SHIPPED
    card = read_system_card(folder)
    assert (card.preset, card.partition, card.n_experts) == ("classroom", "digit", 10)
    for part in part_names(card.n_experts):
        part_card = read_part_card(folder, part)
        assert part_card.system == system_digest(card)
        assert part_card.sha256 == sha256(folder / f"{part}.safetensors")
        recipe = preset_named("classroom").recipes[part_kind(part)]
        factor = card.n_experts if part == "monolith" else 1
        assert part_card.recipe["steps"] == recipe.steps * factor
    files = [f for f in folder.rglob("*") if f.is_file()]
    assert {f.suffix for f in files} <= {".json", ".safetensors", ".csv", ".md"}
    assert sum(f.stat().st_size for f in files) <= 25e6
