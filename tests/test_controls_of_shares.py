"""Controls to what is said of class shares and Gumbel routing: each must come out where it should, and only there.

Experts of random tenths have nothing to be starved of; a permuted router must not help; whoever is told
the cluster needs no router. Of the exact system, whose shares are known.
"""

from functools import cache

import pytest
import torch

from mnist_ddm.analyses.within import ClassesApart
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import sample
from mnist_ddm.core.visits import Sampling
from mnist_ddm.metrics.frechet import extract
from mnist_ddm.metrics.strata import imbalance, imbalance_floor
from mnist_ddm.systems.gaussian import load

N, STEPS = 400, 8
CHANCE = 0.045
"""Three standard deviations of the imbalance of so many exact draws, from 10,000 multinomial draws."""


class RandomParts(ExpertPool):
    """What perfect experts of random parts of the same data are: all the marginal, under a router that knows shares."""

    name, n_experts, state_shape = "random parts", 8, (1, 8, 8)

    def velocity(self, expert, x, t, condition):
        return load().monolith_velocity(x, t, condition)

    def router_logits(self, x, t):
        return self.prior.log().to(x).expand(len(x), -1)

    @property
    def prior(self):
        return torch.arange(1, 9, dtype=torch.float64) / 36


@cache
def final(routing, random=False):
    return sample(RandomParts() if random else load(), Sampling(routing, N, steps=STEPS)).final


@cache
def apart():
    return ClassesApart.of(load(), load().measures.frechet_features["raw"])


def excess(states):
    classes = apart().classes
    return imbalance(classes.of(states), classes.shares) - imbalance_floor(N, classes.shares)


def within(states):
    return apart().balanced(states, extract(load().measures.frechet_features["raw"], states))


def test_the_maximum_starves_classes_and_one_gumbel_vector_does_not():
    assert excess(final("top1")) > 0.15
    assert excess(final("gumbel")) < CHANCE


def test_who_is_told_the_cluster_needs_neither_a_router_nor_a_draw():
    assert excess(final("label")) < CHANCE
    assert within(final("label")).high < 0.1


@pytest.mark.parametrize("routing", ["gumbel", "full"])
def test_of_random_parts_no_routing_starves_and_all_are_the_same(routing):
    """So starving takes experts that differ: a router that always says the same costs nothing here."""
    torch.testing.assert_close(final("top1", random=True), final(routing, random=True), rtol=0, atol=2e-5)
    torch.testing.assert_close(final("top1", random=True), final("monolith"), rtol=0, atol=2e-5)
    assert excess(final("top1", random=True)) < CHANCE


@pytest.mark.parametrize("routing", ["gumbel", "top1"])
def test_a_router_whose_answers_are_permuted_ruins_what_shares_do_not_tell(routing):
    """So the cure rests on what the router knows of its experts, not on the noise in the choice."""
    assert within(final(f"{routing}@fault=permuted")).low > 3 * within(final(routing)).high
