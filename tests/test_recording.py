"""What is recorded, and that storing, splitting and sharing it changes no bit."""

import shutil

import numpy as np
import pytest
import torch

from mnist_ddm.core import recording as module
from mnist_ddm.core.field import make_field, negligible_weight
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.observables import angle_degrees, left_out_blends, pairwise_disagreement
from mnist_ddm.core.recording import BLOCK, sample
from mnist_ddm.core.solvers import SOLVERS, StepGrid
from mnist_ddm.core.visits import TENTHS, Noising, Sampling, start
from mnist_ddm.errors import InputError
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study import record as recorder
from mnist_ddm.study.cost import _rows_of_an_expert, evaluations_each
from mnist_ddm.study.record import is_recorded, record, record_all, to_compute
from mnist_ddm.systems.gaussian import load
from mnist_ddm.systems.mnist import MnistPool

NAMES = ("x", "weights", "angles", "disagreement", "velocity", "velocities", "logits")


@pytest.fixture
def store(tmp_path):
    return RecordingStore(tmp_path)


def same(a, b):
    assert torch.equal(a.final, b.final)
    assert a.observed.keys() == b.observed.keys()
    for name in a.observed:
        assert torch.equal(a.observed[name], b.observed[name])


def test_what_is_recorded_is_what_the_field_says_at_each_visited_state(gaussian):
    recorded = sample(gaussian, Sampling("top2", n=6, steps=5), NAMES)
    assert recorded.times.tolist() == [1.0, 0.8, 0.6, 0.4, 0.2]
    samples = start(gaussian, sample_seeds(0, 6))[1]
    field = make_field(gaussian, "top2")
    for i, t in enumerate(recorded.times):
        x = recorded.observed["x"][:, i]
        time = torch.full((6,), float(t))
        evaluation = field.evaluate(x, time, samples, i, all_experts=True)
        for name, expected in (
            ("velocity", evaluation.velocity),
            ("weights", evaluation.weights),
            ("logits", evaluation.logits),
            ("velocities", evaluation.experts),
        ):
            torch.testing.assert_close(recorded.observed[name][:, i], expected, rtol=1e-5, atol=1e-5)
        if i < 4:

            def velocity(state, u, i=i):
                return field.evaluate(state, torch.full((6,), u), samples, i).velocity

            t_next = float(recorded.times[i + 1])
            expected = SOLVERS["heun"].step(velocity, x, float(t), t_next, evaluation.velocity)
        else:
            expected = x - t * evaluation.velocity
        after = recorded.observed["x"][:, i + 1] if i < 4 else recorded.final
        torch.testing.assert_close(after, expected.to(after.dtype), rtol=1e-5, atol=1e-5)


