"""Velocity fields: a pool and a routing together are one field that any solver or analysis accepts.

`RoutedField` evaluates only the experts and samples that a weight asks for. Each expert gets one batch of exactly the
samples that need it, and the weighted sum runs over experts in ascending order, so that a sample's velocity does not
depend on its companions.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from mnist_ddm.compute.devices import sent
from mnist_ddm.core.asked import asked_logits, asked_velocity
from mnist_ddm.core.flow import expand_time
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.routing import Routing, RoutingContext, Samples, negligible_weight, parse_routing
from mnist_ddm.core.routing.base import asked_weights, maker_of
from mnist_ddm.core.routing.own import source_of
from mnist_ddm.errors import InputError, NotFiniteError, blamed
from mnist_ddm.storage.files import digest

MONOLITH = "monolith"
"""The spelling of the field of the one model that was trained on all data."""


@dataclass(frozen=True)
class Evaluation:
    """What a field is at some states.

    Attributes:
        velocity: the field's velocity, shape of ``x``.
        calls: evaluations of experts that the routing asked for, on the CPU, shape ``(B,)``.
        logits: the router's, shape ``(B, K)``; ``None`` for a field without a router.
        weights: of the experts, shape ``(B, K)``; ``None`` for a field without experts.
        experts: the velocities of the experts, shape ``(B, K, *state_shape)``, if they were asked for.
    """

    velocity: Tensor
    calls: Tensor
    logits: Tensor | None = None
    weights: Tensor | None = None
    experts: Tensor | None = None


@final
class Watch:
    """Looks whether what a field says along a trajectory is finite, without a wait of its own.

    On the CPU it looks at once. On other devices the answer comes here with what the next evaluation brings, and the
    last one when the watch is closed.
    """

    def __init__(self) -> None:
        """Start with nothing to look at."""
        self._unseen: tuple[Tensor, Callable[[], None]] | None = None

    def add(self, unsure: Tensor, look: Callable[[], None]) -> None:
        """Take what an evaluation found.

        Args:
            unsure: whether a closer look is wanted, one truth value.
            look: raises an error if something is not finite.
        """
        self._unseen = unsure, look
        if unsure.device.type == "cpu":
            self.close()

    def bring(self, chosen: Tensor) -> Tensor:
        """Truth values ``(B, K)`` to the CPU, and with them what was not looked at yet."""
        if self._unseen is None:
            return chosen.cpu()
        (unsure, look), self._unseen = self._unseen, None
        both = torch.cat([chosen.flatten(), unsure[None]]).cpu()
        if both[-1]:
            look()
        return both[:-1].reshape(chosen.shape)

    def close(self) -> None:
        """Look at what was not looked at yet."""
        if self._unseen is not None:
            (unsure, look), self._unseen = self._unseen, None
            if unsure:
                look()


class VelocityField(ABC):
    """A velocity field :math:`v(x, t)` over the states of a pool."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The spelling that `make_field` turns back into this field."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of the models behind the field, and of the code of a routing that does not ship."""

    @property
    @abstractmethod
    def pool(self) -> ExpertPool:
        """The system that the field belongs to."""

    @abstractmethod
    def evaluate(
        self,
        x: Tensor,
        t: Tensor,
        samples: Samples,
        interval: int = 0,
        *,
        all_experts: bool = False,
        keep_experts: bool = False,
        weights: Tensor | None = None,
        watch: Watch | None = None,
    ) -> Evaluation:
        """Evaluate the field.

        Args:
            x: states ``(B, *state_shape)``.
            t: times ``(B,)``.
            samples: whose states they are.
            interval: the interval of the step grid.
            all_experts: evaluate every expert and return its velocity; the routed velocity is made from those.
            keep_experts: return the velocities of the experts that the routing asks for, and 0 for the others.
            weights: of the experts ``(B, K)``, instead of the routing's; the router is not evaluated then.
            watch: of a trajectory, which may look only at the next evaluation whether all is finite; whoever gives it
                closes it. Without one, the look is here.

        Raises:
            NotFiniteError: if something is not finite, at this evaluation or at one that the watch has not looked at.
        """


@final
class RoutedField(VelocityField):
    r"""The routed velocity :math:`v_t(x_t) = \sum_k w_t^{(k)}(x_t)\, v_t^{(k)}(x_t)` (Equation 1)."""

    def __init__(self, pool: ExpertPool, routing: Routing) -> None:
        """Join a pool and a routing.

        Raises:
            InputError: if the routing does not fit the pool (k > K, or a closed form or real states that it does not
                have).
        """
        with blamed(f"the routing {maker}") if (maker := maker_of(routing)) else contextlib.nullcontext():
            routing.check(pool.n_experts)
            routing.most_experts(pool.n_experts)
        if routing.needs_reference and pool.measures.reference is None:
            raise InputError(
                f"the system {pool.name!r} has no closed-form posterior for {routing.name!r}; choose another routing"
            )
        if routing.needs_real_states and not pool.measures.has_real_states:
            raise InputError(
                f"the system {pool.name!r} has no real states for {routing.name!r}; choose another routing"
            )
        if routing.needs_conditions and not pool.knows_conditions:
            raise InputError(
                f"the system {pool.name!r} does not know which clusters a caption belongs to, which "
                f"{routing.name!r} asks; choose another routing"
            )
        self._pool = pool
        self.routing = routing

    @property
    def name(self) -> str:
        return self.routing.name

    @property
    def fingerprint(self) -> str:
        models, code = self._pool.fingerprints["experts"], source_of(self.routing)
        return digest([models, code]) if code else models

    @property
    def pool(self) -> ExpertPool:
        return self._pool

    def evaluate(
        self,
        x: Tensor,
        t: Tensor,
        samples: Samples,
        interval: int = 0,
        *,
        all_experts: bool = False,
        keep_experts: bool = False,
        weights: Tensor | None = None,
        watch: Watch | None = None,
    ) -> Evaluation:
        logits, context = None, RoutingContext(x, t, interval, samples, self._pool)
        if weights is None:
            logits, weights = self._decide(context)
        chosen = weights > negligible_weight(x.dtype)
        # A device is waited for here alone, however many experts there are.
        along = watch or Watch()
        here = along.bring(chosen)
        asked = torch.ones_like(here) if all_experts else here
        velocity = torch.zeros_like(x)
        kept = all_experts or keep_experts
        experts = x.new_zeros(len(x), self._pool.n_experts, *x.shape[1:]) if kept else None
        for k in range(self._pool.n_experts):
            numbers = asked[:, k].nonzero()[:, 0]
            if len(numbers) == 0:
                continue
            rows = sent(numbers, x.device)
            v = context.experts.of(k, numbers)
            if experts is not None:
                experts[rows, k] = v
            weight = torch.where(chosen[rows, k], weights[rows, k], 0)
            velocity = velocity.index_add(0, rows, expand_time(weight, v) * v)
        decided = weights

        def look() -> None:
            if (row := first_bad_row(velocity, decided, logits)) is not None:
                raise self._fault(row, x, t, samples, interval, logits, decided)

        along.add(_unsure(velocity, weights, logits).any(), look)
        if watch is None:
            along.close()
        return Evaluation(velocity, context.experts.evaluations(here), logits, weights, experts)

    def _fault(
        self,
        row: int,
        x: Tensor,
        t: Tensor,
        samples: Samples,
        interval: int,
        logits: Tensor | None,
        weights: Tensor,
    ) -> NotFiniteError:
        """Which part of the system gave a number that is none, found by asking each again for one sample."""
        one = slice(row, row + 1)
        if not x[one].isfinite().all():
            culprit = "its state is not finite (are the velocities before it too large?)"
        elif logits is not None and logits[one].isnan().any():
            culprit = "the router gives NaN; train it again or restore its file"
        elif not weights[one].isfinite().all():
            culprit = f"the routing {self.routing.name!r} gives weights that are not finite"
        else:
            chosen = samples.condition.select(torch.tensor([row], device=x.device))
            bad = (
                k
                for k in range(self._pool.n_experts)
                if not asked_velocity(self._pool, k, x[one], t[one], chosen).isfinite().all()
            )
            expert = next(bad, None)
            who = (
                "the routed velocity is not finite"
                if expert is None
                else f"expert {expert} gives numbers that are none"
            )
            culprit = f"{who}; train it again or restore its file"
        return not_finite(self._pool, row, t, samples, interval, culprit)

    def weights(self, x: Tensor, t: Tensor, samples: Samples, interval: int = 0) -> tuple[Tensor, Tensor]:
        """The router's logits, 0 where the routing needs none, and the weights of the experts, both ``(B, K)``."""
        return self._decide(RoutingContext(x, t, interval, samples, self._pool))

    def _decide(self, context: RoutingContext) -> tuple[Tensor, Tensor]:
        x, pool = context.x, self._pool
        needed = self.routing.needs_router
        logits = asked_logits(pool, x, context.t) if needed else x.new_zeros(len(x), pool.n_experts)
        return logits, asked_weights(self.routing, logits, context)


