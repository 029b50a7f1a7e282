"""An own system, routing strategy and analysis, in one file: copy it, and put your models in the small networks' place.

States are points of the plane, shape (2,). The data are four petals of a flower; each expert is a network of one
hidden layer that saw one petal, the router saw all of them. They train in seconds when the system is loaded.
"""

import hashlib
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mnist_ddm.analyses.analysis import Analysis, Answer, Need, Sizes
from mnist_ddm.analyses.columns import ROUTING, N
from mnist_ddm.analyses.settings import SamplingSettings
from mnist_ddm.compute.batches import evaluate_in_batches
from mnist_ddm.core.condition import Condition
from mnist_ddm.core.flow import interpolate, velocity_target
from mnist_ddm.core.measures import Measures
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.core.routing import Routing, RoutingContext
from mnist_ddm.core.visits import Visits
from mnist_ddm.errors import InputError
from mnist_ddm.stats.intervals import mean_estimate, share_estimate
from mnist_ddm.stats.shares import in_percent
from mnist_ddm.tables.table import Column, Schema, Table

K = 4
SEED = 0


def petals(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Points of the flower and the petal of each: (n, 2) and (n,)."""
    generator = torch.Generator().manual_seed(seed)
    petal = torch.randint(K, (n,), generator=generator)
    angle = 2 * math.pi * petal / K + 0.35 * torch.randn(n, generator=generator)
    radius = 0.6 + 0.8 * torch.rand(n, generator=generator)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1), petal


class Network(nn.Module):
    """A function of a state and its time."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, outputs))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.layers(torch.cat([x, t[:, None]], dim=1))


def train(
    network: nn.Module, states: Tensor, loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], seed: int
) -> None:
    """Some steps of Adam. `loss` gets x_t, t, rows of the states, and the noise."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(200):
        rows = torch.randint(len(states), (256,), generator=generator)
        noise = torch.randn(256, 2, generator=generator)
        t = torch.rand(256, generator=generator)
        optimizer.zero_grad()
        loss(interpolate(states[rows], noise, t), t, rows, noise).backward()
        optimizer.step()


class PetalsPool(ExpertPool):
    """What the system is and what it computes."""

    name = "petals"
    n_experts = K
    state_shape = (2,)
    has_monolith = True

    def __init__(self) -> None:
        """Train everything; in your system, load your weights here."""
        states, petal = petals(4000, SEED)
        with torch.random.fork_rng():
            torch.manual_seed(SEED)  # initial weights
            self._experts = [Network(2) for _ in range(K)]
            self._router = Network(K)
            self._monolith = Network(2)
        for k, expert in enumerate(self._experts):
            self._train_velocity(expert, states[petal == k], seed=k)  # each expert sees its own petal alone
        self._train_velocity(self._monolith, states, seed=K)

        def router_loss(x: Tensor, t: Tensor, rows: Tensor, noise: Tensor) -> Tensor:
            return nn.functional.cross_entropy(self._router(x, t), petal[rows])

        train(self._router, states, router_loss, seed=K + 1)
        self._prior = petal.bincount(minlength=K).double() / len(petal)

    @staticmethod
    def _train_velocity(network: nn.Module, states: Tensor, seed: int) -> None:
        def loss(x: Tensor, t: Tensor, rows: Tensor, noise: Tensor) -> Tensor:
            return (network(x, t) - velocity_target(states[rows], noise)).square().mean()

        train(network, states, loss, seed)

    # t = 1 is noise, and experts predict velocity = noise - clean. In batches of fixed sizes, so that a sample has the
    # same bits whatever its companions are.

    def velocity(self, expert: int, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return evaluate_in_batches(self._experts[expert], x, t)

    def router_logits(self, x: Tensor, t: Tensor) -> Tensor:
        return evaluate_in_batches(self._router, x, t)

    # What has a default, and is better said

    def monolith_velocity(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return evaluate_in_batches(self._monolith, x, t)

    @property
    def prior(self) -> Tensor:
        return self._prior

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """Whatever changes a result must change a hash: recordings are found by it."""
        return {
            "experts": _hash([*self._experts, self._router]),
            "monolith": _hash([self._monolith]),
            "metrics": self.measures.fingerprint,
        }

    @property
    def measures(self) -> "PetalsMeasures":
        return PetalsMeasures(K)


class PetalsMeasures(Measures):
    """What measures it: data are enough for most analyses. A classifier or a closed form would be said here too."""

    fingerprint = "petals-2"

    def real_states(self, n: int, cluster: int | None = None, *, held_out: bool = True) -> tuple[Tensor, Tensor]:
        states, petal = petals(4000, SEED + 1 if held_out else SEED)
        if cluster is not None:
            states, petal = states[petal == cluster], petal[petal == cluster]
        return states[:n], petal[:n]


def _hash(networks: list[nn.Module]) -> str:
    digest = hashlib.sha256()
    for network in networks:
        for value in network.state_dict().values():
            digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def load(device: str = "cpu") -> PetalsPool:
    """What `--system petals` calls; it may also take `checkpoint` and `data_dir`."""
    if device != "cpu":
        raise InputError(f"petals run on the cpu, not on {device}")
    return PetalsPool()


class Cautious(Routing):
    """Half the router, half equal weights."""

    name = "cautious"
    needs_router = True

    def check(self, n_experts: int) -> None:
        """Fits every pool."""

    def most_experts(self, n_experts: int) -> int:
        return n_experts

    def weights(self, logits: Tensor, context: RoutingContext) -> Tensor:
        return 0.5 * logits.softmax(dim=1) + 0.5 / logits.shape[1]


def make_cautious(argument: str) -> Routing:
    """What `--routing cautious` calls, with the text after the name: "" here."""
    return Cautious()


RADIUS, OUTSIDE = Column("radius", "mean radius"), Column("outside", "outside the petals", unit="%")
REACH = Schema("reach", (ROUTING, N, RADIUS, OUTSIDE))


class Reach(Analysis[SamplingSettings]):
    """How far from the centre the samples of each routing end, and how many where no petal is."""

    id = "reach"
    group = "petals"
    question = "Do the samples of each routing end on the petals?"
    tables = (REACH,)
    compares = True
    sizes = Sizes(SamplingSettings(n=16, steps=4), SamplingSettings(n=100, steps=20), SamplingSettings(n=500, steps=20))

    def needs(self, pool: ExpertPool, settings: SamplingSettings) -> tuple[Need, ...]:
        return tuple(Need(settings.sampling(routing)) for routing in settings.compared(pool, ("top1", "full")))

    def answer(self, pool: ExpertPool, recordings: Mapping[Visits, Recording], settings: SamplingSettings) -> Answer:
        rows = []
        for routing in settings.compared(pool, ("top1", "full")):
            radius = recordings[settings.sampling(routing)].final.flatten(1).norm(dim=1).double().numpy()
            outside = share_estimate((radius < 0.6) | (radius > 1.4))
            rows.append({"routing": routing, "n": len(radius), "radius": mean_estimate(radius),
                         "outside": in_percent(outside)})  # fmt: skip
        return Answer((Table(REACH, self.question, tuple(rows)),))
