"""Model cards: metadata that hubs read, and numbers that are those of the cards."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mnist_ddm.cli import cli
from mnist_ddm.errors import InputError
from mnist_ddm.models.checkpoint import open_system, read_part_card, read_system_card, share_part, write_figures
from mnist_ddm.models.model_card import MODEL_CARD, mnist_model_card, write_model_card
from mnist_ddm.tables.terminal import shown_value
from paris_ddm.model_card import paris_model_card

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"


def parsed(text):
    """Metadata and body of a card."""
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), body


def card_of(folder):
    return (paris_model_card if folder.name == "paris-mini" else mnist_model_card)(folder)


@pytest.mark.parametrize("name", ["mnist-classroom", "mnist-random", "paris-mini"])
def test_a_card_that_ships_has_the_fields_of_the_hub_and_follows_from_the_folder(name):
    text = (CHECKPOINTS / name / MODEL_CARD).read_text()
    assert text == card_of(CHECKPOINTS / name).text(), "run `python docs/record.py write`"
    head, body = parsed(text)
    assert (head["license"], head["library_name"], head["datasets"]) == ("mit", "mnist-ddm", ["ylecun/mnist"])
    assert head["pipeline_tag"] in ("unconditional-image-generation", "text-to-image")
    assert "diffusion" in head["tags"]
    assert body.startswith(f"\n# {name}\n")


@pytest.mark.parametrize("name", ["mnist-classroom", "paris-mini"])
def test_the_results_in_the_metadata_are_those_of_the_card(name):
    head, _ = parsed((CHECKPOINTS / name / MODEL_CARD).read_text())
    stated = json.loads((CHECKPOINTS / name / "card.json").read_text())["figures"]["quality"]["rows"]
    (model,) = head["model-index"]
    assert model["name"] == name
    told = {m["name"]: m["value"] for result in model["results"] for m in result["metrics"]}
    assert told == {f"FID, {row['routing']}, n = {row['n']}": row["fid"] for row in stated}


def test_a_part_of_another_system_and_a_note_are_told(tiny_checkpoint, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(tiny_checkpoint, tmp_path / "source")
    system = replace(read_system_card(tiny_checkpoint), partition="random")
    open_system(folder, system)
    share_part(tmp_path / "source", "monolith", folder, system)
    told = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**told, "note": "Of older code."}))
    _, body = parsed(mnist_model_card(folder).text())
    assert "| monolith (trained for source) |" in body
    assert "\nOf older code.\n" in body
    write_figures(folder, {})
    assert "Of older code." in mnist_model_card(folder).text()
    (folder / "card.json").write_text(json.dumps({**told, "note": 3}))
    with pytest.raises(InputError, match="no text"):
        mnist_model_card(folder)


def test_what_ships_says_whose_parts_it_has_and_that_its_seed_is_of_older_code():
    for name in ("mnist-classroom", "mnist-random"):
        assert "older code" in (CHECKPOINTS / name / MODEL_CARD).read_text()
    for part in ("monolith", "classifier"):
        ours, other = (read_part_card(CHECKPOINTS / name, part) for name in ("mnist-random", "mnist-classroom"))
        assert (ours.sha256, ours.taken_from, other.taken_from) == (other.sha256, "mnist-classroom", "")


def test_every_finished_part_stands_with_its_figures_and_others_as_not_trained(tiny_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "tiny")
    (folder / "expert-3.json").unlink()
    head, body = parsed(write_model_card(folder).read_text())
    assert "model-index" not in head
    assert "| expert-3 (not trained) |" in body
    for part in ("expert-2", "router", "monolith", "classifier"):
        figures = read_part_card(folder, part).figures
        (line,) = re.findall(rf"^\| {part} \|.*$", body, flags=re.M)
        assert f"| {shown_value(figures['first_loss'])} | {shown_value(figures['last_loss'])} |" in line
    assert "## Measured" not in body


def test_a_set_of_ones_own_is_not_called_mnist(tiny_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "tiny")
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(
        json.dumps({**card, "data": "shapes", "data_digest": "ab", "names": [*"abcdefghij"]})
    )
    with pytest.raises(InputError, match="another"):
        cli.main(["train-router", "--preset", "tiny", "--out", str(folder)], standalone_mode=False)
    head, body = parsed(mnist_model_card(folder).text())
    assert "datasets" not in head
    assert "license" not in head  # nobody was asked
    assert "model of shapes" in body
    assert "Classes: a, b, c, d, e, f, g, h, i, j." in body
    assert "digit" not in body


def test_training_writes_the_card(tmp_path):
    out = tmp_path / "own"
    command = ["train-experts", "--only", "3", "--preset", "tiny", "--steps", "1", "--workers", "1", "--out", str(out)]
    cli.main(command, standalone_mode=False)
    _, body = parsed((out / MODEL_CARD).read_text())
    assert "| expert-3 | 6131 | 1 | 16 |" in body
    assert "| router (not trained) |" in body
