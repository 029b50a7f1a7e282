r"""The analytic system: a mixture of isotropic Gaussians, where every quantity of a DDM has a closed form.

Expert ``k`` is the exact velocity field of :math:`N(\mu_k, s_k^2 I)`; the router is the exact posterior. With
:math:`\alpha = 1 - t`, :math:`V_k = \alpha^2 s_k^2 + t^2` and :math:`r_k = x - \alpha \mu_k`:

- velocity :math:`u_k = -\mu_k + c_k r_k` with :math:`c_k = V_k' / (2 V_k) = (t - \alpha s_k^2) / V_k`;
- Jacobian :math:`c_k I`;
- router :math:`w_k \propto \pi_k N(x; \alpha \mu_k, V_k I)`;
- the full ensemble *is* the marginal velocity, with Jacobian
  :math:`(\sum_k w_k c_k) I + \sum_k w_k u_k (g_k - g)^T`, :math:`g_k = -r_k / V_k`, :math:`g = \sum_k w_k g_k`;
- the flow of one expert is :math:`x(t) = \alpha \mu_k + \sqrt{V_k(t)}\, x(1)`, as :math:`V_k(1) = 1`.

Two knobs leave the exact world on purpose. ``expert_error`` adds to expert ``k`` a constant vector times
:math:`1 - w_k(x, t)`: the expert stays exact on its own data and is wrong away from it. ``router_temperature``
divides the router's logits: below 1 it is overconfident, above 1 underconfident. (A router that is rough in x is a
modifier of any routing, `@rough=50`.)
"""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from mnist_ddm.compute.devices import sent, widest
from mnist_ddm.core.condition import Condition
from mnist_ddm.core.flow import expand_time
from mnist_ddm.core.measures import Classifier, Embedding, Features, Measures, Reference
from mnist_ddm.core.noise import Purpose, directions, generator
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.errors import InputError, unknown
from mnist_ddm.storage.files import digest

DATA_SIZE = 10_000
"""Real states of each split that there are, as if the system had a data set."""
_CLUSTERS, _STATES = 0, 1
"""The parts of the data, each with a stream of its own."""


