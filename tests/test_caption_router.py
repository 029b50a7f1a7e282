"""`paris fit-caption-router`: what a caption says of the clusters, learned from captions with clusters alone."""

import json

import pytest
import torch

from mnist_ddm.errors import InputError
from mnist_ddm.systems.registry import load_system
from paris_ddm.caption_router import fit_caption_router, read_clustered_captions
from paris_ddm.clusters import read_clusters
from paris_ddm.folder import CLUSTERS

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
INKS = ("red", "green", "blue", "yellow")


def lines(cluster_of):
    told = ((digit, ink) for digit in DIGITS for ink in INKS for _ in range(3))
    return [json.dumps({"text": f"a {ink} {digit}", "cluster": cluster_of(digit, ink)}) for digit, ink in told]


@pytest.mark.long
def test_it_learns_what_the_captions_say_and_leaves_the_rest_of_the_clusters(run, tiny_paris, tmp_path):
    before = load_system("paris", paris_dir=tiny_paris)
    n = before.n_experts
    by_digit = lines(lambda digit, ink: DIGITS.index(digit) % n)
    file, out = tmp_path / "captions.jsonl", tmp_path / "data"
    file.write_text("\n\n".join(by_digit))
    code, told, _ = run("paris", "fit-caption-router", tiny_paris, "--captions", file, "--out", out)
    assert code == 0
    assert "fitted to 108 captions; of 12 others" in " ".join(told.split())
    after = load_system("paris", paris_dir=tiny_paris, data_dir=out)
    kept, made = before.measures.clusters, read_clusters(out / CLUSTERS, n)
    assert torch.equal(made.centroids, kept.centroids)
    assert torch.equal(made.prior, kept.prior)
    assert made.made["captions"] == 120
    said = after.measures.clusters.of_caption(after.pooled_texts([f"a red {digit}" for digit in DIGITS]))
    assert said.argmax(dim=1).tolist() == [i % n for i in range(10)]
    assert not torch.equal(said, kept.of_caption(before.pooled_texts([f"a red {digit}" for digit in DIGITS])))


def test_captions_that_say_nothing_of_the_clusters_are_no_better_than_none(tiny_paris, tmp_path):
    pool = load_system("paris", paris_dir=tiny_paris)
    numbers = iter(range(1000))
    (tmp_path / "noise.jsonl").write_text("\n".join(lines(lambda digit, ink: next(numbers) * 7 % pool.n_experts)))
    told = fit_caption_router(pool, tmp_path / "noise.jsonl", tmp_path, lambda done: None)[1]
    loss, blind = (float(word) for word in told.replace(",", "").split() if word[0].isdigit())
    assert loss > blind - 0.1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"text": "a two"}', "line 1 of"),
        ('{"text": "a two", "cluster": 0}\n["a two", 0]', "line 2 of"),
        ('{"text": " ", "cluster": 0}', "line 1 of"),
        ('{"text": "a two", "cluster": true}', "line 1 of"),
        ('{"text": "a two", "cluster": -1}', "the model has 0 to 7"),
        ('{"text": "a two", "cluster": 8}', "the model has 0 to 7"),
        ("{", "line 1 of"),
    ],
)
def test_what_is_no_caption_with_a_cluster_is_named(tmp_path, text, message):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_clustered_captions(tmp_path / "a.jsonl", 8)
    assert "\n" not in str(error.value)


def test_a_cluster_without_captions_is_named_and_nothing_is_written(run, tiny_paris, tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(lines(lambda digit, ink: 0)))
    code, _, err = run("paris", "fit-caption-router", tiny_paris, "--captions", file, "--out", tmp_path / "data")
    assert code == 2
    assert "has 0 captions of cluster 1" in " ".join(err.split())
    assert not (tmp_path / "data").exists()
