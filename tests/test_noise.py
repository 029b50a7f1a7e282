"""The streams of random numbers: known answers, one key for each, and independence of each other."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from mnist_ddm.core import noise
from mnist_ddm.core.noise import Purpose

# Every test of a distribution passes by chance with this probability; the seeds are fixed, so it passes always.
CHANCE = 1e-3


def words(*values):
    return tuple(torch.tensor([value]) for value in values)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter, key, expected):
    assert tuple(int(word) for word in noise.philox(words(*counter), words(*key))) == expected


def test_a_sample_has_its_own_numbers_whatever_its_companions():
    seeds = noise.sample_seeds(5, 20)
    together = noise.initial_noise(seeds, (1, 4, 4))
    assert torch.equal(together[[13, 2]], noise.initial_noise(seeds[[13, 2]], (1, 4, 4)))
    assert torch.equal(together[13:14], noise.initial_noise(seeds[13:14], (1, 4, 4)))
    draws = noise.uniforms(seeds, Purpose.ROUTING, 3)
    assert torch.equal(draws[7:9], noise.uniforms(seeds[7:9], Purpose.ROUTING, 3))
    sets = noise.subsets(seeds, Purpose.SUBSET, 3, 8, 2)
    assert torch.equal(sets[[19, 0]], noise.subsets(seeds[[19, 0]], Purpose.SUBSET, 3, 8, 2))
    assert torch.equal(seeds[4:], noise.sample_seeds(5, 16, start=4))


def test_a_longer_state_begins_with_the_noise_of_a_shorter_one():
    seeds = noise.sample_seeds(5, 3)
    assert torch.equal(noise.initial_noise(seeds, (7,)), noise.initial_noise(seeds, (32,))[:, :7])


def test_no_two_draws_share_a_key_and_a_counter(monkeypatch):
    """Of random runs, samples and indices, and every purpose; corners of their ranges among them."""
    rng = np.random.Generator(np.random.Philox(3))
    runs = np.concatenate([[0, 0, 1, 2, noise.MAX_SEED], rng.integers(0, noise.MAX_SEED, 500, endpoint=True)])
    samples = np.concatenate([[0, 5, 0, 5, 2**32 - 1], rng.integers(0, 2**32, 500)])
    indices = [0, 1, 2, *rng.integers(3, 2**32, 17).tolist()]
    seeds = torch.cat([noise.sample_seeds(int(run), 1, int(i)) for run, i in zip(runs, samples, strict=True)])
    assert len(seeds.unique()) == len(seeds)
    used = []

    def watched(counter, key):
        used.append(torch.stack(torch.broadcast_tensors(*counter, *key), dim=-1).flatten(0, -2))
        return noise_philox(counter, key)

    noise_philox = noise.philox
    monkeypatch.setattr(noise, "philox", watched)
    numbers = [noise.uniforms(seeds, purpose, index) for purpose, index in itertools.product(Purpose, indices)]
    fields = torch.cat(used).numpy()
    assert len(fields) == len(seeds) * len(Purpose) * len(indices)
    assert fields.min() >= 0
    assert fields.max() < 2**32  # words of 32 bits, so that none reaches into another
    assert len(np.unique(fields, axis=0)) == len(fields)
    assert len(torch.cat(numbers).unique()) == len(fields)


def test_the_noise_of_one_run_is_not_the_routing_of_another():
    """Once the start noise of sample 5 of run 2 came from the routing stream of sample 5 of run 0."""
    of_noise, of_routing = (int(noise.sample_seeds(run, 1, start=5)) for run in (2, 0))
    padded = [np.random.SeedSequence(key).generate_state(4) for key in ((of_noise,), (of_routing, Purpose.ROUTING))]
    assert np.array_equal(*padded)  # what was wrong with keys of different lengths
    drawn = noise._uniforms(torch.tensor([of_noise]), Purpose.NOISE, 0, 1000)
    routed = torch.cat([noise.uniforms(torch.tensor([of_routing]), Purpose.ROUTING, i) for i in range(1000)])
    assert len(torch.cat([drawn[0], routed]).unique()) == 2000


def streams(n):
    """Uniform numbers of ``n`` samples: several runs, purposes and indices, and neighbours in a long stream."""
    drawn = {}
    for run in (0, 1, 2):
        seeds = noise.sample_seeds(run, n)
        for purpose, index in itertools.product((Purpose.CLUSTER, Purpose.ROUTING, Purpose.POINTS), (0, 1, 2)):
            drawn[run, purpose, index] = noise.uniforms(seeds, purpose, index).numpy()
        normal = noise.initial_noise(seeds, (6,)).double().numpy()
        drawn |= {(run, Purpose.NOISE, i): stats.norm.cdf(normal[:, i]) for i in range(6)}
    return drawn


def test_streams_are_uniform_and_independent_of_each_other():
    n = 4000
    drawn = streams(n)
    values = np.stack(list(drawn.values()))
    assert min(stats.kstest(row, "uniform").pvalue for row in values) > CHANCE / len(values)
    # From one sample to the next, whose keys differ in one bit or a few.
    assert min(stats.pearsonr(row[1:], row[:-1]).pvalue for row in values) > CHANCE / len(values)
    pairs = list(itertools.combinations(range(len(values)), 2))
    correlation = np.corrcoef(values)
    worst = max(abs(correlation[pair]) for pair in pairs)
    assert worst < stats.norm.isf(CHANCE / len(pairs) / 2) / np.sqrt(n)
    # And not only uncorrelated: two streams fill the square evenly.
    fills = [stats.chisquare(np.histogram2d(values[i], values[j], 8, [(0, 1)] * 2)[0].ravel()).pvalue for i, j in pairs]
    assert min(fills) > CHANCE / len(pairs)


def test_the_noise_is_standard_normal():
    values = noise.initial_noise(noise.sample_seeds(0, 2000), (1, 5, 5)).flatten(1).double().numpy()
    assert stats.kstest(values.ravel(), "norm").pvalue > CHANCE
    assert min(stats.kstest(column, "norm").pvalue for column in values.T) > CHANCE / 25
    # The squared length of a state shows what the numbers of one sample have to do with each other.
    assert stats.kstest((values**2).sum(axis=1), stats.chi2(25).cdf).pvalue > CHANCE
    assert np.abs(values).max() > 4


def test_all_subsets_are_equally_likely():
    sets = noise.subsets(noise.sample_seeds(0, 6000), Purpose.SUBSET, 4, 4, 2)
    assert (sets[:, 0] != sets[:, 1]).all()
    counts = torch.bincount(sets.min(dim=1).values * 4 + sets.max(dim=1).values, minlength=16)
    assert stats.chisquare(counts[counts > 0].numpy()).pvalue > CHANCE
    assert int((counts > 0).sum()) == 6
    assert (
        noise.subsets(noise.sample_seeds(0, 5), Purpose.SUBSET, 0, 3, 3).sort(dim=1).values.tolist() == [[0, 1, 2]] * 5
    )


def test_the_same_seed_gives_the_same_numbers_in_every_version():
    """From the words of Philox by hand, since recordings rely on it."""
    first, second = 0x6627E8D5, 0xE169C58D  # of counter 0 and key 0
    expected = ((first >> 5) * 2**26 + (second >> 6)) / 2**53
    assert float(noise.uniforms(noise.sample_seeds(0, 1), Purpose.NOISE)) == expected
    third, fourth = 0xBC57AC4C, 0x9B00DBD8
    angle = 2 * np.pi * ((third >> 5) * 2**26 + (fourth >> 6)) / 2**53
    radius = np.sqrt(-2 * np.log1p(-expected))
    values = noise.initial_noise(noise.sample_seeds(0, 1), (2,))[0]
    assert values.tolist() == pytest.approx([radius * np.cos(angle), radius * np.sin(angle)], rel=1e-6)


def test_long_streams_of_different_seeds_purposes_indices_and_parts_differ():
    choices = list(itertools.product((0, 1, 2, noise.MAX_SEED), Purpose, (0, 1, 2), (0, 1, 2)))
    drawn = np.stack([noise.generator(*choice).random(50) for choice in choices])
    assert len(np.unique(drawn)) == drawn.size
    assert np.array_equal(
        noise.generator(1, Purpose.DATA, 2, 3).random(50), noise.generator(1, Purpose.DATA, 2, 3).random(50)
    )
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > CHANCE
    bound = stats.norm.isf(CHANCE / len(drawn) ** 2) / np.sqrt(drawn.shape[1])
    correlation = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(correlation).max() < bound


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
    noise.uniforms(noise.sample_seeds(0, 3), Purpose.CLUSTER)
    noise.subsets(noise.sample_seeds(0, 3), Purpose.SUBSET, 0, 4, 2)
    noise.generator(0, Purpose.SHUFFLE).random()