def test_angles_and_disagreement_against_the_definitions():
    v = torch.randn(3, 4, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    blend = v.mean(1)
    angles, spread = angle_degrees(v, blend[:, None]), pairwise_disagreement(v)
    for b in range(3):
        flat = v[b].flatten(1).double().numpy()
        mean = blend[b].flatten().double().numpy()
        for k in range(4):
            cosine = flat[k] @ mean / np.linalg.norm(flat[k]) / np.linalg.norm(mean)
            assert float(angles[b, k]) == pytest.approx(np.degrees(np.arccos(cosine)), rel=1e-6)
        pairs = [np.linalg.norm(flat[i] - flat[j]) for i in range(4) for j in range(i)]
        assert float(spread[b]) == pytest.approx(np.mean(pairs), rel=1e-6)
    same_direction = angle_degrees(v[:, :1] * 3, v[:, :1])
    assert float(same_direction.max()) < 1e-5
    assert float(angle_degrees(v[:, :1], -v[:, :1]).min()) == pytest.approx(180)


def test_a_stored_recording_equals_one_in_memory_and_is_only_read_the_second_time(store, monkeypatch):
    pool, sampling = load(), Sampling("top2", n=BLOCK + 5, steps=4)
    first = record(pool, sampling, ("weights",), store)
    same(first, sample(pool, sampling, ("weights",)))
    assert is_recorded(pool, sampling, ("weights",), store)
    monkeypatch.setattr(recorder, "compute_block", None)
    again = record(pool, sampling, ("weights",), store)
    same(first, again)
    assert torch.equal(first.evaluations, again.evaluations)
    (stored,) = store.list()
    assert (stored.place.name, stored.samples, stored.names) == (first.key, sampling.n, ("weights",))
    assert stored.described["steps"] == 4
    assert store.clear() == stored.size
    assert store.list() == []


@pytest.mark.parametrize("n", [20, BLOCK + 5])
def test_a_smaller_recording_reads_what_a_larger_one_stored(n, store, monkeypatch):
    pool = load()
    many = record(pool, Sampling("top2", n=n, steps=3), ("weights",), store)
    monkeypatch.setattr(recorder, "compute_block", None)
    few = record(pool, Sampling("top2", n=7, steps=3), ("weights",), store)
    assert few.key == many.key
    assert torch.equal(few.final, many.final[:7])
    assert torch.equal(few.observed["weights"], many.observed["weights"][:7])
    assert torch.equal(few.evaluations, many.evaluations[:7])


def test_a_smaller_recording_waits_for_a_larger_one_of_the_same_plan_and_is_not_computed_itself(store, monkeypatch):
    pool = load()
    few, many, other = (Sampling("top2", n=7, steps=3), Sampling("top2", n=9, steps=3), Sampling("top1", n=7, steps=3))
    wanted = {few: ("weights",), many: ("logits", "weights"), other: ()}
    assert list(to_compute(pool, wanted, store)) == [many, other]
    assert list(to_compute(pool, {few: ("angles",), many: ("weights",)}, store)) == [few, many]
    computed, compute_block = [], recorder.compute_block
    monkeypatch.setattr(recorder, "compute_block", lambda *a: computed.append(a[1]) or compute_block(*a))
    recorded = record_all(pool, wanted, store)
    assert sorted(computed, key=list(wanted).index) == [many, other]
    same(recorded[few], sample(pool, few, ("weights",)))
    assert list(to_compute(pool, wanted, store)) == []


def test_an_expert_gets_its_share_of_the_rows_of_a_block():
    pool = load()
    k = pool.n_experts
    for routing, n, rows in (("top1", 10 * k, 10), ("top2", 3 * k, 6), ("full", 30, 30), ("top1", 2, 1)):
        assert _rows_of_an_expert(pool, Sampling(routing, n=n)) == rows
    assert _rows_of_an_expert(pool, Sampling("full", n=10 * BLOCK)) == BLOCK


def test_one_more_observable_leaves_the_others_and_the_samples_as_they_are(store, tmp_path):
    pool, sampling = load(), Sampling("top2", n=5, steps=12)
    first = record(pool, sampling, ("weights", "angles"), store)
    before = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*.safetensors") if f.stem != "final"}
    more = record(pool, sampling, ("x@tenths", "weights"), store)
    assert torch.equal(first.final, more.final)
    assert torch.equal(first.evaluations, more.evaluations)
    assert all(f.stat().st_mtime_ns == at for f, at in before.items() if f.stem.startswith(("weights", "angles")))
    everything = record(pool, sampling, ("x@tenths", "weights", "angles"), store)
    assert set(everything.observed) == {"x@tenths", "weights", "angles"}


def test_tenths_are_the_visited_states_nearest_to_the_fixed_times():
    fine = sample(load(), Sampling("top2", n=3, steps=50), ("x", "x@tenths"))
    assert fine.times_of("x@tenths").tolist() == pytest.approx(TENTHS)
    rows = [fine.times.tolist().index(float(t)) for t in fine.times_of("x@tenths")]
    assert torch.equal(fine.observed["x@tenths"], fine.observed["x"][:, rows])
    coarse = sample(load(), Sampling("top2", n=3, steps=3), ("x@tenths",))
    assert coarse.times_of("x@tenths").tolist() == pytest.approx([1, 2 / 3, 1 / 3])


def test_noised_states_lie_on_the_path_from_a_real_state_to_the_noise(gaussian):
    noising = Noising("top2", n=6, seed=4)
    recorded = sample(gaussian, noising, ("x", "target-errors", "velocities", "logits"))
    real, clusters = gaussian.measures.real_states(6)
    noise = start(gaussian, sample_seeds(4, 6))[0]
    assert torch.equal(recorded.cluster, clusters)
    assert torch.equal(recorded.final, real)
    for i, t in enumerate(TENTHS):
        torch.testing.assert_close(recorded.observed["x"][:, i], (1 - t) * real + t * noise)
    errors = (recorded.observed["velocities"] - (noise - real)[:, None, None]).flatten(3).square().mean(dim=3)
    torch.testing.assert_close(recorded.observed["target-errors"], errors, rtol=1e-5, atol=1e-6)


def test_more_noised_states_than_there_are_real_ones_are_refused(tiny_checkpoint, images):
    pool = MnistPool(tiny_checkpoint, images)
    with pytest.raises(InputError, match="10000 held-out real states"):
        list(Noising("top1", n=10_001).walk(make_field(pool, "top1"), range(10_000, 10_001)))


def test_left_out_blends_by_hand():
    v = torch.randn(2, 3, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    w = torch.tensor([[0.2, 0.3, 0.5], [0.0, 0.4, 0.6]], dtype=torch.float64)
    blends = left_out_blends(v, w)
    torch.testing.assert_close(blends[0, 0], (0.3 * v[0, 1] + 0.5 * v[0, 2]) / 0.8)
    torch.testing.assert_close(blends[0, 2], (0.2 * v[0, 0] + 0.3 * v[0, 1]) / 0.5)
    torch.testing.assert_close(blends[1, 0], 0.4 * v[1, 1] + 0.6 * v[1, 2])
    torch.testing.assert_close(blends[1, 1], v[1, 2])
    assert left_out_blends(v, torch.tensor([[0.0, 1.0, 0.0]] * 2, dtype=torch.float64))[:, 1].isnan().all()


def test_an_interrupted_recording_goes_on_with_the_missing_blocks_only(store, tmp_path, monkeypatch):
    pool, sampling = load(), Sampling("full", n=2 * BLOCK + 3, steps=3)
    whole = record(pool, sampling, ("disagreement",), store)
    blocks = sorted((tmp_path / whole.key).glob("*-*"))
    assert len(blocks) == 3
    shutil.rmtree(blocks[1])
    done = []
    original = recorder.compute_block

    def counted(pool, visits, wanted, block, report):
        done.append(block)
        return original(pool, visits, wanted, block, report)

    monkeypatch.setattr(recorder, "compute_block", counted)
    same(whole, record(pool, sampling, ("disagreement",), store))
    assert done == [range(BLOCK, 2 * BLOCK)]


def test_a_damaged_block_is_named_once_and_made_again(store, tmp_path, caplog):
    pool, sampling = load(), Sampling("full", n=5, steps=3)
    recorded = record(pool, sampling, (), store)
    (block,) = (tmp_path / recorded.key).glob("*/final.safetensors")
    whole = block.read_bytes()
    for spoiled in (whole[:50], whole[:-1] + bytes([whole[-1] ^ 1]), b"", whole + b"x"):
        caplog.clear()
        block.write_bytes(spoiled)
        assert not is_recorded(pool, sampling, (), store)
        same(recorded, record(pool, sampling, (), store))
        assert block.read_bytes() == whole
        (said,) = caplog.messages
        assert str(block) in said
        assert "recorded again" in said


def test_a_damaged_block_of_a_larger_recording_is_not_served(store, tmp_path):
    pool, few, many = load(), Sampling("full", n=5, steps=3), Sampling("full", n=9, steps=3)
    recorded = record(pool, many, (), store)
    (block,) = (tmp_path / recorded.key).glob("*/final.safetensors")
    block.write_bytes(block.read_bytes().replace(b"\x3f", b"\x40"))
    assert torch.equal(record(pool, few, (), store).final, recorded.final[:5])


def test_a_recording_without_seals_is_trusted_once(store, tmp_path, caplog):
    pool, sampling = load(), Sampling("full", n=5, steps=3)
    recorded = record(pool, sampling, ("angles",), store)
    for sealed in (tmp_path / recorded.key).glob("*/*.sha256"):
        sealed.unlink()
    before = {f: f.read_bytes() for f in (tmp_path / recorded.key).glob("*/*.safetensors")}
    same(recorded, record(pool, sampling, ("angles",), store))
    assert not caplog.messages
    assert {f: f.read_bytes() for f in before} == before
    for file, content in before.items():
        assert file.with_name(f"{file.name}.sha256").exists()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not is_recorded(pool, sampling, ("angles",), store)


def test_what_lies_about_in_a_store_does_no_harm(store, tmp_path):
    pool, sampling = load(), Sampling("full", n=5, steps=3)
    recorded = record(pool, sampling, (), store)
    for name in ("000000-x", "000000-", "nothing", "000000-999999999999999999"):
        (tmp_path / recorded.key / name).mkdir()
    (tmp_path / recorded.key / "recording.json").write_text("[" * 10**5)
    (tmp_path / recorded.key / "000000-000250").write_text("a file")
    same(recorded, record(pool, sampling, (), store))
    (tmp_path / recorded.key / "000000-000005" / "final.safetensors").unlink()
    same(recorded, record(pool, sampling, (), store))
    assert [listed.samples for listed in store.list()] == [5]


def test_workers_and_block_size_change_no_bit(tmp_path, monkeypatch):
    pool, sampling = load(), Sampling("top2", n=BLOCK + 20, steps=3)
    one = record(pool, sampling, ("angles",), RecordingStore(tmp_path / "one"), workers=1)
    same(one, record(pool, sampling, ("angles",), RecordingStore(tmp_path / "two"), workers=2))
    monkeypatch.setattr(module, "BLOCK", 7)
    same(one, sample(pool, sampling, ("angles",)))


def test_a_sample_does_not_depend_on_how_many_there_are():
    few, many = (sample(load(), Sampling("once", n=n, steps=4)) for n in (3, 80))
    assert torch.equal(few.final, many.final[:3])


def test_each_setting_has_its_own_name(gaussian, store):
    samplings = [
        Sampling("top2", n=2, steps=2),
        Sampling("top1", n=2, steps=2),
        Sampling("top2", n=2, steps=3),
        Sampling("top2", n=2, steps=2, seed=1),
        Sampling("top2", n=2, steps=2, solver="euler"),
        Sampling("top2", n=2, steps=2, refine=2),
    ]
    assert len({record(gaussian, sampling, (), store).key for sampling in samplings}) == len(samplings)


def test_the_count_is_what_the_solver_and_the_routing_ask_for(gaussian):
    recorded = sample(gaussian, Sampling("top2", n=5, steps=10, solver="euler"), ("weights",))
    asked = (recorded.observed["weights"] > negligible_weight(torch.float32)).sum(dim=(1, 2))
    assert torch.equal(recorded.evaluations, asked)
    assert 5 * 10 < int(asked.sum()) <= 5 * 10 * 2
    assert sample(gaussian, Sampling("label", n=5, steps=10)).evaluations.tolist() == [19] * 5
    watched = sample(gaussian, Sampling("label", n=5, steps=10), ("disagreement",))
    assert watched.evaluations.tolist() == [19] * 5  # what an observable asks for is not the routing's cost
    assert sample(gaussian, Sampling("monolith", n=5, steps=10)).evaluations.tolist() == [19] * 5


def test_refining_the_grid_keeps_the_random_draws():
    """The expert that `once` draws is the same at N and 2N steps, so both samplings follow one field."""
    coarse, fine = (sample(load(), Sampling("once", n=30, steps=4, refine=r), ("weights",)) for r in (1, 2))
    assert torch.equal(coarse.observed["weights"][:, 0], fine.observed["weights"][:, 0])
    assert len(fine.times) == StepGrid(4, 2).size


@pytest.mark.parametrize("change", [{"n": 0}, {"steps": 0}, {"seed": -1}, {"solver": "rk4"}, {"refine": 0}])
def test_impossible_samplings_are_refused(change):
    with pytest.raises(InputError):
        Sampling(**({"routing": "top1", "n": 1} | change))


def test_an_unknown_observable_is_refused_with_the_list(gaussian):
    with pytest.raises(InputError, match="disagreement"):
        sample(gaussian, Sampling("top1", n=1, steps=1), ("mood",))


def test_the_longest_jobs_start_first(store, monkeypatch):
    started = []
    monkeypatch.setattr(recorder, "run_jobs", lambda jobs, workers, *rest: started.extend(job.args[1] for job in jobs))
    monkeypatch.setattr(recorder, "_read", lambda *arguments: None)
    short, long = Sampling("top1", n=10, steps=3), Sampling("full", n=10, steps=9)
    record_all(load(), {short: (), long: ()}, store)
    assert started == [long, short]
    assert evaluations_each(load(), long, ()) == 8 * 17
