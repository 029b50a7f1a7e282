"""Own data, from files to verdicts: seven shapes, which nothing may take for digits or hold against MNIST."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_ddm.claims.judge import judge_run
from mnist_ddm.data import MNIST_DIGEST, load_images, title_of
from mnist_ddm.data.labels import labels_said
from mnist_ddm.errors import InputError
from mnist_ddm.study.results import read_manifest, read_results
from mnist_ddm.systems.mnist import load
from tests.test_data import write_idx

NAMES = ("disc", "square", "diamond", "ring", "cross", "bar", "corner")


def shape(kind: int, rng: np.random.Generator) -> np.ndarray:
    """One of seven shapes at a place and of a size of its own, 28 x 28."""
    (cx, cy), r = rng.uniform(11, 16, 2), rng.uniform(5, 9)
    x, y = np.meshgrid(np.arange(28) - cx, np.arange(28) - cy)
    far, wide = np.hypot(x, y), np.maximum(abs(x), abs(y))
    inside = (
        far < r, wide < r, abs(x) + abs(y) < r, (far < r) & (far > r - 3),
        (wide < r) & (np.minimum(abs(x), abs(y)) < 2), (abs(y) < 2) & (abs(x) < r),
        (wide < r) & ((x < 3 - r) | (y < 3 - r)),
    )  # fmt: skip
    return np.where(inside[kind], 255, 0)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    """A data folder as people make them."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    folder.mkdir()
    rng = np.random.Generator(np.random.Philox(0))
    for prefix, n in (("train", 210), ("t10k", 70)):
        labels = np.arange(n) % len(NAMES)
        write_idx(folder / f"{prefix}-images-idx3-ubyte", np.array([shape(k, rng) for k in labels]))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    (folder / "labels.txt").write_text("\n".join(NAMES) + "\n")
    return folder


@pytest.fixture(scope="module")
def checkpoint(shapes) -> Path:
    """Trained on them for three steps."""
    from mnist_ddm.models.checkpoint import part_names
    from mnist_ddm.models.presets import preset_named
    from mnist_ddm.training.plan import TrainingPlan, training_jobs

    plan = TrainingPlan(load_images(shapes), preset_named("tiny"), shapes.parent / "mine", steps=3)
    for job in training_jobs(plan, part_names(len(NAMES))):
        job(lambda fraction: None)
    return plan.out


