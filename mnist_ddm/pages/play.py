"""A decentralized diffusion model that one can touch: one self-contained page, in two dimensions and in closed form."""

from typing import Any, Final

import torch

from mnist_ddm.figures.palette import expert_style, routing_label, routing_style
from mnist_ddm.pages.page import render_page
from mnist_ddm.systems.gaussian import GaussianPool

MOST_CLUSTERS: Final = 6
STRATEGIES: Final = {
    "top1": "the most probable expert at every step",
    "top2": "the two most probable ones, by their probabilities",
    "full": "all experts, weighted by the router",
    "gumbel": "the most probable one after luck that a sample keeps on its way",
    "once": "one expert, drawn from the router at t = 1 and kept",
    "exact": "the flow of the mixture itself, in fine steps: what a perfect model would do",
}
"""What the page compares from the same noise."""


def play_page() -> str:
    """The page as HTML; it does not depend on anything measured."""
    strategies = [
        {"name": name, "label": routing_label(name), "said": said, "style": routing_style(_alike(name))}
        for name, said in STRATEGIES.items()
    ]
    values: dict[str, Any] = {
        "title": "A decentralized diffusion model to play with",
        "description": "Drag clusters, and watch how routing joins experts that never met.",
        "strategies": strategies,
        "experts": [expert_style(k) for k in range(MOST_CLUSTERS)],
    }
    data = {"directions": directions(), "strategies": [{"name": s["name"], "label": s["label"]} for s in strategies]}
    return render_page(
        "play.html",
        values,
        styles=("play.css",),
        scripts=("play-model.js", "predict.js", "play.js"),
        data={"play": data},
    )


def directions() -> list[list[float]]:
    """Where each expert errs away from its own data: the directions of the `gaussian` system in two dimensions."""
    ones = torch.ones(MOST_CLUSTERS, dtype=torch.float64)
    pool = GaussianPool(torch.zeros(MOST_CLUSTERS, 2), scales=ones, prior=ones)
    found: list[list[float]] = pool.error_directions.tolist()
    return found


def _alike(name: str) -> str:
    """The routing whose colour a strategy of the page has."""
    return {"exact": "posterior"}.get(name, name)
