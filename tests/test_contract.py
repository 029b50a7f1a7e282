"""What `check-system` says of systems that break a promise, and of those that keep them all."""

import json
import sys

import pytest
import torch
from two_clusters import PROMISES, expert, real, router

from mnist_ddm.core.flow import predicted_clean, predicted_noise
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.systems import registry
from mnist_ddm.systems.contract import check_system
from mnist_ddm.systems.gaussian import load
from mnist_ddm.systems.simple import SimplePool


class Sound(ExpertPool):
    """Keeps every promise; each class below breaks one."""

    name, n_experts, state_shape = "sound", 2, (2,)

    def velocity(self, expert_number, x, t, condition):
        return expert(expert_number)(x, t)

    def router_logits(self, x, t):
        return router(x, t)

    @property
    def measures(self):
        return SimplePool([expert(0), expert(1)], router, real()).measures


class NoNumber(Sound):
    n_experts = 0


class OddShape(Sound):
    state_shape = "2"


class OddPrior(Sound):
    prior = torch.tensor([0.5, 0.6], dtype=torch.float64)


class Companions(Sound):
    def condition(self, seeds):
        from mnist_ddm.core.condition import Condition

        return Condition(torch.arange(len(seeds)) % 2)


class Flat(Sound):
    def velocity(self, k, x, t, condition):
        return super().velocity(k, x, t, condition)[:, :1]


class Wide(Sound):
    def velocity(self, k, x, t, condition):
        return super().velocity(k, x, t, condition).double()


class Centred(Sound):
    def velocity(self, k, x, t, condition):
        return super().velocity(k, x, t, condition) - x.mean(dim=0)


class InPlace(Sound):
    def velocity(self, k, x, t, condition):
        return super().velocity(k, x.mul_(1.0).add_(1e-3), t, condition)


class Dropout(Sound):
    def velocity(self, k, x, t, condition):
        self.calls = getattr(self, "calls", 0) + 1
        return super().velocity(k, x, t, condition) * self.calls


class GlobalNoise(Sound):
    def router_logits(self, x, t):
        return super().router_logits(x, t) + 0 * torch.rand(1)


class NotANumber(Sound):
    def router_logits(self, x, t):
        return super().router_logits(x, t) * torch.nan


class SilentMonolith(Sound):
    def monolith_velocity(self, x, t, condition):
        return x


class Turned(Sound):
    def velocity(self, k, x, t, condition):
        return -super().velocity(k, x, t, condition)


class Backwards(Sound):
    def velocity(self, k, x, t, condition):
        return super().velocity(k, x, 1 - t, condition)


class Shuffled(Sound):
    @property
    def measures(self):
        measures = super().measures
        whole = measures.real_states

        def real_states(n, cluster=None, *, held_out=True):
            return tuple(values.flip(0) for values in whole(n, cluster, held_out=held_out))

        measures.real_states = real_states
        return measures


class Fewer(Sound):
    def decode(self, x):
        return x[1:]


class Solid(Sound):
    def decode(self, x):
        return x[:, :, None, None, None]


class Restless(Sound):
    @property
    def fingerprints(self):
        self.asked = getattr(self, "asked", 0) + 1
        return {"experts": str(self.asked), "metrics": ""}


class Silent(Sound):
    fingerprints = {"experts": "a"}  # noqa: RUF012 (an own system may well say it so)


class Held(Sound):
    def __getstate__(self):
        raise TypeError("cannot pickle a file")


class Frozen(Sound):
    @torch.no_grad()
    def velocity(self, k, x, t, condition):
        return super().velocity(k, x, t, condition)


BREACHES = [
    (NoNumber, "n_experts"), (OddShape, "state_shape"), (OddPrior, "sum 1.1"), (Companions, "companions"),
    (Flat, "has the shape"), (Wide, "torch.float64"), (Centred, "depends on the other rows"), (InPlace, "in place"),
    (Dropout, "asked again"), (GlobalNoise, "global random state"), (NotANumber, "not finite"),
    (SilentMonolith, "has_monolith"), (Turned, "noise minus clean, not clean minus noise"),
    (Backwards, "t = 1 is noise and t = 0 is data"), (Shuffled, "first five"), (Fewer, "5 of 6"),
    (Restless, "asked again"), (Silent, "metrics"), (Held, "pickled"), (Frozen, "differentiated"),
]  # fmt: skip


