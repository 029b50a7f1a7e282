"""Training the small Paris: its task, its clusters, and going on after a stop."""

import hashlib
from dataclasses import replace
from functools import partial

import pytest
import torch
from PIL import Image

from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import read_json
from mnist_ddm.training.loop import Fitted
from mnist_ddm.versions import versions
from paris_ddm.check import check, detail_table
from paris_ddm.clusters import fit_text, summarise, two_stage_kmeans
from paris_ddm.config import DiTRouterConfig, read_config
from paris_ddm.mini.build import build
from paris_ddm.mini.data import (
    COLOURS,
    ColouredDigits,
    all_captions,
    caption_table,
    held_out_set,
    is_held_out,
    training_set,
)
from paris_ddm.mini.objectives import CaptionedVelocityObjective
from paris_ddm.mini.plan import fit_part
from paris_ddm.mini.tokenizer import write_tokenizer
from paris_ddm.pool import ParisPool, ParisSettings
from paris_ddm.realise import cluster_images
from tests.conftest import run_in_turn


def hashes(folder):
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.rglob("*.safetensors"))
    }


class StoppedError(Exception):
    pass


@pytest.mark.long
def test_a_training_that_was_stopped_ends_with_the_same_bits(tiny_paris, tiny_paris_plan, tmp_path):
    plan, left = tiny_paris_plan(tmp_path / "model"), [9]

    def run_until_stopped(names, jobs, costs):
        for job in jobs:
            left[0] -= 1
            if left[0] == 0:
                raise StoppedError
            job(lambda fraction: None)

    for _ in range(2):
        with pytest.raises(StoppedError):
            build(plan, run_until_stopped, lambda line: None)
        left[0] = 4
    build(plan, run_in_turn, lambda line: None)
    assert hashes(plan.out) == hashes(tiny_paris)
    told = []
    build(plan, run_in_turn, told.append)
    assert told == [f"{plan.out} is finished"]
    with pytest.raises(InputError, match="another preset, seed or data"):
        build(replace(plan, seed=1), run_in_turn, told.append)


def test_parts_are_trained_on_the_device_that_was_chosen(tiny_paris_plan, tmp_path, monkeypatch):
    asked = {}

    def fit(**given):
        asked.update(given)
        return lambda model, report: Fitted(model, [{"step": 1, "loss": 1.0}], 0.0, versions())

    monkeypatch.setattr("paris_ddm.mini.plan.Fit", fit)
    plan = replace(tiny_paris_plan(tmp_path), device="cuda:1")
    make = partial(torch.nn.Linear, 1, 1)
    found = fit_part(plan, "expert-3", "expert", 3, make, CaptionedVelocityObjective(), [0], lambda done: None)
    assert asked["device"] == "cuda:1"
    assert found.model.weight.device.type == "cpu"
    assert plan.describe() == replace(plan, device="cpu").describe()


