"""The smallest own system, of points in the plane: what it does not say has a default that holds for any state."""

import ast
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from mnist_ddm.core.field import make_field
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.observables import OBSERVABLES
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Noising, Sampling, start
from mnist_ddm.errors import InputError
from mnist_ddm.metrics.fidelity import nearest_training_distance, router_accuracy
from mnist_ddm.metrics.frechet import extract, frechet_distance
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.record import record_all
from mnist_ddm.systems import registry as systems

FILE = Path(__file__).parents[1] / "examples" / "smallest" / "smallest.py"


@pytest.fixture
def smallest(monkeypatch):
    monkeypatch.syspath_prepend(FILE.parent)
    import smallest

    return smallest


@pytest.fixture
def pool(smallest):
    return smallest.Blobs()


def test_it_is_at_most_25_lines_of_code():
    tree = ast.parse(FILE.read_text())
    told = [
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef) and ast.get_docstring(node)
        for line in range(node.body[0].lineno, node.body[0].end_lineno + 1)
    ]
    code = [line for i, line in enumerate(FILE.read_text().splitlines(), start=1) if line.strip() and i not in told]
    assert len(code) <= 25


ROUTINGS = (
    *("top1", "top2", "full", "uniform", "label", "once", "each", "misaligned1"),
    *("full@T=2", "top2+equal", "full@centroids", "full@centroids=static", "full+clip"),
)


@pytest.mark.parametrize("routing", ROUTINGS)
def test_samples_lie_where_the_data_lie(pool, smallest, routing):
    recording = sample(
        pool, Sampling(routing, n=40, steps=20), ("weights", "velocity@tenths", "disagreement", "jacobian-terms@tenths")
    )
    assert recording.final.shape == (40, 2)
    assert recording.observed["velocity@tenths"].shape == (40, 9, 2)
    if routing in ("label", "once", "full", "top2"):  # exact experts and an exact posterior
        nearest = torch.cdist(recording.final.double(), smallest.MEANS.double()).amin(dim=1)
        assert nearest.max() < 4 * smallest.VARIANCE**0.5
    if routing == "label":
        assert torch.equal(torch.cdist(recording.final, smallest.MEANS).argmin(dim=1), recording.cluster)


@pytest.mark.parametrize("name", [n for n in OBSERVABLES if "reference" not in n])
def test_every_observable_but_those_of_a_closed_form_takes_points(pool, name):
    kind = Noising("full", n=4) if name == "target-errors" else Sampling("full", n=4, steps=10)
    kept = sample(pool, kind, (f"{name}@tenths",)).observed[f"{name}@tenths"]
    assert kept.shape[:2] == (4, 9)
    assert not kept.isnan().all()


def test_experts_are_those_of_the_gaussian_system(pool, smallest):
    from mnist_ddm.systems.gaussian import GaussianPool

    twin = GaussianPool(smallest.MEANS, torch.full((2,), smallest.VARIANCE**0.5), torch.ones(2))
    x, samples = start(pool, sample_seeds(0, 6))
    t = torch.linspace(0.1, 1, 6)
    for k in range(2):
        torch.testing.assert_close(pool.velocity(k, x, t, samples.condition), twin.velocity(k, x, t, samples.condition))
    torch.testing.assert_close(pool.router_logits(x, t).softmax(1), twin.router_logits(x, t).softmax(1))
    torch.testing.assert_close(twin.prior, pool.prior)
    assert torch.equal(twin.condition(samples.seeds).cluster, pool.condition(samples.seeds).cluster)
    torch.testing.assert_close(
        twin.exact_velocities(x, t), torch.stack([twin.velocity(k, x, t, samples.condition) for k in range(2)], dim=1)
    )


def test_a_noise_that_workers_and_the_store_do_not_change(pool, tmp_path):
    run = Sampling("top2", n=5, steps=4)
    alone = sample(pool, run, ("weights",))
    stored = record_all(pool, {run: ("weights",)}, RecordingStore(tmp_path))[run]
    assert torch.equal(alone.final, stored.final)
    assert torch.equal(sample(pool, Noising("full", n=5), ("logits",)).observed["logits"][:3],
                       sample(pool, Noising("full", n=3), ("logits",)).observed["logits"])  # fmt: skip


