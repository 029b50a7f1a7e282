"""What every system promises, tried out: each breach in words, so that an own system can be mended.

`ExpertPool` says the promises; an analysis takes them for granted, and a breach shows only as odd results.
"""

import contextlib
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import cloudpickle
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mnist_ddm.core.condition import Condition
from mnist_ddm.core.flow import interpolate, velocity_target
from mnist_ddm.core.noise import initial_noise, sample_seeds
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.errors import InputError

_ROWS: Final = 6
_NEAR: Final = 1e-4
"""Relative to the largest number: what a network's last bits may differ by in another batch."""
_MOST_EXPERTS: Final = 4
"""So many experts are tried, the first ones: one of them is like another."""
_REAL: Final = 200
_CLEARLY: Final = 0.8
"""A reading of what a model says is told as the right one if its error is below this share of the error as it is."""


@dataclass(frozen=True)
class Promise:
    """One promise, and what is wrong with it.

    Attributes:
        what: is promised.
        breach: what a system does instead, and what to do; empty if it keeps the promise.
        note: what a system does without that it need not have; empty if there is nothing.
    """

    what: str
    breach: str = ""
    note: str = ""


class Breach(Exception):  # noqa: N818 (no error: it becomes a line)
    """A promise that is not kept; the message says how."""


class Note(Exception):  # noqa: N818 (no error: it becomes a line)
    """Something that a system need not have; the message says what is missing without it."""


def check_system(pool: ExpertPool) -> list[Promise]:
    """Try out what a system promises; none of it takes more than a few evaluations.

    Returns:
        Every promise that could be tried, in the order in which breaches are best mended.
    """
    promises = []
    for what, check in _CHECKS.items():
        before = torch.get_rng_state()
        try:
            check(pool)
            if not torch.equal(before, torch.get_rng_state()):
                raise Breach(
                    "it moves torch's global random state; draw from the seeds, or from a generator of its own"
                )
        except Breach as breach:
            promises.append(Promise(what, str(breach)))
        except Note as note:
            promises.append(Promise(what, note=str(note)))
        except Exception as error:  # whatever an own system does
            told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            promises.append(Promise(what, f"it fails ({told})"))
        else:
            promises.append(Promise(what))
        if promises[-1].breach and what in _FIRST:
            break  # without it nothing else can be tried
    return promises


def _states(pool: ExpertPool, n: int = _ROWS) -> tuple[Tensor, Tensor, Condition]:
    seeds = sample_seeds(0, n)
    x = initial_noise(seeds, pool.state_shape).to(pool.device)
    return x, torch.linspace(0.05, 1, n, device=pool.device), pool.condition(seeds)


def _said(pool: ExpertPool) -> None:
    if not isinstance(pool.name, str) or not pool.name:
        raise Breach("its `name` is no text")
    if not isinstance(pool.n_experts, int) or pool.n_experts < 1:
        raise Breach(f"`n_experts` is {pool.n_experts!r}, not an integer of at least 1")
    shape = pool.state_shape
    if not isinstance(shape, tuple) or not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise Breach(f"`state_shape` is {shape!r}, not a tuple of sizes such as (3, 16, 16) or (2,)")


def _prior(pool: ExpertPool) -> None:
    prior = pool.prior
    if tuple(prior.shape) != (pool.n_experts,):
        raise Breach(f"`prior` has the shape {tuple(prior.shape)}, not ({pool.n_experts},)")
    if prior.dtype != torch.float64 or bool((prior < 0).any()) or abs(float(prior.sum()) - 1) > 1e-9:
        told = f"{prior.dtype} with sum {float(prior.sum()):g}"
        raise Breach(f"`prior` must be float64, at least 0 and sum to 1, not {told}")


def _condition(pool: ExpertPool) -> None:
    seeds = sample_seeds(0, _ROWS)
    whole, part = pool.condition(seeds), pool.condition(seeds[1:4])
    if tuple(whole.cluster.shape) != (_ROWS,):
        raise Breach(f"`condition` of {_ROWS} seeds has clusters of shape {tuple(whole.cluster.shape)}")
    if not 0 <= int(whole.cluster.min()) <= int(whole.cluster.max()) < pool.n_experts:
        raise Breach(f"`condition` asks for clusters outside 0 .. {pool.n_experts - 1}")
    if not torch.equal(whole.cluster[1:4], part.cluster) or whole.captions[1:4] != part.captions:
        raise Breach("what a sample is asked to be depends on its companions; make it a function of each seed alone")


