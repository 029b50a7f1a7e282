"""Every row of a network's result has the same bits in every batch."""

import pytest
import torch

from mnist_ddm import load_system
from mnist_ddm.compute.batches import LARGEST, MULTIPLE, evaluate_in_batches
from mnist_ddm.compute.parallel import one_thread
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.visits import start

SIZES = [1, 2, 3, 5, 8, 11, 15, 16, 17, 31, 33, 64, 65, 127, 129, 160]


@pytest.mark.parametrize("network", ["expert", "router", "monolith"])
def test_a_row_has_the_same_bits_in_a_batch_of_any_size_and_at_any_place(network):
    pool = load_system("mnist")
    x, samples = start(pool, sample_seeds(0, max(SIZES)))

    def evaluate(rows):
        t = torch.full((len(rows),), 0.6)
        condition = samples.select(rows).condition
        if network == "router":
            return pool.router_logits(x[rows], t)
        return (
            pool.velocity(3, x[rows], t, condition)
            if network == "expert"
            else (pool.monolith_velocity(x[rows], t, condition))
        )

    with torch.inference_mode(), one_thread():
        alone = evaluate(torch.arange(1))[0]
        for size in SIZES:
            first, last = torch.arange(size), torch.arange(size).roll(-1)
            assert torch.equal(evaluate(first)[0], alone), size
            assert torch.equal(evaluate(last)[-1], alone), size
        if network == "expert":
            assert torch.equal(evaluate(torch.arange(2048) % max(SIZES))[0], alone)


@pytest.mark.parametrize("n", [0, 1, MULTIPLE, MULTIPLE + 1, LARGEST, 2 * LARGEST + 3])
def test_batches_are_filled_and_divided_and_the_result_is_the_networks(n):
    seen = []

    def network(x, t):
        seen.append(len(x))
        return x * t[:, None]

    x, t = torch.arange(2.0 * n).reshape(n, 2), torch.arange(float(n))
    assert torch.equal(evaluate_in_batches(network, x, t), x * t[:, None])
    assert all(size % MULTIPLE == 0 and size <= LARGEST for size in seen)
    assert sum(seen) - n < MULTIPLE