@pytest.mark.parametrize(("system", "told"), BREACHES, ids=[system.__name__ for system, _ in BREACHES])
def test_each_breach_is_caught_and_said_in_words(system, told):
    breaches = [p.breach for p in check_system(system()) if p.breach]
    assert any(told in breach for breach in breaches), breaches
    assert len(breaches) <= 4
    assert [p.breach for p in check_system(Sound())] == [""] * PROMISES


def of_the_gaussian_system(expert=lambda v, x, t: v, router=lambda logits, t: logits(t)):
    """A pool whose answers are made of those of the Gaussian system."""
    gaussian = load()

    def turned(k):
        return lambda x, t: expert(gaussian.velocity(k, x, t, None), x, t)

    def logits(x, t):
        return router(lambda t: gaussian.router_logits(x, t), t)

    held_out, training = (gaussian.measures.real_states(200, held_out=yes) for yes in (True, False))
    return SimplePool([turned(k) for k in range(8)], logits, held_out, training=training)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            lambda v, x, t: predicted_noise(x, v, t),
            "predicts the noise, not the velocity; return (noise - x) / (1 - t)",
        ),
        (
            lambda v, x, t: predicted_clean(x, v, t),
            "predicts the clean state, not the velocity; return (x - clean) / t",
        ),
        (lambda v, x, t: 0 * v, ""),  # has learnt nothing
        (lambda v, x, t: v + 2 * (37 * x).sin(), ""),  # is far off
    ],
    ids=["noise", "clean", "zero", "rough"],
)
def test_what_an_expert_predicts_instead_of_the_velocity_is_named(answer, told):
    breaches = [p.breach for p in check_system(of_the_gaussian_system(expert=answer)) if p.breach]
    assert len(breaches) == bool(told)
    assert all(told in breach for breach in breaches), breaches


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda logits, t: logits(t).softmax(dim=1), "probabilities; return their logarithms"),
        (lambda logits, t: logits(t).roll(3, dims=1), "cluster k is in column [3, 4, 5, 6, 7, 0, 1, 2][k]"),
        (lambda logits, t: logits(1 - t), "time the other way"),
        (lambda logits, t: logits(t) * 10, ""),
        (lambda logits, t: logits(t) * 0.02, ""),
        (lambda logits, t: 0 * logits(t) + 1 / 8, ""),
        (lambda logits, t: (37 * logits(t)).sin() * 9, ""),
    ],
    ids=["probabilities", "permuted", "turned", "sharp", "weak", "even", "random"],
)
def test_a_router_that_is_read_wrongly_is_named_and_one_that_is_merely_weak_is_not(answer, told):
    breaches = [p.breach for p in check_system(of_the_gaussian_system(router=answer)) if p.breach]
    assert len(breaches) == bool(told), breaches
    assert all(told in breach for breach in breaches), breaches


def test_states_without_pictures_are_a_note_and_no_breach():
    promises = check_system(Solid())
    assert [p.breach for p in promises] == [""] * PROMISES
    (note,) = [p.note for p in promises if p.note]
    assert note.endswith("only pictures are missing without it")


def test_the_command_says_it_and_ends_with_one_if_there_is_a_breach(monkeypatch, capsys):

    from mnist_ddm import cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mnist-ddm", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, capsys.readouterr().out

    code, out = run("check-system", "gaussian")
    assert (code, out.count("ok  "), f"{PROMISES} of {PROMISES} promises are kept" in out) == (0, PROMISES, True)
    monkeypatch.setattr(registry, "load_system", lambda *a, **k: Turned())
    code, out = run("check-system", "turned", "--json")
    assert code == 1
    assert [p["kept"] for p in json.loads(out)].count(False) == 1
    monkeypatch.setattr(registry, "load_system", lambda *a, **k: Solid())
    code, out = run("check-system", "solid")
    assert code == 0
    assert "only pictures are missing" in " ".join(out.split())
