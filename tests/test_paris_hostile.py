"""Files of a Paris folder made to harm: patterns that never end, sizes that fill the memory, tensors left out."""

import json
import re
import shutil
import time
from dataclasses import replace

import msgspec
import pytest
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from mnist_ddm.errors import InputError
from paris_ddm.attributes import read_classifier
from paris_ddm.mini.data import attributes
from paris_ddm.text import _Sizes, load_pretrained

PART = "text_encoder"


@pytest.fixture
def part(tiny_paris, tmp_path):
    return shutil.copytree(tiny_paris / PART, tmp_path / PART)


@pytest.fixture
def classifier(tiny_paris, tmp_path):
    folder = shutil.copytree(tiny_paris / "classifier", tmp_path / "classifier")
    config = json.loads((folder / "config.json").read_text())

    def read(pattern):
        config["attributes"][0]["pattern"] = pattern
        (folder / "config.json").write_text(json.dumps(config))
        return read_classifier(folder, "cpu")

    return read


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$", "(a*)*b", "(a|b", "a)", "(?=a)", "(?P<x>a)", "(?i)a", "a{2}", "a?", "[ab]", ".", "(a)\\1", "\\d",
        "\\B", "(a|aa)" * 13 + "b", "(a|a)" * 400, "(" * 20 + "a" + ")" * 20, "\0", "a\\",
    ],
)  # fmt: skip
def test_a_pattern_that_could_search_for_ever_is_refused(classifier, pattern):
    with pytest.raises(InputError, match="the pattern of 'digit'"):
        classifier(pattern)


def test_patterns_of_words_are_read_and_end(classifier):
    assert [attribute.label("a red seven on blue ground") for attribute in attributes()] == [7, 0, 4]
    worst = "(a|aa)" * 12 + "b"
    assert classifier(worst).attributes[0].pattern == worst
    begin = time.process_time()
    assert classifier(worst).attributes[0].label("a" * 10**6) == -1
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 2**40}, {"hidden_size": 60_000}, {"num_hidden_layers": 10**6}, {"num_hidden_layers": 200},
        {"vocab_size": 4_000_000}, {"intermediate_size": 10**6}, {"max_position_embeddings": 10**6},
        {"hidden_size": -1}, {"image_size": 8192, "patch_size": 1}, {"block_out_channels": [60_000] * 4},
        {"block_out_channels": [4] * 1000}, {"mlp_ratio": 1e9}, {"hidden_size": "64"},
    ],
)  # fmt: skip
def test_a_configuration_of_a_network_that_would_fill_the_memory_is_refused_before_it_is_built(
    part, monkeypatch, change
):
    config = json.loads((part / "config.json").read_text())
    (part / "config.json").write_text(json.dumps(config | change))
    monkeypatch.setattr(CLIPTextModel, "from_pretrained", lambda *a, **k: pytest.fail("it was built"))
    with pytest.raises(InputError, match=r"config\.json"):
        load_pretrained(CLIPTextModel, part, use_safetensors=True)


def test_the_estimate_of_a_networks_size_is_below_its_size(tiny_paris):
    for name in ("text_encoder", "image_encoder", "vae"):
        sizes = msgspec.convert(json.loads((tiny_paris / name / "config.json").read_text()), _Sizes)
        (weights,) = (tiny_paris / name).glob("*.safetensors")
        numbers = sum(tensor.numel() for tensor in load_file(weights).values())
        assert 0.2 * numbers < sizes.numbers < numbers, name


def test_a_tensor_that_is_missing_is_not_filled_with_random_numbers(part):
    tensors = load_file(part / "model.safetensors")
    name = next(name for name in tensors if name.endswith("fc1.weight"))
    save_file({k: v for k, v in tensors.items() if k != name}, part / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=re.escape("fc1.weight")):
        load_pretrained(CLIPTextModel, part, use_safetensors=True)


def test_the_plan_of_a_small_paris_tells_what_the_data_call_their_classes(tiny_paris_plan, tmp_path):
    plan = tiny_paris_plan(tmp_path)
    assert "labels" not in plan.describe()
    anew = replace(plan, images=replace(plan.images, labels=tuple(range(1, 11))))
    assert anew.describe()["labels"] == list(range(1, 11))