def test_fingerprints_follow_what_the_models_answer(pool, smallest, monkeypatch):
    before = dict(pool.fingerprints)
    assert before.keys() == {"experts", "metrics"}
    assert dict(smallest.Blobs().fingerprints) == before
    monkeypatch.setattr(smallest, "VARIANCE", 0.11)
    assert smallest.Blobs().fingerprints["experts"] != before["experts"]


def test_measures_without_images_have_defaults(pool, smallest):
    measures = pool.measures
    states, clusters = measures.real_states(600)
    assert torch.equal(measures.real_states(10)[0], states[:10])
    assert torch.equal(measures.real_condition(600).cluster, clusters)
    assert measures.has_real_states
    (embedding,) = measures.embeddings.values()
    torch.testing.assert_close(embedding.centroids.float(), smallest.MEANS, rtol=0, atol=0.05)
    (distance,) = measures.distances.values()
    torch.testing.assert_close(distance(states, states + torch.tensor([3.0, 4.0])), torch.full((600,), 5.0))
    (features,) = measures.frechet_features.values()
    of = [extract(features, s) for s in (states, measures.real_states(600, held_out=False)[0])]
    assert 0 <= frechet_distance(*of) < 0.02
    assert (measures.reference, measures.classifier, dict(measures.adherence)) == (None, None, {})
    assert pool.decode(states) is states
    assert router_accuracy(pool, 600)["0.1"] > 0.98
    assert nearest_training_distance(pool, states, None).max() < 1


def test_what_is_not_there_is_said(pool):
    with pytest.raises(InputError, match="no monolithic model"):
        make_field(pool, "monolith")
    with pytest.raises(InputError, match="closed-form posterior"):
        make_field(pool, "posterior")
    assert pool.variant("noise=1.2").noise_scale == 1.2
    with pytest.raises(InputError, match="unknown variant"):
        pool.variant("error=1")


def test_a_system_may_have_no_measures_at_all(smallest):
    from mnist_ddm.core.measures import Measures
    from mnist_ddm.core.pool import ExpertPool

    class Silent(smallest.Blobs):
        measures = ExpertPool.measures

    assert type(Silent().measures) is Measures
    assert not Silent().measures.has_real_states
    assert dict(Silent().measures.embeddings) == {}
    assert sample(Silent(), Sampling("full", n=3, steps=2)).final.shape == (3, 2)
    with pytest.raises(InputError, match="no real states"):
        sample(Silent(), Noising("full", n=3))


def _raises(error):
    raise error


NONSENSE = {
    "raises": (lambda v: _raises(RuntimeError("boom")), "RuntimeError: boom"),
    "ends the program": (lambda v: _raises(SystemExit(0)), "SystemExit: 0"),
    "another shape": (lambda v: v[..., :1], "(3, 1) of float32, where its states are (3, 2) of float32"),
    "another dtype": (lambda v: v.double(), "(3, 2) of float64"),
    "no tensor": (lambda v: v.numpy(), "no tensor but ndarray"),
    "nothing": (lambda v: None, "no tensor but NoneType"),
}


@pytest.mark.parametrize("model", ["velocity", "router_logits"])
@pytest.mark.parametrize("answer", NONSENSE)
def test_a_system_of_another_package_that_answers_nonsense_is_named(smallest, monkeypatch, model, answer):
    spoil, says = NONSENSE[answer]
    right = getattr(smallest.Blobs, model)
    monkeypatch.setattr(smallest.Blobs, model, lambda *asked: spoil(right(*asked)))
    entry = EntryPoint("blobs", "smallest:Blobs", systems.ENTRY_POINT_GROUP)
    monkeypatch.setattr(systems, "entry_points", lambda group: [entry])
    if model == "router_logits" and answer == "another dtype":
        return  # logits may be of any floats
    with pytest.raises(InputError) as error:
        sample(systems.load_system("blobs"), Sampling("top1", n=3, steps=2))
    assert "'blobs'" in str(error.value)
    if model == "velocity" or "shape" not in answer:
        assert says in str(error.value)
