r"""Which of the details that public sources leave open fit a model: the flow-matching loss of each variant.

The right variant has the lowest mean of :math:`\lVert v - (\varepsilon - x_0) \rVert^2` on real latents, with the
captions they belong to and no guidance. All variants see the same noise and times, so their differences are paired.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from mnist_ddm.core.flow import flow_matching_error, interpolate
from mnist_ddm.core.noise import initial_noise, sample_seeds
from mnist_ddm.stats.intervals import Estimate, mean_estimate
from mnist_ddm.tables.table import Column, Row, Schema, Table
from paris_ddm.config import Activation, Details, NullText, Order, Time
from paris_ddm.pool import ParisPool, ParisSettings

ALTERNATIVES: dict[str, tuple[object, ...]] = {
    "norm_eps": (1e-6, 1e-5),
    "head_norm_eps": (1e-6, 1e-5),
    "time": get_args(Time),
    "head_activation": get_args(Activation),
    "patch_order": get_args(Order),
    "null_text": get_args(NullText),
}
"""Every value of every detail."""
OF_ROUTER = ("head_norm_eps", "head_activation")
"""Details that experts do not have: the router's own loss decides them."""
_TABLE = Schema(
    "paris-check",
    (
        Column("detail", "detail", role="key"),
        Column("value", "value", role="key"),
        Column("loss", "loss"),
        Column("difference_to_best", "difference to the best"),
        Column("verdict", "verdict", role="note"),
    ),
)
assert set(ALTERNATIVES) == {field.name for field in fields(Details)}


@dataclass(frozen=True)
class DetailLoss:
    """How well one value of one detail fits the model.

    Attributes:
        detail: its name.
        value: tried, with all other details as they are.
        loss: mean over latents: of the experts the squared error for each number of a latent, of the router the cross-
            entropy in nats.
        difference: of the loss to that of the best value, with its 95% interval, paired over latents.
        verdict: `best`, `undecided` where the interval of the difference reaches 0, or `worse`.
    """

    detail: str
    value: object
    loss: Estimate
    difference: Estimate
    verdict: str


@torch.no_grad()
def check(
    settings: ParisSettings, n: int = 64, seed: int = 0, report: Callable[[float], None] = lambda fraction: None
) -> list[DetailLoss]:
    """Try every value of every detail, one at a time.

    Args:
        settings: of the model; its details are the middle that one detail at a time leaves.
        n: real latents, each with one noise and one time.
        seed: of the noise.
        report: called with the fraction that is done.

    Raises:
        InputError: if the model has no real latents.
    """
    pool = ParisPool(settings)
    clean, clusters = pool.measures.real_states(n)
    condition = pool.measures.real_condition(n)
    seeds = sample_seeds(seed, len(clean))
    noise = initial_noise(seeds, pool.state_shape).to(clean)
    t = ((torch.arange(len(clean)) + 0.5) / len(clean)).to(clean)  # every time once
    trials = list(_trials(settings))
    losses: dict[tuple[str, object], Tensor] = {}
    for done, (detail, value, chosen) in enumerate(trials):
        tried = ParisPool(replace(settings, details=chosen))
        x = interpolate(clean, noise, t)
        if detail in OF_ROUTER:
            loss = torch.nn.functional.cross_entropy(tried.router_logits(x, t), clusters, reduction="none")
        else:
            asked = replace(condition, captions=()) if detail == "null_text" else condition
            velocity = torch.zeros_like(x)
            for k in clusters.unique().tolist():  # each latent by the expert of its own cluster
                rows = (clusters == k).nonzero()[:, 0]
                velocity[rows] = tried.velocity(k, x[rows], t[rows], asked.select(rows))
            loss = flow_matching_error(velocity, clean, noise)
        losses[detail, value] = loss.cpu().double()
        report((done + 1) / len(trials))
    return [
        judged
        for detail, values in ALTERNATIVES.items()
        for judged in _judged(detail, values, [losses[detail, value] for value in values])
    ]


def detail_table(losses: Sequence[DetailLoss], path: Path, n: int) -> Table:
    """What `check` measured of the model in ``path`` on ``n`` latents, to be read."""
    notes = (
        "loss: squared error of the velocity for each number of a latent; of the router's details "
        f"({', '.join(OF_ROUTER)}) its cross-entropy in nats.",
        "Intervals are paired over latents. undecided: the interval of the difference reaches 0, so both may be right.",
    )
    title = f"Details of {path}, on {n} real latents, each by the expert of its own cluster"
    rows: tuple[Row, ...] = tuple(
        {
            "detail": loss.detail,
            "value": str(loss.value),
            "loss": loss.loss,
            "difference_to_best": loss.difference,
            "verdict": loss.verdict,
        }
        for loss in losses
    )
    return Table(_TABLE, title, rows, notes)


def _trials(settings: ParisSettings) -> Iterator[tuple[str, object, Details]]:
    for detail, values in ALTERNATIVES.items():
        for value in values:
            yield detail, value, replace(settings.details, **{detail: value})  # type: ignore[arg-type]  # Details checks it


def _judged(detail: str, values: Sequence[object], losses: Sequence[Tensor]) -> list[DetailLoss]:
    best = min(range(len(values)), key=lambda i: float(losses[i].mean()))
    judged = []
    for i, (value, loss) in enumerate(zip(values, losses, strict=True)):
        difference = mean_estimate((loss - losses[best]).numpy())
        verdict = "best" if i == best else "undecided" if difference.low <= 0 else "worse"
        judged.append(DetailLoss(detail, value, mean_estimate(loss.numpy()), difference, verdict))
    # A winner that another value may equal is not decided either.
    if any(other.verdict == "undecided" for other in judged):
        judged[best] = replace(judged[best], verdict="undecided (lowest)")
    return judged
