import numpy as np
import pytest
import torch
from scipy import stats

from mnist_ddm.core import noise


def test_a_sample_has_its_own_numbers_whatever_its_companions():
    seeds = noise.sample_seeds(5, 20)
    together = noise.initial_noise(seeds, (1, 4, 4))
    assert torch.equal(together[[13, 2]], noise.initial_noise(seeds[[13, 2]], (1, 4, 4)))
    draws = noise.uniforms(seeds, noise.Purpose.ROUTING, 3)
    assert torch.equal(draws[7:9], noise.uniforms(seeds[7:9], noise.Purpose.ROUTING, 3))
    assert torch.equal(seeds[4:], noise.sample_seeds(5, 16, start=4))


def test_purposes_indices_and_runs_are_independent_streams():
    seeds = noise.sample_seeds(0, 50)
    streams = [
        noise.uniforms(seeds, noise.Purpose.ROUTING, 0),
        noise.uniforms(seeds, noise.Purpose.ROUTING, 1),
        noise.uniforms(seeds, noise.Purpose.CLUSTER, 0),
        noise.uniforms(noise.sample_seeds(1, 50), noise.Purpose.ROUTING, 0),
    ]
    assert len(torch.cat(streams).unique()) == 200


def test_the_noise_is_standard_normal():
    values = noise.initial_noise(noise.sample_seeds(0, 200), (1, 10, 10)).flatten().numpy()
    assert stats.kstest(values, "norm").pvalue > 1e-3


def test_the_same_seed_gives_the_same_numbers_in_every_version():
    """Golden values: NumPy keeps the streams of its bit generators, and recordings rely on it."""
    values = noise.initial_noise(noise.sample_seeds(0, 1), (3,))[0]
    expected = np.random.Generator(np.random.Philox(np.random.SeedSequence((0, 0)))).standard_normal(3, np.float32)
    assert np.array_equal(values.numpy(), expected)


def test_categories_follow_their_probabilities_and_impossible_ones_never_come():
    uniform = torch.linspace(0, 1 - 1e-9, 1000, dtype=torch.float64)
    drawn = noise.categorical(torch.tensor([0.0, 0.25, 0.0, 0.75, 0.0]), uniform)
    assert drawn.bincount(minlength=5).tolist() == [0, 250, 0, 750, 0]


@pytest.mark.parametrize("seed", [-1, noise.MAX_SEED + 1])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(ValueError, match="between 0 and"):
        noise.sample_seeds(seed, 3)


def test_no_global_random_state_moves(global_state):
    noise.initial_noise(noise.sample_seeds(0, 3), (2, 2))
    noise.uniforms(noise.sample_seeds(0, 3), noise.Purpose.CLUSTER)