@final
class MonolithField(VelocityField):
    """The velocity of the one model that was trained on all data (Table 3's first row)."""

    def __init__(self, pool: ExpertPool) -> None:
        """Take the pool's monolith.

        Raises:
            InputError: if the pool has none.
        """
        if not pool.has_monolith:
            raise InputError(f"the system {pool.name!r} has no monolithic model; choose a routing instead")
        self._pool = pool

    @property
    def name(self) -> str:
        return MONOLITH

    @property
    def fingerprint(self) -> str:
        return self._pool.fingerprints["monolith"]

    @property
    def pool(self) -> ExpertPool:
        return self._pool

    def evaluate(
        self,
        x: Tensor,
        t: Tensor,
        samples: Samples,
        interval: int = 0,
        *,
        all_experts: bool = False,
        keep_experts: bool = False,
        weights: Tensor | None = None,
        watch: Watch | None = None,
    ) -> Evaluation:
        velocity = asked_velocity(self._pool, None, x, t, samples.condition)
        if (row := first_bad_row(velocity)) is not None:
            culprit = "the monolith gives numbers that are none; train it again or restore its file"
            raise not_finite(self._pool, row, t, samples, interval, culprit)
        return Evaluation(velocity, torch.ones(len(x), dtype=torch.int64))


def make_field(pool: ExpertPool, name: str) -> VelocityField:
    """The field of a spelling: `monolith`, or any routing of `parse_routing` over the pool's experts.

    Raises:
        InputError: if the name is unknown or does not fit the pool.
    """
    return MonolithField(pool) if name == MONOLITH else RoutedField(pool, parse_routing(name))