def test_a_folder_of_somebody_else_is_left_alone(tiny_paris_plan, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        build(tiny_paris_plan(tmp_path), run_in_turn, lambda line: None)
    assert [f.name for f in tmp_path.iterdir()] == ["mine.txt"]


def test_the_card_says_what_was_trained_and_what_clusters_hold(tiny_paris):
    card = read_json(tiny_paris / "card.json")
    assert {f"expert-{k}" for k in range(8)} | {"router", "monolith", "vae", "towers"} <= card["trained"].keys()
    assert len(card["clusters"]) == 8
    assert sum(card["trained"][f"expert-{k}"]["rows"] for k in range(8)) == card["trained"]["monolith"]["rows"] == 1500
    assert not (tiny_paris / "work").exists()
    assert read_config(tiny_paris / "router" / "config.json", DiTRouterConfig).num_clusters == 8


def test_the_monolith_has_the_budget_of_all_experts(tiny_paris_plan, tmp_path):
    plan = tiny_paris_plan(tmp_path)
    assert plan.recipe("monolith").steps == 8 * plan.recipe("expert").steps


@pytest.mark.long
def test_clusters_may_be_what_an_image_shows_and_all_else_is_shared(tiny_paris, tiny_paris_plan, tmp_path):
    told = []
    plan = replace(tiny_paris_plan(tmp_path / "model"), clusters="ink", source=tiny_paris)
    build(plan, run_in_turn, told.append)
    ours, theirs = hashes(plan.out), hashes(tiny_paris)
    own = {name for name in ours if ours[name] != theirs[name]}
    assert own == {name for name in ours if name.startswith(("expert_", "router", "clusters", "real"))}
    shared = ("tokenizer", "text_encoder", "image_encoder", "vae", "classifier", "monolith")
    assert told[:6] == [f"{part} is that of {tiny_paris}" for part in shared]
    card = read_json(plan.out / "card.json")
    assert card["plan"]["clusters"] == "ink"
    assert all(f"ink {colour} 100%" in line for colour, line in zip(COLOURS, card["clusters"], strict=True))
    assert "monolith" not in card["trained"]
    pool = ParisPool(ParisSettings(plan.out))
    states, cluster = pool.measures.real_states(20)
    condition = pool.measures.real_condition(20)
    inks = [next(i for i, name in enumerate(COLOURS) if f"{name} " in _ink(c)) for c in condition.captions]
    assert cluster.tolist() == inks
    assert len(states) == 20


def _ink(caption):
    """The words of the ink in a caption, whose three ways name it in different places."""
    if " in " in caption:
        return caption.split(" in ")[1].split(" on ")[0] + " "
    digit = caption.split(" on ")[0] if " on " in caption else caption.split(" with ")[1]
    return digit


def test_clusters_that_are_digits_have_ten_experts_and_a_monolith_of_their_budget(tiny_paris_plan, tmp_path):
    plan = replace(tiny_paris_plan(tmp_path), clusters="digit")
    assert (plan.experts, plan.folder.root.num_experts) == (10, 10)
    assert plan.recipe("monolith").steps == 10 * plan.recipe("expert").steps
    assert plan.describe() != tiny_paris_plan(tmp_path).describe()


def test_parts_are_taken_from_a_finished_model_of_the_same_plan_alone(tiny_paris, tiny_paris_plan, tmp_path):
    plan = replace(tiny_paris_plan(tmp_path / "model"), clusters="ink", source=tiny_paris, seed=1)
    for wrong in (plan, replace(plan, source=tmp_path)):
        with pytest.raises(InputError, match="choose another --share"):
            build(wrong, run_in_turn, lambda line: None)
    with pytest.raises(InputError, match="kind of clusters"):
        replace(plan, clusters="weather")


def test_an_image_is_a_digit_of_one_colour_on_another(images):
    data = training_set(images, 0)
    rows = torch.tensor([0, 5, 59_999])
    found = data.images(rows)
    assert found.shape == (3, 3, 32, 32)
    assert 0 <= found.min() <= found.max() <= 1
    rgb = torch.tensor(list(COLOURS.values()))
    corner = found[:, :, 0, 0]
    assert (corner - rgb[data.ground[rows]]).abs().max() < 0.15  # five standard deviations of the shade
    brightest = data.digits[rows].flatten(1).argmax(dim=1)
    at = found[torch.arange(3), :, brightest // 28 + 2, brightest % 28 + 2]
    assert (at - rgb[data.ink[rows]]).abs().max() < 0.16
    assert torch.equal(data.images(rows[1:]), found[1:])
    other = ColouredDigits(data.digits[:10], data.labels[:10], 1, "training")
    assert not torch.equal(other.ink, data.ink[:10])


def test_held_out_combinations_are_in_no_image_and_no_caption_of_the_training(images):
    for data in (training_set(images, 0), held_out_set(images, 0)):
        assert not is_held_out(*data.attributes.T).any()
        assert (data.ink != data.ground).all()
    table, ordinary, kept = set(caption_table()), all_captions(held_out=False), all_captions(held_out=True)
    assert len(ordinary) + len(kept) == 560
    assert 40 < len(kept) < 62
    assert set(ordinary) < table
    assert not set(training_set(images, 0).captions(torch.arange(60_000))) & set(kept)


def test_two_stages_find_blobs_that_are_there():
    generator = torch.Generator().manual_seed(0)
    centres = 20 * torch.randn(4, 5, generator=generator)
    truth = torch.tensor([0] * 50 + [1] * 200 + [2] * 100 + [3] * 70)
    points = centres[truth] + torch.randn(len(truth), 5, generator=generator)
    found = two_stage_kmeans(points, 4, fine=40)
    assert torch.equal(found.bincount(), torch.tensor([200, 100, 70, 50]))  # larger clusters first
    assert torch.equal(found == 0, truth == 1)
    assert torch.equal(two_stage_kmeans(points, 4, fine=40), found)
    summary = summarise(points, found, 4, {})
    torch.testing.assert_close(summary.centroids[0], points[truth == 1].mean(dim=0))
    assert torch.equal(summary.nearest(points), found)
    assert summary.prior.tolist() == pytest.approx([200 / 420, 100 / 420, 70 / 420, 50 / 420])
    for n, fine, message in ((3, 40, "3 images do not make 4 clusters"), (420, 3, "must have at least 4 clusters")):
        with pytest.raises(InputError, match=message):
            two_stage_kmeans(points[:n], 4, fine)


def test_the_posterior_of_a_caption_is_calibrated_on_its_data():
    generator = torch.Generator().manual_seed(0)
    texts = torch.randn(3, 8, generator=generator)
    rows, clusters = torch.tensor([0] * 400 + [1] * 400 + [2] * 400), torch.arange(1200) % 2
    clusters[rows == 0] = 0
    clusters[rows == 2] = 2
    weight, bias = fit_text(texts[rows], clusters, 3)
    found = (texts @ weight.T + bias).softmax(dim=1)
    expected = torch.tensor([[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]])
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0)


def test_a_folder_of_pictures_becomes_clusters_and_real_states(tiny_paris, images, tmp_path):
    pictures, out, data = tmp_path / "pictures", tmp_path / "out", held_out_set(images, 0)
    pictures.mkdir()
    captions = data.captions(torch.arange(90))
    rows = torch.tensor([i for i in range(90) if captions.index(captions[i]) == i][:60])
    shown = data.images(rows)
    for i, image in enumerate(shown):
        array = (image * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(array).save(pictures / f"{i:03d}.png")
        (pictures / f"{i:03d}.txt").write_text(captions[rows[i]])
    pool = ParisPool(ParisSettings(tiny_paris))
    lines = cluster_images(pool, pictures, out, 30, 0.25, 0, None, lambda fraction: None)
    assert len(lines) == 8
    mine = ParisPool(ParisSettings(tiny_paris, data=out))
    assert mine.measures.clusters.made["images"] == 60
    states, clusters = mine.measures.real_states(100)
    assert len(states) == 15
    assert len(mine.measures.real_states(100, held_out=False)[0]) == 45
    place = [[captions[r] for r in rows].index(caption) for caption in mine.measures.real_condition(100).captions]
    expected = pool.encode((shown[place] * 255).round() / 255)
    torch.testing.assert_close(states, expected, atol=0.01, rtol=0.01)  # kept in half precision
    assert torch.equal(
        clusters, mine.measures.clusters.nearest(mine.measures.embed((shown[place] * 255).round() / 255))
    )
    again = cluster_images(pool, pictures, tmp_path / "b", 30, 0.25, 0, out / "clusters.safetensors", lambda f: None)
    assert again == lines
    (pictures / "100.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="is not a picture that can be read"):
        cluster_images(pool, pictures, out, 30, 0.25, 0, None, lambda fraction: None)
    with pytest.raises(InputError, match="holds no picture"):
        cluster_images(pool, out, out, 30, 0.25, 0, None, lambda fraction: None)


def test_check_gives_paired_differences_and_admits_what_it_cannot_decide(tiny_paris):
    losses = check(ParisSettings(tiny_paris), n=16)
    assert [row["loss"] for row in detail_table(losses, tiny_paris, 16).rows] == [loss.loss for loss in losses]
    by_detail = {}
    for loss in losses:
        by_detail.setdefault(loss.detail, []).append(loss)
    assert {name: len(rows) for name, rows in by_detail.items()} == {
        "norm_eps": 2, "head_norm_eps": 2, "time": 3, "head_activation": 3, "patch_order": 2, "null_text": 2,
    }  # fmt: skip
    for rows in by_detail.values():
        best = min(rows, key=lambda row: row.loss.value)
        assert best.difference.value == 0
        assert best.verdict == ("best" if all(r.verdict != "undecided" for r in rows) else "undecided (lowest)")
        for row in rows:
            assert row.loss.value - best.loss.value == pytest.approx(row.difference.value, abs=1e-9)
            if row is not best:
                assert row.verdict == ("undecided" if row.difference.low <= 0 else "worse")


def test_every_word_of_the_captions_is_one_token_and_any_text_can_be_read(tmp_path):
    from transformers import CLIPTokenizer

    size = write_tokenizer(tmp_path, caption_table(), 16)
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == size
    caption = "an orange three on a purple ground"
    tokens = tokenizer([caption], padding="max_length")["input_ids"][0]
    assert tokenizer.convert_ids_to_tokens(tokens)[1:8] == [f"{word}</w>" for word in caption.split()]
    assert tokens[8:] == [tokenizer.eos_token_id] * 8
    other = tokenizer("Zebras, élan & 42!")["input_ids"]
    assert tokenizer.eos_token_id not in other[1:-1]  # nothing is unknown
