"""Batched dispatch against the plainest loop, and what a sample may not depend on."""

import re
from collections import Counter

import numpy as np
import pytest
import torch

from mnist_ddm import Study
from mnist_ddm.core.field import first_bad_row, make_field
from mnist_ddm.core.measures import Classifier, Distance, Features
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Sampling, start
from mnist_ddm.errors import LONGEST, InputError, NotFiniteError
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.systems.gaussian import GaussianPool, load
from mnist_ddm.systems.mnist import MnistPool
from mnist_ddm.systems.registry import load_system

ROUTINGS = [
    *("top1", "top2", "full", "uniform", "misaligned2", "label", "once", "each", "gumbel", "gumbel2", "median"),
    *("geometric", "top1@likelihood", "full@clean", "full@density", "full@implied", "full~0.8~top1"),
]


class Watched:
    """A pool that counts what is asked of it; everything else is handed through."""

    def __init__(self, pool):
        self.__dict__.update(pool=pool, calls=Counter(), rows=Counter(), routed=[])

    def __getattr__(self, name):
        return getattr(self.pool, name)

    def velocity(self, expert, x, t, condition):
        self.calls[expert] += 1
        self.rows[expert] += len(x)
        return self.pool.velocity(expert, x, t, condition)

    def router_logits(self, x, t):
        self.routed.append(len(x))
        return self.pool.router_logits(x, t)


def states(pool, n, t=0.5, dtype=torch.float64):
    x = torch.from_numpy(np.random.Generator(np.random.Philox(5)).normal(size=(n, *pool.state_shape))).to(dtype)
    return x, torch.full((n,), t, dtype=dtype), start(pool, sample_seeds(0, n))[1]


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("t", [1.0, 0.5, 0.05])
def test_batched_dispatch_equals_a_loop_over_samples_and_experts(gaussian, routing, t):
    x, time, samples = states(gaussian, 23, t)
    routed = make_field(gaussian, routing).evaluate(x, time, samples)
    for i in range(len(x)):
        row = torch.tensor([i])
        expected = sum(
            routed.weights[i, k] * gaussian.velocity(k, x[row], time[row], samples.condition.select(row))[0]
            for k in range(gaussian.n_experts)
        )
        torch.testing.assert_close(routed.velocity[i], expected, rtol=1e-13, atol=1e-13)


def test_asking_for_all_experts_changes_nothing_else(gaussian):
    x, time, samples = states(gaussian, 12)
    field = make_field(gaussian, "top2")
    some, everything = field.evaluate(x, time, samples), field.evaluate(x, time, samples, all_experts=True)
    assert torch.equal(some.velocity, everything.velocity)
    for k in range(4):
        torch.testing.assert_close(
            everything.experts[:, k], gaussian.velocity(k, x, time, samples.condition), rtol=1e-14, atol=1e-14
        )


def test_only_the_experts_and_samples_that_are_needed_are_run(gaussian):
    watched = Watched(gaussian)
    x, time, samples = states(gaussian, 40, t=0.3)
    field = make_field(watched, "top1")
    needed = field.evaluate(x, time, samples).weights.argmax(dim=1).bincount(minlength=4)
    assert sum(watched.rows.values()) == 40
    assert watched.routed == [40]
    for k in range(4):
        assert watched.calls[k] == (1 if needed[k] else 0)
        assert watched.rows[k] == int(needed[k])


def test_an_expert_of_negligible_weight_is_not_run_and_not_missed():
    far = GaussianPool(torch.eye(4).reshape(4, 1, 2, 2) * 30, torch.full((4,), 0.1), torch.ones(4))
    watched = Watched(far)
    x = (0.9 * far.means[[1, 1, 2]]).float()
    samples = start(far, sample_seeds(0, 3))[1]
    time = torch.full((3,), 0.1)
    field = make_field(watched, "full")
    routed = field.evaluate(x, time, samples)
    assert set(watched.calls) == {1, 2}
    assert sum(watched.rows.values()) == 3
    every = torch.einsum(
        "bk,bk...->b...",
        routed.weights,
        torch.stack([far.velocity(k, x, time, samples.condition) for k in range(4)], dim=1),
    )
    torch.testing.assert_close(routed.velocity, every, rtol=2e-7, atol=0)


def test_top_k_with_all_experts_is_the_full_ensemble():
    pool = load()
    a, b = (sample(pool, Sampling(r, n=20, steps=10)).final for r in ("top8", "full"))
    assert torch.equal(a, b)