@pytest.fixture
def run(monkeypatch, call_command, tmp_path):
    """Run the command in an empty folder; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return call_command


@pytest.mark.long
def test_a_checkpoint_finds_its_data_and_is_called_after_them(run, shapes, checkpoint, tmp_path):
    assert run("sample", "--checkpoint", checkpoint, "--n", 4, "--steps", 2, "--workers", 1, "--out", "a.png")[0] == 0
    assert Image.open("a.png").text["System"].startswith("shapes ")
    pool = load(checkpoint=checkpoint)
    assert (pool.name, pool.title, pool.in_paper) == ("mnist", "shapes", "")
    assert pool.description == "7 classes, an expert for each class, by the mnist recipe with the preset tiny"
    assert pool.measures.classifier.name == "shapes classifier"
    assert pool.measures.classifier.labels == NAMES
    assert next(iter(pool.measures.distances)) == "shapes"
    assert load(checkpoint=checkpoint, labels="a,b,c,d,e,f,g").measures.classifier.labels == tuple("abcdefg")


def test_data_that_moved_are_asked_for_in_one_line(run, checkpoint, shapes, tmp_path):
    moved = tmp_path / "elsewhere"
    checkpoint.rename(moved)
    try:
        code, _, err = run("sample", "--checkpoint", moved, "--n", 1, "--steps", 1, "--workers", 1)
        assert code == 2
        assert "the data 'shapes' of the checkpoint" in err
        assert "--data-dir" in err
        assert load(checkpoint=moved, data_dir=shapes).title == "shapes"
    finally:
        moved.rename(checkpoint)


@pytest.mark.long
def test_results_say_whose_they_are_and_nothing_of_the_papers_mnist(run, checkpoint):
    settings = ("--n", 12, "--steps", 4, "--workers", 1, "--analysis", "expert-deviation", "--analysis", "quality")
    code, out, err = run("analyze", "--checkpoint", checkpoint, *settings)
    assert code == 0, err
    (folder,) = Path("runs").iterdir()
    assert folder.name.startswith("shapes-")
    assert out.startswith("system shapes (7 experts")
    manifest, results = read_manifest(folder), read_results(folder)
    assert (manifest.run.system, manifest.title, manifest.in_paper, results.system) == ("mnist", "shapes", "", "shapes")
    for table in results.tables.values():
        stated = [c.key for c in table.schema.columns if c.role == "paper"]
        assert not [row for row in table.rows if any(row.get(key) not in (None, "beyond the paper") for key in stated)]
        assert any("system: shapes" in note for note in table.notes)
        assert "paper: Table" not in table.title
    (classes,) = [t for t in results.tables.values() if t.name == "quality-classes"]
    assert any(name in json.dumps(row, default=str) for row in classes.rows for name in NAMES)
    assert run("report", folder)[0] == 0
    page = (folder / "report.html").read_text()
    assert "The paper on shapes" in page
    assert "Table 3 (FIDs" not in page
    judged = {j.claim.id: j for j in judge_run(folder)}
    assert all("MNIST" not in text for j in judged.values() for r in j.readings for text in r.stated)
    assert run("verify", folder, "--checkpoint", checkpoint)[0] == 0


def test_a_claim_with_a_size_or_a_limit_of_the_papers_is_no_more_than_a_direction_on_other_data(run, checkpoint):
    """The run above has 12 samples; these are verdicts of tables that would be the paper's own to the last digit."""
    from mnist_ddm.analyses.paper import paper_values
    from mnist_ddm.claims.judge import Verdict, judge
    from mnist_ddm.claims.ledger import ledger
    from mnist_ddm.stats.intervals import Estimate
    from mnist_ddm.study.results import Results
    from mnist_ddm.tables.table import Table

    sized = [c for c in ledger().claims.values() for r in c.readings[:1] for x in r.comparisons if x.size]
    limited = [
        c for c in ledger().claims.values() for r in c.readings[:1] for x in r.comparisons if isinstance(x.limit, str)
    ]
    assert sized
    assert limited
    assert paper_values("expert-deviation", "") == {"place": "nothing of these data"}
    for claim in {c.id: c for c in limited}.values():
        schemas = {s.name: s for a in _analyses(claim) for s in a.tables}
        tables = {}
        for comparison in claim.readings[0].comparisons:
            tight = {column: Estimate(0.0, -1e-3, 1e-3) for column in comparison.columns}
            schema = schemas[comparison.table]
            empty = dict.fromkeys(column.key for column in schema.columns)
            rows = tables[schema.name].rows if schema.name in tables else ()  # of the comparisons before
            tables[schema.name] = Table(schema, "", (*rows, *({**empty, **row, **tight} for row in comparison.rows)))
        own = judge(claim, Results("shapes", tables))
        # What the paper calls weak is part of the claim; its own numbers do not stand beside.
        assert own.verdict is judge(claim, Results("mnist", tables, in_paper="mnist")).verdict
        assert own.verdict is not Verdict.ABSENT
        assert not own.readings[0].stated


def _analyses(claim):
    from mnist_ddm.analyses.registry import ANALYSES

    return [ANALYSES[name] for name in claim.analyses]


def test_mnist_is_known_by_its_content(tmp_path, images):
    assert images.digest == MNIST_DIGEST
    assert title_of("digits", MNIST_DIGEST) == "mnist"
    assert title_of("mnist", "0" * 64) == "another mnist"


@pytest.mark.parametrize(
    ("text", "told"),
    [("a,b", "names 2 classes"), ("a,b,a", "twice"), (f"a,b,{'c' * 50}", "no name"), ("a,b,\x1bc", "no name")],
)
def test_names_of_classes_are_as_many_as_there_are_and_can_be_shown(text, told):
    with pytest.raises(InputError, match=told):
        labels_said(text, 3)


def test_labels_can_be_said_anew_and_stand_on_the_card(run, shapes, tmp_path):
    said = tmp_path / "said.txt"
    said.write_text("A\nB\nC\nD\nE\nF\nG\n")
    train = ("train-router", "--data-dir", shapes, "--preset", "tiny", "--steps", 1, "--out", "own", "--workers", 1)
    assert run(*train)[0] == 0
    card = json.loads(Path("own/card.json").read_text())
    assert card["names"] == list(NAMES)
    assert (Path("own") / card["place"]).resolve() == shapes
    assert run(*train, "--labels", said)[0] == 0
    assert json.loads(Path("own/card.json").read_text()) == {**card, "names": list("ABCDEFG")}
    code, _, err = run(*train, "--labels", "A,B")
    assert (code, "names 2 classes" in err) == (2, True)