def first_bad_row(velocity: Tensor, weights: Tensor | None = None, logits: Tensor | None = None) -> int | None:
    """The first row whose velocity or weights are not finite, or whose logits are NaN; ``None`` if there is none.

    One look, unless a sum is not finite.
    """
    with torch.no_grad():
        if not _unsure(velocity, weights, logits).any():
            return None
        parts = (part.flatten(1) for part in (velocity, weights) if part is not None)
        bad = torch.stack([~part.isfinite().all(dim=1) for part in parts]).any(dim=0)  # a sum may only be too large
        if logits is not None:
            bad |= logits.isnan().any(dim=1)
        rows = bad.nonzero()[:, 0].tolist()
    return int(rows[0]) if rows else None


@torch.no_grad()
def _unsure(velocity: Tensor, weights: Tensor | None, logits: Tensor | None) -> Tensor:
    """Rows that deserve an exact search, by one reduction of each part, shape ``(B,)``; nothing is looked at."""
    parts = [part.detach().flatten(1) for part in (velocity, weights) if part is not None]
    sums = torch.stack([part.sum(dim=1).to(velocity.dtype) for part in parts]).sum(dim=0)
    # A logit may be minus infinity: an expert that is never asked for.
    return ~sums.isfinite() if logits is None else ~sums.isfinite() | logits.detach().isnan().any(dim=1)


def not_finite(pool: ExpertPool, row: int, t: Tensor, samples: Samples, interval: int, culprit: str) -> NotFiniteError:
    """An error that says for which sample, and when, a system gave a number that is none, and what gave it."""
    seed = int(samples.seeds[row])
    where = f"at t = {float(t[row]):.4g} (step {interval + 1}) for the sample of seed {seed}"
    return NotFiniteError(f"the system {pool.name!r} fails {where}: {culprit}", seed)