# A random draw names experts by number, so a permutation changes it.
@pytest.mark.parametrize("routing", [r for r in ROUTINGS if r not in ("misaligned2", "each") and "gumbel" not in r])
def test_permuting_the_experts_permutes_weights_and_leaves_the_sample(gaussian, routing):
    order = torch.tensor([2, 0, 3, 1])
    permuted = GaussianPool(gaussian.means[order], gaussian.scales[order], gaussian.prior[order])
    x, time, samples = states(gaussian, 15)
    inverse = torch.argsort(order)
    other = start(permuted, samples.seeds)[1]
    other.condition.cluster.copy_(inverse[samples.condition.cluster])
    if routing == "once":
        fixed = torch.arange(15) % 4
        samples.memory["once"], other.memory["once"] = fixed, inverse[fixed]
    a = make_field(gaussian, routing).evaluate(x, time, samples)
    b = make_field(permuted, routing).evaluate(x, time, other)
    torch.testing.assert_close(b.weights, a.weights[:, order], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(b.velocity, a.velocity, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_sample_does_not_depend_on_batch_size_order_or_companions(tiny_checkpoint, images, routing):
    """Bit for bit on one machine, on real networks."""
    pool = MnistPool(tiny_checkpoint, images)
    field = make_field(pool, routing)
    seeds = sample_seeds(3, 70)

    def velocity(rows):
        x, samples = start(pool, seeds[rows])
        with torch.inference_mode():
            return field.evaluate(x, torch.full((len(rows),), 0.7), samples).velocity

    whole = velocity(torch.arange(70))
    for rows in (torch.arange(1), torch.arange(3, 9), torch.arange(40).flip(0), torch.tensor([69, 5, 17])):
        assert torch.equal(velocity(rows), whole[rows])


@pytest.mark.parametrize("rows", [[0], [40, 3, 9], list(range(13)), list(range(50))])
def test_the_shipped_networks_round_each_sample_alike_in_every_batch(rows):
    pool = load_system("mnist")
    seeds = sample_seeds(3, 50)
    x, samples = start(pool, seeds)
    field, t = make_field(pool, "top2"), torch.full((50,), 0.4)
    with torch.inference_mode():
        whole = field.evaluate(x, t, samples).velocity[rows]
        part = field.evaluate(x[rows], t[rows], start(pool, seeds[rows])[1]).velocity
    assert torch.equal(part, whole)


def test_the_monolith_is_a_field_too(gaussian):
    x, time, samples = states(gaussian, 5)
    alone = make_field(gaussian, "monolith").evaluate(x, time, samples)
    full = make_field(gaussian, "full").evaluate(x, time, samples)
    torch.testing.assert_close(alone.velocity, full.velocity, rtol=1e-12, atol=1e-12)
    assert alone.weights is None


def test_a_pool_without_a_monolith_says_so(tiny_checkpoint, images, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tiny_checkpoint, copy)
    (copy / "monolith.json").unlink()
    pool = MnistPool(copy, images)
    assert isinstance(pool, ExpertPool)
    with pytest.raises(InputError, match="no monolithic model"):
        make_field(pool, "monolith")


def test_nothing_moves_the_global_random_state(gaussian, global_state):
    sample(gaussian, Sampling("once", n=5, steps=3), ("angles", "disagreement"))


class Spoiled:
    """A pool of which one part gives a number that is none from some time on."""

    def __init__(self, pool, part, number=float("nan")):
        self._pool, self._part, self._number = pool, part, number

    def __getattr__(self, name):
        return getattr(self._pool, name)

    def _spoil(self, values, t):
        values = values.clone()
        values[t < 0.7, ..., 0] = self._number
        return values

    def velocity(self, expert, x, t, condition):
        values = self._pool.velocity(expert, x, t, condition)
        return self._spoil(values, t) if self._part == expert else values

    def router_logits(self, x, t):
        logits = self._pool.router_logits(x, t)
        return self._spoil(logits, t) if self._part == "router" else logits


@pytest.mark.parametrize("routing", ["full", "top1", "top2", "once", "each", "full@T=2"])
@pytest.mark.parametrize("part", ["router", 1])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_named_where_they_arise(gaussian, routing, part, number):
    sampling = Sampling(routing, n=40, steps=5)
    if part == "router" and number == float("inf") and routing not in ("full", "full@T=2"):
        return  # an infinite logit may be a decision
    with pytest.raises(NotFiniteError) as said:
        sample(Spoiled(gaussian, part, number), sampling)
    said = str(said.value)
    matched = re.match(
        r"sample (\d+): the system '\w+' fails at t = 0\.6 \(step 2\) for the sample of seed (\d+): ", said
    )
    assert int(matched[2]) == int(sample_seeds(0, 40)[int(matched[1])])
    assert ("expert 1 gives" if part == 1 else "rout") in said
    assert len(said) <= LONGEST


def test_an_expert_that_nobody_asks_may_be_silent(gaussian):
    logits = torch.tensor([[-torch.inf, 0.0, 0.0, 1.0]])

    class Closed(Spoiled):
        def router_logits(self, x, t):
            return logits.to(x).expand(len(x), -1)

    velocity = torch.zeros(3, 2)
    assert first_bad_row(velocity, torch.ones(3, 4), logits.expand(3, -1)) is None
    assert first_bad_row(torch.full((3, 2), 3e38), torch.ones(3, 4)) is None  # a sum that is too large
    field = make_field(Closed(gaussian, None), "top2")
    assert [visit.x.isfinite().all() for visit in Sampling("top2", n=4, steps=2).walk(field, range(4))]


def test_measures_that_give_no_numbers_are_named():
    images = torch.ones(4, 1, 2, 2)
    spoil = torch.tensor([1.0, 1.0, torch.nan, 1.0])[:, None]
    told = [
        (lambda: Features("pixels", lambda x: x.flatten(1) * spoil)(images), "the features 'pixels'"),
        (lambda: Distance("pixels", lambda a, b: spoil[:, 0])(images, images), "the distance 'pixels'"),
        (lambda: Classifier("digit classifier", ("0",), lambda x: spoil, None)(images), "the digit classifier"),
    ]
    for measure, what in told:
        with pytest.raises(NotFiniteError, match=f"{what} gives numbers that are none, first for row 2 of 4"):
            measure()


def test_an_answer_of_a_spoiled_system_is_no_answer(gaussian, tmp_path, monkeypatch):
    study = Study(gaussian, ["averaging-variance"], n=4, steps=2, store=RecordingStore(tmp_path / "store"))

    def spoiled(*arguments):
        raise NotFiniteError("the classifier gives numbers that are none")

    monkeypatch.setattr(Study, "answer_one", spoiled)
    with pytest.raises(NotFiniteError):
        study.write(tmp_path / "run")