def _shaped(name: str, values: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if not isinstance(values, Tensor) or tuple(values.shape) != shape:
        raise Breach(f"{name} has the shape {tuple(getattr(values, 'shape', ()))}, not {shape}")
    if values.dtype != dtype:
        raise Breach(f"{name} is {values.dtype}, and the states are {dtype}; answer in their dtype")
    if not values.isfinite().all():
        raise Breach(f"{name} has numbers that are not finite")


Model = Callable[[Tensor, Tensor, Condition], Tensor]


def _model(name: str, model: Model, pool: ExpertPool, width: tuple[int, ...]) -> None:
    """Shape, dtype, finite, repeatable, row by row, leaves its arguments alone."""
    x, t, condition = _states(pool)
    kept_x, kept_t = x.clone(), t.clone()
    with torch.no_grad():
        values = model(x, t, condition)
        _shaped(name, values, (_ROWS, *width), x.dtype)
        if not (torch.equal(x, kept_x) and torch.equal(t, kept_t)):
            raise Breach(f"{name} changes its arguments in place; work on a copy")
        scale = float(values.abs().max()) * _NEAR + 1e-12
        if float((model(x, t, condition) - values).abs().max()) > scale:
            raise Breach(f"{name} is another one when it is asked again; is dropout on? call eval()")
        rows = torch.tensor([1, 4], device=x.device)
        alone = model(x[rows], t[rows], condition.select(rows))
        if float((alone - values[rows]).abs().max()) > scale:
            raise Breach(f"a row of {name} depends on the other rows; is a batch norm in training mode? call eval()")
        later = model(x, (t * 0.5), condition)
        if tuple(later.shape) != tuple(values.shape):
            raise Breach(f"{name} has another shape at other times")


def _velocities(pool: ExpertPool) -> None:
    for k in range(min(pool.n_experts, _MOST_EXPERTS)):
        _model(f"the velocity of expert {k}", partial(pool.velocity, k), pool, pool.state_shape)


def _router(pool: ExpertPool) -> None:
    _model("the router's answer", lambda x, t, c: pool.router_logits(x, t), pool, (pool.n_experts,))
    x, t, _ = _states(pool)
    with torch.no_grad():
        logits = pool.router_logits(x, t)
    shares = bool((logits >= 0).all()) and float((logits.sum(dim=1) - 1).abs().max()) < _NEAR
    if shares and not bool((logits == logits[:, :1]).all()):  # equal ones mean the same as logits
        raise Breach("the router answers with numbers from 0 that sum to 1: probabilities; return their logarithms")


def _monolith(pool: ExpertPool) -> None:
    x, t, condition = _states(pool)
    if pool.has_monolith:
        _model("the velocity of the monolith", pool.monolith_velocity, pool, pool.state_shape)
        return
    with contextlib.suppress(InputError):
        pool.monolith_velocity(x, t, condition)
        raise Breach("`has_monolith` is False, and `monolith_velocity` answers all the same; say True, or leave it out")


def _convention(pool: ExpertPool) -> None:
    """Velocity is noise minus clean and t = 1 is noise: read in another way an expert errs more, on real states."""
    if not pool.measures.has_real_states:
        return
    for k in range(min(pool.n_experts, _MOST_EXPERTS)):
        states = pool.measures.real_states(_REAL, k, held_out=False)[0]
        if len(states) < 2:
            continue
        noise = initial_noise(sample_seeds(1, len(states)), pool.state_shape).to(states)
        condition = pool.measures.real_condition(_REAL, k, held_out=False)
        # What is no velocity shows best nearer the data; a time turned round, nearer the noise.
        for time, others in ((0.3, _OTHER_THINGS), (0.8, (*_OTHER_THINGS, *_TURNED))):
            readings = _readings(pool, k, states, noise, condition, time)
            error = {why: float((v - velocity_target(states, noise)).square().mean()) for why, v in readings.items()}
            best = min(error, key=lambda why: error[why])
            if best in others and error[best] < _CLEARLY * error[""]:
                told = f"(squared error at t = {time}: {error['']:.3g} as it is, {error[best]:.3g} read like this)"
                raise Breach(f"expert {k} {best} {told}")


_NOISE = "predicts the noise, not the velocity; return (noise - x) / (1 - t), with t kept a little below 1"
_CLEAN = "predicts the clean state, not the velocity; return (x - clean) / t, with t kept a little above 0"
_OTHER_THINGS = (_NOISE, _CLEAN)
_TURNED = tuple(
    f"predicts its own data better turned round: {how}"
    for how in (
        "the velocity is noise minus clean, not clean minus noise",
        "t = 1 is noise and t = 0 is data, not the other way",
        "t = 1 is noise, and the velocity noise minus clean; both are the other way here",
    )
)


def _readings(
    pool: ExpertPool, expert: int, clean: Tensor, noise: Tensor, condition: Condition, time: float
) -> dict[str, Tensor]:
    """The velocity that an expert's answer is, by how it is read; as it is under the empty text.

    An exact velocity is the best guess there is, so that no other reading of it errs less.
    """
    t = torch.full((len(clean),), time, dtype=clean.dtype, device=clean.device)
    x = interpolate(clean, noise, t)
    with torch.no_grad():
        said, turned = pool.velocity(expert, x, t, condition), pool.velocity(expert, x, 1 - t, condition)
    readings = {"": said, **dict(zip(_TURNED, (-said, turned, -turned), strict=True))}
    for why, part, velocity in ((_NOISE, noise, (said - x) / (1 - time)), (_CLEAN, clean, (x - said) / time)):
        # A network that has learnt nothing and says 0 guesses small data well; that is no prediction of them.
        if float((said - part).square().mean()) < _CLEARLY * float(part.square().mean()):
            readings[why] = velocity
    return readings


def _columns(pool: ExpertPool) -> None:
    """The clusters of real states are found best in the columns of their experts, at the states' own times."""
    if not pool.measures.has_real_states or pool.n_experts == 1:
        return
    states, clusters = pool.measures.real_states(_REAL)
    order = torch.randperm(len(states), generator=torch.Generator().manual_seed(0))
    states, clusters = states[order.to(states.device)], clusters.cpu()[order]
    noise, half = initial_noise(sample_seeds(1, len(states)), pool.state_shape).to(states), len(states) // 2
    if half < pool.n_experts:
        return
    said: list[Tensor] = []
    turned: list[Tensor] = []
    for time in (0.05, 0.95):
        t = torch.full((len(states),), time, dtype=states.dtype, device=states.device)
        x = interpolate(states, noise, t)
        with torch.no_grad():
            for answers, asked in ((said, t), (turned, 1 - t)):
                answers.append(pool.router_logits(x, asked).cpu().double().log_softmax(dim=1))
    # The order is found on one half of the states and judged on the other, or a weak router would look permuted.
    found = torch.zeros(pool.n_experts, pool.n_experts, dtype=torch.float64)
    found.index_add_(0, clusters[:half], said[0][:half].exp())
    columns = linear_sum_assignment(found.numpy(), maximize=True)[1].tolist()
    readings = {
        "": said,
        "has its time the other way; t = 1 is noise and t = 0 is data": turned,
        f"has its columns in another order than the experts: cluster k is in column {columns}[k]": [
            logits[:, columns] for logits in said
        ],
    }
    rows = torch.arange(half, len(states))
    error = {why: [-float(v[rows, clusters[half:]].mean()) for v in values] for why, values in readings.items()}
    best = min(error, key=lambda why: sum(error[why]))
    good = error[best][0] < math.log(pool.n_experts) / 2
    if good and sum(error[best]) < _CLEARLY * sum(error[""]):
        told = f"{sum(error['']):.3g} as it is, {sum(error[best]):.3g} read like this"
        raise Breach(f"the router {best} (cross-entropies at t = 0.05 and 0.95: {told})")


def _real(pool: ExpertPool) -> None:
    measures = pool.measures
    if not measures.has_real_states:
        return
    states, clusters = measures.real_states(20)
    if tuple(states.shape[1:]) != pool.state_shape or len(states) != len(clusters):
        told = f"states of shape {tuple(states.shape)} and clusters of shape {tuple(clusters.shape)}"
        raise Breach(f"`real_states` has {told}, and one state has the shape {pool.state_shape}")
    if not torch.equal(measures.real_states(5)[0], states[:5]):
        raise Breach("`real_states(5)` are not the first five of `real_states(20)`; keep one order")
    if not 0 <= int(clusters.min()) <= int(clusters.max()) < pool.n_experts:
        raise Breach(f"`real_states` has clusters outside 0 .. {pool.n_experts - 1}")
    for held_out in (True, False):
        of_one = measures.real_states(5, 0, held_out=held_out)[1]
        if len(of_one) and not bool((of_one == 0).all()):
            raise Breach("`real_states(5, cluster=0)` has states of other clusters")
    if len(measures.real_condition(5).cluster) != min(5, len(states)):
        raise Breach("`real_condition(5)` does not belong to `real_states(5)`")


def _decoded(pool: ExpertPool) -> None:
    x, _, _ = _states(pool)
    with torch.no_grad():
        images = pool.decode(x)
    if len(images) != len(x) or not images.isfinite().all():
        raise Breach(f"`decode` makes {len(images)} of {len(x)} states, or numbers that are not finite")


def _drawn(pool: ExpertPool) -> None:
    x, _, _ = _states(pool)
    with torch.no_grad():
        try:
            pool.draw(x)
        except InputError as error:
            raise Note(f"{error}; only pictures are missing without it") from None


def _fingerprints(pool: ExpertPool) -> None:
    said = dict(pool.fingerprints)
    lacking = {"experts", "metrics", *(["monolith"] if pool.has_monolith else [])} - said.keys()
    if lacking or not all(isinstance(value, str) for value in said.values()):
        told = f"it has {', '.join(sorted(said)) or 'nothing'}"
        raise Breach(f"`fingerprints` must map experts, metrics and (where there is one) monolith to texts; {told}")
    if dict(pool.fingerprints) != said:
        raise Breach("`fingerprints` differ when they are asked again; recordings could never be found")


def _travels(pool: ExpertPool) -> None:
    try:
        other = pickle.loads(cloudpickle.dumps(pool))
    except Exception as error:
        told = f"{type(error).__name__}: {error}"[:120]
        raise Breach(f"it cannot be pickled for worker processes ({told}); define __reduce__") from error
    x, t, condition = _states(pool)
    with torch.no_grad():
        if not torch.equal(other.velocity(0, x, t, condition), pool.velocity(0, x, t, condition)):
            raise Breach("pickled and read again it answers otherwise; is something that it needs not part of it?")


def _smooth(pool: ExpertPool) -> None:
    x, t, condition = _states(pool)
    x.requires_grad_(True)
    answers = {"the velocity of expert 0": pool.velocity(0, x, t, condition), "the router": pool.router_logits(x, t)}
    for name, values in answers.items():
        constant = bool((values == values[:1]).all())  # whose derivative is 0
        if not values.requires_grad and not constant:
            raise Breach(f"{name} cannot be differentiated by the state (no_grad inside?); sensitivity needs that")


_CHECKS: Final[dict[str, Callable[[ExpertPool], None]]] = {
    "it says its name, its number of experts and the shape of a state": _said,
    "the prior is a distribution over the experts": _prior,
    "what a sample is asked to be follows from its seed": _condition,
    "experts predict velocities, row by row, and the same when asked again": _velocities,
    "the router gives logits, row by row, and the same when asked again": _router,
    "there is a monolith, or a line that says there is none": _monolith,
    "real states have an order, and clusters": _real,
    "t = 1 is noise, and the velocity noise minus clean": _convention,
    "the router's columns are the experts', and its times those of the states": _columns,
    "states can be decoded": _decoded,
    "states can be drawn, where they are images or points": _drawn,
    "fingerprints say what it is": _fingerprints,
    "it can be sent to worker processes": _travels,
    "experts and router can be differentiated": _smooth,
}
_FIRST: Final = ("it says its name, its number of experts and the shape of a state",)