@final
class GaussianPool(ExpertPool):
    """K isotropic Gaussians; the formulas are in the module's docstring. Works in the dtype of the states given."""

    def __init__(
        self,
        means: Tensor,
        scales: Tensor,
        prior: Tensor,
        *,
        expert_error: float = 0.0,
        router_temperature: float = 1.0,
        device: str | torch.device = "cpu",
    ) -> None:
        r"""A mixture :math:`\sum_k \pi_k N(\mu_k, s_k^2 I)`.

        Args:
            means: :math:`\mu_k`, shape ``(K, *state_shape)``; states have at least one dimension.
            scales: :math:`s_k > 0`, shape ``(K,)``.
            prior: :math:`\pi_k > 0`, shape ``(K,)``; normalised here.
            expert_error: length of the error that an expert makes far from its own data; 0 is exact.
            router_temperature: T > 0 of the router; 1 is exact.
            device: where to compute.

        Raises:
            InputError: if shapes disagree or a number is out of range.
        """
        k = len(means)
        if means.ndim < 2 or scales.shape != (k,) or prior.shape != (k,):
            raise InputError("a gaussian system needs means (K, *state_shape), scales (K,) and a prior (K,)")
        knobs = [expert_error, router_temperature]
        if not all(bool(given.isfinite().all()) for given in (means, scales, prior, torch.tensor(knobs))):
            raise InputError("a gaussian system needs finite means, scales, prior, error and temperature")
        if k == 0 or bool((scales <= 0).any()) or bool((prior <= 0).any()) or router_temperature <= 0:
            raise InputError("a gaussian system needs K >= 1 and positive scales, prior and router temperature")
        if expert_error < 0:
            raise InputError(f"the expert error must be at least 0, not {expert_error}")
        self._device = torch.device(device)
        numbers = widest(self._device)
        self.means = means.to(self._device, numbers)
        self.scales = scales.to(self._device, numbers)
        self._prior = prior.double() / prior.double().sum()
        self.expert_error = expert_error
        self.router_temperature = router_temperature
        self.error_directions = directions(k, means[0].numel()).reshape(means.shape).to(self._device, numbers)

    @property
    def name(self) -> str:
        return "gaussian"

    @cached_property
    def mixture(self) -> str:
        """A hash of the mixture itself, whatever the knobs say."""
        return digest(["gaussian", self.means.tolist(), self.scales.tolist(), self._prior.tolist()])

    @property
    def fingerprints(self) -> Mapping[str, str]:
        knobs = digest([self.mixture, self.expert_error, self.router_temperature])
        return {"experts": knobs, "monolith": self.mixture, "metrics": self.measures.fingerprint}

    @property
    def n_experts(self) -> int:
        return len(self.means)

    @property
    def state_shape(self) -> tuple[int, ...]:
        return tuple(self.means.shape[1:])

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def prior(self) -> Tensor:
        return self._prior

    def variance(self, t: Tensor) -> Tensor:
        r""":math:`V_k(t) = (1 - t)^2 s_k^2 + t^2`, shape ``(B, K)``."""
        t = t[:, None]
        return (1 - t) ** 2 * self.scales.to(t.dtype) ** 2 + t**2

    def jacobian_scale(self, t: Tensor) -> Tensor:
        r""":math:`c_k(t) = (t - (1 - t) s_k^2) / V_k`: expert k's Jacobian is :math:`c_k I`. Shape ``(B, K)``."""
        return (t[:, None] - (1 - t[:, None]) * self.scales.to(t.dtype) ** 2) / self.variance(t)

    def _residuals(self, x: Tensor, t: Tensor) -> Tensor:
        alpha = expand_time(1 - t, x)[:, None]
        return x[:, None] - alpha * self.means.to(x.dtype)

    def exact_velocities(self, x: Tensor, t: Tensor) -> Tensor:
        """The exact :math:`u_k(x, t)` of all experts, without the error knob, shape ``(B, K, *state_shape)``."""
        residuals = self._residuals(x, t)
        scale = self.jacobian_scale(t).reshape(*residuals.shape[:2], *(1,) * len(self.state_shape))
        return scale * residuals - self.means.to(x.dtype)

    def posterior_logits(self, x: Tensor, t: Tensor) -> Tensor:
        r"""The exact :math:`\log \pi_k N(x; \alpha \mu_k, V_k I)` up to a constant, shape ``(B, K)``."""
        variance, d = self.variance(t), math.prod(self.state_shape)
        square = self._residuals(x, t).flatten(2).square().sum(dim=2)
        prior = sent(self._prior, x.device, x.dtype)
        return prior.log() - d / 2 * variance.log() - square / (2 * variance)

    def velocity(self, expert: int, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        alpha = expand_time(1 - t, x)
        mean = self.means[expert].to(x.dtype)
        exact = expand_time(self.jacobian_scale(t)[:, expert], x) * (x - alpha * mean) - mean
        if self.expert_error == 0:
            return exact
        elsewhere = 1 - self.posterior_logits(x, t).softmax(dim=1)[:, expert]
        return exact + self.expert_error * expand_time(elsewhere, x) * self.error_directions[expert].to(x.dtype)

    def router_logits(self, x: Tensor, t: Tensor) -> Tensor:
        return self.posterior_logits(x, t) / self.router_temperature

    @property
    def has_monolith(self) -> bool:
        return True

    def monolith_velocity(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The exact marginal velocity: what a perfect model of all the data would predict."""
        weights = self.posterior_logits(x, t).softmax(dim=1)
        return torch.einsum("bk,bk...->b...", weights, self.exact_velocities(x, t))

    def marginal_jacobian(self, x: Tensor, t: Tensor) -> Tensor:
        """The exact Jacobian of the marginal velocity, shape ``(B, d, d)`` for states of d numbers."""
        weights = self.posterior_logits(x, t).softmax(dim=1)
        velocities = self.exact_velocities(x, t).flatten(2)
        scores = -self._residuals(x, t).flatten(2) / self.variance(t)[:, :, None]
        centred = scores - torch.einsum("bk,bkd->bd", weights, scores)[:, None]
        diagonal = (weights * self.jacobian_scale(t)).sum(dim=1)[:, None, None]
        identity = torch.eye(velocities.shape[2], dtype=x.dtype, device=x.device)
        return diagonal * identity + torch.einsum("bk,bki,bkj->bij", weights, velocities, centred)

    def exact_flow(self, expert: int, noise: Tensor, t: Tensor) -> Tensor:
        r"""Where expert ``expert``'s exact flow is at ``t`` if it starts from ``noise`` at ``t = 1``.

        :math:`x(t) = (1 - t) \mu_k + \sqrt{V_k(t)}\, x(1)`, shape of ``noise``.
        """
        spread = expand_time(self.variance(t)[:, expert].sqrt(), noise)
        return expand_time(1 - t, noise) * self.means[expert].to(noise.dtype) + spread * noise

    @property
    def error_levels(self) -> tuple[str, ...]:
        return ("", "error=0.5", "error=1", "error=2", "error=4")

    @property
    def roughnesses(self) -> tuple[float, ...]:
        return (5.0, 50.0)

    def variant(self, name: str) -> ExpertPool:
        """The system with another expert error (`error=2`), or a common variant.

        Raises:
            InputError: if there is no such variant.
        """
        kind, _, value = name.partition("=")
        if kind != "error":
            return super().variant(name)
        try:
            size = float(value)
        except ValueError:
            size = math.nan
        if not 0 <= size < math.inf:
            raise unknown(f"variant of the system {self.name!r}", name, self.error_levels[1:])
        changed = GaussianPool(
            self.means,
            self.scales,
            self._prior,
            expert_error=size,
            router_temperature=self.router_temperature,
            device=self._device,
        )
        changed.noise_scale = self.noise_scale
        return changed

    @property
    def measures(self) -> Measures:
        return GaussianMeasures(self)


@final
class GaussianMeasures(Measures):
    """What measures the mixture: draws from it, and its own formulas, whatever the pool's knobs say."""

    def __init__(self, pool: GaussianPool) -> None:
        """Take the pool that is measured."""
        super().__init__(pool.n_experts)
        self._pool = pool

    @property
    def fingerprint(self) -> str:
        return self._pool.mixture

    def real_states(self, n: int, cluster: int | None = None, *, held_out: bool = True) -> tuple[Tensor, Tensor]:
        pool, n = self._pool, min(n, DATA_SIZE)
        # Separate generators, so that the first states do not depend on how many are asked for.
        split = 0 if held_out else 1
        prior = pool.prior.cpu().numpy()
        drawn = generator(0, Purpose.DATA, split, _CLUSTERS).choice(pool.n_experts, size=n, p=prior)
        clusters = torch.from_numpy(drawn) if cluster is None else torch.full((n,), cluster)
        noise = torch.from_numpy(generator(0, Purpose.DATA, split, _STATES).standard_normal((n, *pool.state_shape)))
        states = pool.means.cpu()[clusters] + expand_time(pool.scales.cpu()[clusters], noise) * noise
        return states.float().to(pool.device), clusters.to(pool.device)

    @property
    def embeddings(self) -> Mapping[str, Embedding]:
        return {"raw": Embedding(_RAW, self._pool.means.flatten(1))}

    @property
    def frechet_features(self) -> Mapping[str, Features]:
        return {"raw": _RAW}

    @property
    def reference(self) -> Reference | None:
        return _Exact(self._pool)

    @property
    def classifier(self) -> Classifier | None:
        pool, every = self._pool, range(self._pool.n_experts)

        def posterior(states: Tensor) -> Tensor:
            return pool.posterior_logits(states, states.new_zeros(len(states))).softmax(dim=1)

        return Classifier("exact posterior", tuple(f"gaussian {k}" for k in every), posterior, tuple(every))


_RAW = Features("raw", lambda states: states.flatten(1))


@final
class _Exact(Reference):
    """The mixture's own marginal velocity and posterior, whatever the knobs say."""

    name = "exact marginal"
    exact = True

    def __init__(self, pool: GaussianPool) -> None:
        self._pool = pool

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        return self._pool.monolith_velocity(x, t, Condition(torch.zeros(len(x), dtype=torch.int64)))

    def posterior(self, x: Tensor, t: Tensor) -> Tensor:
        return self._pool.posterior_logits(x, t).softmax(dim=1)


def spots(k: int = 8, size: int = 8) -> Tensor:
    """Means that can be looked at: one bright spot for each Gaussian on a circle, shape ``(k, 1, size, size)``."""
    angle = 2 * math.pi * torch.arange(k, dtype=torch.float64) / k
    centre = (size - 1) / 2
    row, column = centre - 0.3 * size * angle.cos(), centre + 0.3 * size * angle.sin()
    axis = torch.arange(size, dtype=torch.float64)
    distance = (axis[None, :, None] - row[:, None, None]) ** 2 + (axis[None, None, :] - column[:, None, None]) ** 2
    return torch.exp(-distance / (2 * (0.12 * size) ** 2))[:, None]


def load(device: str = "cpu", *, expert_error: float = 0.0, router_temperature: float = 1.0) -> GaussianPool:
    """The `gaussian` system of the command line: eight spots of unequal weight and width."""
    k = 8
    ramp = torch.linspace(0, 1, k, dtype=torch.float64)
    return GaussianPool(
        spots(k),
        scales=0.08 + 0.08 * ramp,
        prior=1.0 + ramp,
        expert_error=expert_error,
        router_temperature=router_temperature,
        device=device,
    )
