"""The expert pool: a decentralized diffusion system.

A system is anything that implements `ExpertPool`. Analyses, solvers and the command line see nothing else of it, so
they run unchanged on ten small UNets, on eight diffusion transformers, on points of the plane, or on Gaussians with
closed forms. What only measures its samples is a companion, `Measures`.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from mnist_ddm.core.asked import asked_logits, asked_velocity
from mnist_ddm.core.condition import Condition
from mnist_ddm.core.drawing import Drawing, as_drawing
from mnist_ddm.core.measures import Measures
from mnist_ddm.core.noise import Purpose, categorical, initial_noise, sample_seeds, uniforms
from mnist_ddm.core.shown import facts_html
from mnist_ddm.errors import InputError, unknown
from mnist_ddm.storage.files import digest


class ExpertPool(ABC):
    r"""K isolated experts and a router.

    Abstract is what every system has: a name, K, the shape of a state, velocities and a router. The rest has a default.

    Conventions at this boundary, whatever a system does inside: states have shape ``(B, *state_shape)`` and times
    shape ``(B,)`` in ``[0, 1]`` with ``t = 1`` for noise; experts predict velocity :math:`v = \varepsilon - x_0` in
    the dtype of ``x`` (float32 in normal use). Row ``i`` of a result depends on row ``i`` of the arguments alone.
    """

    noise_scale: float = 1.0
    """The standard deviation of the start states at ``t = 1``; another one than 1 shifts the inputs of all models."""

    provider: str = ""
    """Who made it, if another package did; `load_system` says so, and it is named where the system fails."""

    entry: str = ""
    """The entry point by which `load_system` found it, if another package has it: what loads it again."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the system, as on the command line."""

    @property
    @abstractmethod
    def n_experts(self) -> int:
        """K, the number of experts."""

    @property
    @abstractmethod
    def state_shape(self) -> tuple[int, ...]:
        """The shape of one state, such as ``(C, H, W)`` or ``(2,)``."""

    @abstractmethod
    def velocity(self, expert: int, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The velocity :math:`v_k(x_t, t)` of expert ``expert``, shape of ``x``.

        Row by row: a row must not depend on the others. A network's last bits do; see `evaluate_in_batches`.
        """

    @abstractmethod
    def router_logits(self, x: Tensor, t: Tensor) -> Tensor:
        r"""Unnormalised :math:`\log p_t(k \mid x_t)`, shape ``(B, K)``."""

    def decode(self, x: Tensor) -> Tensor:
        """States at ``t = 0`` as people look at them: images ``(B, C, H, W)`` in ``[0, 1]``; by default as they are."""
        return x

    def draw(self, x: Tensor) -> Drawing:
        """States as people look at them: `Pictures` or `Points`; by default what the shape of `decode` says.

        Raises:
            InputError: if they are neither images nor points of the plane, and the system does not say what they are.
        """
        return as_drawing(self.decode(x), self.name)

    @property
    def description(self) -> str:
        """What exactly this is, in a few words, where the name alone could mislead; every result carries it."""
        return ""

    @property
    def title(self) -> str:
        """What results call it: its name, unless systems of different data go by one name on the command line."""
        return self.entry or self.name

    @property
    def in_paper(self) -> str:
        """The system of the paper whose data these are, `mnist` or `paris`; empty for any other data.

        What the paper states stands beside these results, and decides verdicts, only if it is not empty.
        """
        return ""

    def __repr__(self) -> str:
        """One line: what it is of, how many experts, the shape of a state."""
        return f"<{type(self).__name__} {self.title}: {self.n_experts} experts, states {tuple(self.state_shape)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        facts = {
            "experts": self.n_experts,
            "monolith": "yes" if self.has_monolith else "no",
            "shape of a state": self.state_shape,
            "shares of the clusters": ", ".join(f"{share:.3g}" for share in self.prior.tolist()),
            "device": self.device,
        }
        return facts_html(", ".join(filter(None, (f"system {self.title}", self.description))), facts)

    @property
    def device(self) -> torch.device:
        """Where states must lie."""
        return torch.device("cpu")

    @property
    def prior(self) -> Tensor:
        """The share of the data in each expert's cluster, float64, shape ``(K,)``, sums to 1; equal by default."""
        return torch.full((self.n_experts,), 1 / self.n_experts, dtype=torch.float64)

    def condition(self, seeds: Tensor) -> Condition:
        """What the samples with these seeds ``(B,)`` are asked to be; a pure function of each seed."""
        return Condition(clusters_from_prior(self.prior, seeds).to(self.device))

    @property
    def has_monolith(self) -> bool:
        """Whether one model trained on all data comes with the pool."""
        return False

    def monolith_velocity(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The velocity of the monolithic model, shape of ``x``.

        Raises:
            InputError: if the pool has none.
        """
        raise InputError(f"the system {self.name!r} has no monolithic model")

    @property
    def knows_conditions(self) -> bool:
        """Whether the system can say which clusters a condition belongs to (`condition_posterior`)."""
        return False

    def condition_posterior(self, condition: Condition) -> Tensor:
        r""":math:`p(k \mid c)` of what each sample is asked to be, such as its caption, shape ``(B, K)``.

        Raises:
            InputError: if the system does not know it.
        """
        raise InputError(f"the system {self.name!r} does not know which clusters a condition belongs to")

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """Hashes of everything that decides what the pool computes (weights, data, knobs).

        `experts` covers experts, router and conditions; `monolith`, if there is one, the monolith; `metrics` all that
        only measures. A recording is named by the first or second alone, so a new classifier does not invalidate it.
        By default the first two are hashes of what the models answer to the same few states: give hashes of files
        where there are any, which is quicker, and certain.
        """
        answered = {"experts": self._answers} | ({"monolith": self._monolith_answers} if self.has_monolith else {})
        return {**answered, "metrics": self.measures.fingerprint}

    @cached_property
    def _answers(self) -> str:
        x, t, condition = self._probe
        with torch.no_grad():
            velocities = [asked_velocity(self, k, x, t, condition) for k in range(self.n_experts)]
            answers = [*velocities, asked_logits(self, x, t)]
        told = [self.name, self.prior.tolist(), condition.captions, condition.guidance]
        return digest([*told, *(a.cpu().double().tolist() for a in answers)])

    @cached_property
    def _monolith_answers(self) -> str:
        with torch.no_grad():
            x, t, condition = self._probe
            return digest([self.name, asked_velocity(self, None, x, t, condition).cpu().double().tolist()])

    @property
    def _probe(self) -> tuple[Tensor, Tensor, Condition]:
        """A few states at times from 0.1 to 1, and their condition."""
        seeds = sample_seeds(0, _PROBED)
        x = initial_noise(seeds, self.state_shape).to(self.device)
        return x, torch.linspace(0.1, 1, _PROBED, device=self.device), self.condition(seeds)

    @property
    def sources(self) -> Mapping[str, str]:
        """SHA-256 of each thing that the pool was read from, by name: data, weights; for manifests."""
        return {}

    @property
    def measures(self) -> Measures:
        """What measures the samples: data, metrics, embeddings, classifier, closed forms."""
        return Measures(self.n_experts, self.decode)

    @property
    def shifts(self) -> tuple[str, ...]:
        """Variants whose inputs differ from those that the models were trained on (Tables 11 and 14)."""
        return ("noise=0.8", "noise=1.2")

    @property
    def shared_evaluations(self) -> int:
        """Evaluations of experts that a state takes besides those that a routing asks, for what all of them need."""
        return 0

    @property
    def stress(self) -> str:
        """The variant of the harder regime of Table 14, beside fewer steps; empty if it has no more than those."""
        return ""

    @property
    def error_levels(self) -> tuple[str, ...]:
        """Variants with ever larger errors of the experts away from their own clusters; the first has the least.

        The empty name is the system as it is.
        """
        return ("",)

    @property
    def roughnesses(self) -> tuple[float, ...]:
        """Slopes of ever rougher routers (`@rough=5`) that the map of regimes looks at too; none by default."""
        return ()

    def variant(self, name: str) -> "ExpertPool":
        """The system with something about it changed; `noise=1.2` scales the start states.

        Raises:
            InputError: if there is no such variant.
        """
        kind, _, value = name.partition("=")
        try:
            scale = float(value)
        except ValueError:
            scale = math.nan
        if kind != "noise" or not 0 < scale < math.inf:
            raise unknown(f"variant of the system {self.name!r}", name, self.shifts)
        changed = copy.copy(self)
        changed.noise_scale = scale
        return changed


def clusters_from_prior(prior: Tensor, seeds: Tensor) -> Tensor:
    """A cluster for each sample, drawn from ``prior`` ``(K,)`` by the sample's own seed; int64, shape ``(B,)``."""
    return categorical(prior, uniforms(seeds, Purpose.CLUSTER))


_PROBED = 16
"""A pool that gives no hashes of its own is known by what its models answer to so many states."""
