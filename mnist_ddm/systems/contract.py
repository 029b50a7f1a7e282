"""What every system promises, tried out: each breach in words, so that an own system can be mended.

`ExpertPool` says the promises; an analysis takes them for granted, and a breach shows only as odd results.
"""

import contextlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import cloudpickle
import torch
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


@dataclass(frozen=True)
class Promise:
    """One promise, and what is wrong with it.

    Attributes:
        what: is promised.
        breach: what a system does instead, and what to do; empty if it keeps the promise.
    """

    what: str
    breach: str = ""


class Breach(Exception):  # noqa: N818 (no error: it becomes a line)
    """A promise that is not kept; the message says how."""


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
            raise Breach(f"{name} answers otherwise when it is asked again; is dropout on? call eval()")
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
    _model("the router's logits", lambda x, t, c: pool.router_logits(x, t), pool, (pool.n_experts,))


def _monolith(pool: ExpertPool) -> None:
    x, t, condition = _states(pool)
    if pool.has_monolith:
        _model("the velocity of the monolith", pool.monolith_velocity, pool, pool.state_shape)
        return
    with contextlib.suppress(InputError):
        pool.monolith_velocity(x, t, condition)
        raise Breach("`has_monolith` is False, and `monolith_velocity` answers all the same; say True, or leave it out")


def _convention(pool: ExpertPool) -> None:
    """Velocity is noise minus clean and t = 1 is noise: either turned round predicts worse, on real states."""
    if not pool.measures.has_real_states:
        return
    for k in range(min(pool.n_experts, _MOST_EXPERTS)):
        states = pool.measures.real_states(_REAL, k, held_out=False)[0]
        if len(states) < 2:
            continue
        noise = initial_noise(sample_seeds(1, len(states)), pool.state_shape).to(states)
        target, condition = velocity_target(states, noise), pool.measures.real_condition(_REAL, k, held_out=False)
        t = torch.full((len(states),), 0.8, dtype=states.dtype, device=states.device)
        with torch.no_grad():
            x = interpolate(states, noise, t)
            said, turned = pool.velocity(k, x, t, condition), pool.velocity(k, x, 1 - t, condition)
        loss = {
            "": said,
            "the velocity is noise minus clean, not clean minus noise": -said,
            "t = 1 is noise and t = 0 is data, not the other way": turned,
            "t = 1 is noise, and the velocity noise minus clean; both are the other way here": -turned,
        }
        error = {why: float((v - target).square().mean()) for why, v in loss.items()}
        best = min(error, key=lambda why: error[why])
        if error[best] < 0.8 * error[""]:
            told = f"(squared error at t = 0.8: {error['']:.3g} as it is, {error[best]:.3g} turned round)"
            raise Breach(f"expert {k} predicts its own data better turned round: {best} {told}")


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
            raise Breach(f"{error}; only pictures are missing without it") from None


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
    "states can be decoded": _decoded,
    "states can be drawn": _drawn,
    "fingerprints say what it is": _fingerprints,
    "it can be sent to worker processes": _travels,
    "experts and router can be differentiated": _smooth,
}
_FIRST: Final = ("it says its name, its number of experts and the shape of a state",)
