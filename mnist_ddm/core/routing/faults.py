r"""A router used wrongly on purpose: what an error in an implementation would do to a system that is right.

What a fault does to the logits is `faulty_logits`, but for the one that needs a trajectory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.routing.base import Routing, RoutingContext
from mnist_ddm.core.routing.modifiers import LogitModifier

LATENT_SCALE = 0.18215
"""By which Stable Diffusion's latents are multiplied; code that does it once too often or not at all is off by it."""
STALE, PERMUTED = "stale", "permuted"
FAULTS: Mapping[str, str] = {
    "flipped": "it is told 1 - t",
    "large": "it is told 999 t",
    "small": "it is told t / 999",
    "scaled": f"it is shown {LATENT_SCALE} x",
    "unscaled": f"it is shown x / {LATENT_SCALE}",
    STALE: "it answers for the state of the step before",
    PERMUTED: "its answer for an expert goes to the next one",
}
"""By name, what is wrong about the router."""


def faulty_logits(fault: str, pool: ExpertPool, x: Tensor, t: Tensor) -> Tensor:
    """Logits ``(B, K)`` of a router that is asked wrongly, at states ``(B, ...)`` and times ``(B,)``."""
    times = {"flipped": 1 - t, "large": 999 * t, "small": t / 999}
    scales = {"scaled": LATENT_SCALE, "unscaled": 1 / LATENT_SCALE}
    return pool.router_logits(scales.get(fault, 1.0) * x, times.get(fault, t))


def permuted(logits: Tensor) -> Tensor:
    """Logits ``(B, K)``, each given to the next expert."""
    return logits.roll(1, dims=1)


@final
@dataclass(frozen=True)
class Faulty(LogitModifier):
    """A strategy whose router is used wrongly, as an error in an implementation would do it.

    `flipped`: it is told 1 - t; `large`: 999 t; `small`: t / 999; `scaled` and `unscaled`: it is shown the state times
    or over 0.18215, as a latent is that was scaled once too often, or not at all; `stale`: it answers for the state at
    which the step before began; `permuted`: its answer for an expert goes to the next one. The experts stay as they
    are. What stands before it gets the faulty logits, so a temperature does: `full@T=2@fault=flipped`.

    Attributes:
        base: the strategy.
        fault: a name of `FAULTS`.
    """

    base: Routing
    fault: str

    @property
    def name(self) -> str:
        return f"{self.base.name}@fault={self.fault}"

    @property
    def takes_logits(self) -> bool:
        return self.fault in (STALE, PERMUTED) and self.base.takes_logits

    def logits(self, logits: Tensor, context: RoutingContext) -> Tensor:
        if self.fault == STALE:
            return _stale(logits, context)
        if self.fault == PERMUTED:
            return permuted(logits)
        return faulty_logits(self.fault, context.pool, context.x, context.t)


def _stale(logits: Tensor, context: RoutingContext) -> Tensor:
    """The logits at the start of the interval before; of the first interval, its own."""
    memory, now = context.samples.memory, logits.detach()
    if "stale-interval" not in memory:
        memory |= {"stale-before": now, "stale-now": now, "stale-interval": torch.full((len(now),), context.interval)}
    elif int(memory["stale-interval"][0]) != context.interval:
        memory |= {"stale-before": memory["stale-now"], "stale-now": now}
        memory["stale-interval"] = torch.full((len(now),), context.interval)
    return memory["stale-before"]
