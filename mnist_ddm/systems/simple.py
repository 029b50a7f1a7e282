"""A system made of models that a program has already: experts, a router, and perhaps real states."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from mnist_ddm.compute.batches import evaluate_in_batches
from mnist_ddm.core.condition import Condition
from mnist_ddm.core.drawing import Drawing, as_drawing
from mnist_ddm.core.measures import Measures
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import digest

Model = Callable[[Tensor, Tensor], Tensor]
"""From states ``(B, *state_shape)`` and times ``(B,)`` to velocities of the same shape, or logits ``(B, K)``."""


@final
class SimplePool(ExpertPool):
    """A system of models at hand.

        >>> pool = SimplePool(experts, router, real=(states, clusters))
        >>> Study(pool, ["expert-deviation"], n=100).run()

    Models are called with batches of fixed sizes, so that a sample has the same bits whatever its companions are.
    """

    def __init__(
        self,
        experts: Sequence[Model],
        router: Model,
        real: tuple[Tensor, Tensor] | None = None,
        *,
        training: tuple[Tensor, Tensor] | None = None,
        state_shape: tuple[int, ...] | None = None,
        monolith: Model | None = None,
        decode: Callable[[Tensor], Tensor] | None = None,
        draw: Callable[[Tensor], Drawing] | None = None,
        name: str = "",
    ) -> None:
        """Take the parts.

        Args:
            experts: each predicts the velocity noise minus clean, with ``t = 1`` for noise.
            router: logits of the experts.
            real: held-out states ``(N, *state_shape)`` and the cluster of each, int64, shape ``(N,)``.
            training: the same of what the experts were trained on, whose shares are the prior; by default ``real``.
            state_shape: of one state; by default that of ``real``.
            monolith: one model trained on all data, if there is one.
            decode: from states to what metrics look at, such as images in ``[0, 1]``; by default states as they are.
            draw: what states look like, where their shape does not say it.
            name: of the system, in results; by default that of its entry point, or `own`.

        Raises:
            InputError: if there are no experts, nothing says the shape of a state, or states and clusters do not fit.
        """
        if not experts:
            raise InputError("a system needs at least one expert")
        if real is None and state_shape is None:
            raise InputError("say the shape of a state (state_shape=...), or give real states")
        for what, given in (("real", real), ("training", training)):
            if given is not None:
                _check(what, given, len(experts))
        self._experts, self._router, self._monolith = list(experts), router, monolith
        self._decode, self._draw, self._name = decode, draw, name
        self._shape = tuple(real[0].shape[1:]) if real is not None and state_shape is None else tuple(state_shape or ())
        known = training or real
        counts = known[1].cpu().bincount(minlength=len(experts)) if known else torch.ones(len(experts))
        shares = counts.double()
        self._prior = shares / shares.sum()
        self._measures = StatesMeasures(len(experts), self.decode, real, training or real)

    @property
    def name(self) -> str:
        return self._name or self.entry or "own"

    @property
    def n_experts(self) -> int:
        return len(self._experts)

    @property
    def state_shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def prior(self) -> Tensor:
        return self._prior

    def velocity(self, expert: int, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return evaluate_in_batches(self._experts[expert], x, t)

    def router_logits(self, x: Tensor, t: Tensor) -> Tensor:
        return evaluate_in_batches(self._router, x, t)

    @property
    def has_monolith(self) -> bool:
        return self._monolith is not None

    def monolith_velocity(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        if self._monolith is None:
            return super().monolith_velocity(x, t, condition)
        return evaluate_in_batches(self._monolith, x, t)

    def decode(self, x: Tensor) -> Tensor:
        return x if self._decode is None else self._decode(x)

    def draw(self, x: Tensor) -> Drawing:
        return as_drawing(self.decode(x), self.name) if self._draw is None else self._draw(x)

    @property
    def measures(self) -> Measures:
        return self._measures


@final
class StatesMeasures(Measures):
    """What real states alone can measure."""

    def __init__(
        self,
        n_experts: int,
        decode: Callable[[Tensor], Tensor],
        held_out: tuple[Tensor, Tensor] | None,
        training: tuple[Tensor, Tensor] | None,
    ) -> None:
        """Take states ``(N, *state_shape)`` and their clusters ``(N,)``, held out and of the training."""
        super().__init__(n_experts, decode)
        self._held_out, self._training = held_out, training

    @cached_property
    def _fingerprint(self) -> str:
        parts = [values for given in (self._held_out, self._training) if given for values in given]
        return digest([[list(v.shape), digest(v.cpu().double().flatten().tolist())] for v in parts]) if parts else ""

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def real_states(self, n: int, cluster: int | None = None, *, held_out: bool = True) -> tuple[Tensor, Tensor]:
        given = self._held_out if held_out else self._training
        if given is None:
            return super().real_states(n, cluster, held_out=held_out)
        states, clusters = given
        rows = torch.arange(len(states)) if cluster is None else (clusters == cluster).nonzero()[:, 0]
        return states[rows[:n]], clusters[rows[:n]]


def _check(what: str, given: tuple[Tensor, Tensor], n_experts: int) -> None:
    if not isinstance(given, tuple | list) or [isinstance(part, Tensor) for part in given] != [True, True]:
        raise InputError(f"{what} must be a pair of tensors: states, and the cluster of each")
    states, clusters = given
    if clusters.ndim != 1 or len(clusters) != len(states) or len(states) == 0:
        raise InputError(f"{what}: {len(states)} states, but clusters of shape {tuple(clusters.shape)}")
    if clusters.is_floating_point() or not 0 <= int(clusters.min()) <= int(clusters.max()) < n_experts:
        raise InputError(f"{what}: clusters must be integers in 0 .. {n_experts - 1}, one for each expert")
