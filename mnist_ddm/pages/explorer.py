"""The explorer: one self-contained page on which a person can watch routing happen."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import getdoc
from typing import Any

import torch
from torch import Tensor

from mnist_ddm.core.field import MONOLITH
from mnist_ddm.core.flow import predicted_clean
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.routing import parse_routing
from mnist_ddm.core.visits import Sampling
from mnist_ddm.errors import InputError
from mnist_ddm.figures.palette import Style, expert_style, routing_label, series_styles
from mnist_ddm.figures.samples import Canvas, expert_names
from mnist_ddm.pages.courses import Trajectory
from mnist_ddm.pages.page import render_page
from mnist_ddm.pages.sprites import make_sprite, tile_size
from mnist_ddm.versions import versions

MOST_PIXELS = 12_000_000
"""Pixels of all pictures together; about what keeps a page at a few megabytes."""
_MOST_FRAMES = 51
_FEWEST_FRAMES = 11
_LARGEST_RESULT = 256
_MOST_REAL = 300

_EXPLAINED = {
    "top1": "the most probable expert alone",
    "top2": "the two most probable experts, by their probabilities",
    "full": "all experts, by their probabilities",
    MONOLITH: "one model trained on all data, without any routing",
}


@dataclass(frozen=True)
class Frames:
    """Which visited states a page shows.

    Attributes:
        visits: their numbers, ascending; the last is T, the result at ``t = 0``.
    """

    visits: tuple[int, ...]

    @property
    def evaluated(self) -> list[int]:
        """For each frame the visit whose evaluation it shows: at ``t = 0`` that of the last step."""
        return [min(i, self.visits[-1] - 1) for i in self.visits]


@torch.no_grad()
def choose_frames(pool: ExpertPool, samplings: Sequence[Sampling]) -> Frames:
    """As many states as fit on a page of some megabytes, at about even distances.

    Raises:
        InputError: if even a few would make the page too large, or the system cannot draw its samples.
    """
    courses, states = sum(s.n for s in samplings), samplings[0].grid.size + 1
    image = Canvas(pool, ())(torch.zeros(1, *pool.state_shape))
    height, width = tile_size(image.shape[2], image.shape[3])
    room = MOST_PIXELS // (height * width * (pool.n_experts + 2) * courses)
    if room < min(_FEWEST_FRAMES, states):
        raise InputError(f"{courses} trajectories are too many for one page; choose a smaller --n or fewer routings")
    picked = torch.linspace(0, states - 1, min(room, states, _MOST_FRAMES), dtype=torch.float64).round()
    return Frames(tuple(picked.long().tolist()))


@torch.no_grad()
def explorer_page(
    pool: ExpertPool,
    trajectories: Sequence[Trajectory],
    frames: Frames,
    command: str,
    on_next: Callable[[int], None] = lambda done: None,
) -> str:
    """The text of the page.

    Args:
        pool: the system.
        trajectories: of strategies from the same noise; the first is shown first.
        frames: which states to show.
        command: that made the page, for its foot.
        on_next: called before each sample with the number of those that are drawn.
    """
    first = trajectories[0]
    canvas = Canvas(pool, [states for t in trajectories for states in (t.x.flatten(0, 1), t.final)])
    samples = len(first.final)
    styles = series_styles([t.sampling.routing for t in trajectories])
    strategies = [_strategy(t.sampling.routing, style) for t, style in zip(trajectories, styles, strict=True)]
    experts = [expert_style(k) for k in range(pool.n_experts)]
    examples, names = _examples(pool, canvas), expert_names(pool)
    noun = "image" if canvas.axes is None else "point"
    plane, drawn = _plane(canvas), []
    for i in range(samples):
        on_next(i)
        drawn.append([_course(canvas, pool.n_experts, t, i, frames) for t in trajectories])
    data = {
        "times": [(*first.times.tolist(), 0.0)[i] for i in frames.visits],
        "evaluatedAt": [first.times[i].item() for i in frames.evaluated],
        "strategies": strategies,
        "experts": [_drawn(style) for style in experts],
        "names": names,
        "captions": list(first.condition.captions),
        "examples": examples,
        "plane": plane,
        "samples": drawn,
    }
    values = {
        "title": f"Routing explorer: {pool.title}",
        "description": f"How a router joins the {pool.n_experts} experts of the system {pool.title}, step by step.",
        "system": pool.title,
        "sampling": first.sampling,
        "samples": samples,
        "frames": len(frames.visits),
        "strategies": [s | {"style": style} for s, style in zip(strategies, styles, strict=True)],
        "experts": experts,
        "names": names,
        "noun": noun,
        "a_noun": f"{'an' if noun == 'image' else 'a'} {noun}",
        "captions": first.condition.captions,
        "has_examples": examples is not None,
        "plane": plane is not None,
        "command": command,
        "versions": versions(),
    }
    scripts = ("predict.js", "explorer-charts.js", "explorer-plane.js", "explorer.js")
    return render_page("explorer.html", values, styles=("explorer.css",), scripts=scripts, data={"explorer": data})


def _strategy(routing: str, style: Style) -> dict[str, Any]:
    words = {"name": routing, "label": routing_label(routing), "explained": explained(routing)}
    return words | _drawn(style) | {"routes": routing != MONOLITH}


def _drawn(style: Style) -> dict[str, str]:
    return {"colour": style.css, "mark": style.mark.path}


def _course(canvas: Canvas, n_experts: int, trajectory: Trajectory, i: int, frames: Frames) -> dict[str, Any]:
    """What the page needs of one sample's trajectory: one sprite with a row for each frame, and the numbers."""
    shown = list(_shown(trajectory, i, frames))
    sprite = make_sprite(torch.cat([canvas(states) for states in shown]), columns=n_experts + 2)
    result = make_sprite(canvas(trajectory.final[i : i + 1]), columns=1, largest=_LARGEST_RESULT)
    at = frames.evaluated
    return {
        "sprite": vars(sprite),
        "result": vars(result),
        "probabilities": _numbers(trajectory.probabilities[i, at]),
        "weights": {name: _numbers(weights[i, at]) for name, weights in trajectory.weights.items()},
        "angles": _numbers(trajectory.angles[i, at]),
        "disagreement": _numbers(trajectory.disagreement[i, at]),
        "disagreementSoFar": _numbers(trajectory.disagreement_so_far()[i, list(frames.visits)]),
        "evaluations": int(trajectory.evaluations[i]),
        **({"places": [_numbers(canvas.places(states[:2])) for states in shown]} if canvas.axes else {}),
    }


def _plane(canvas: Canvas) -> dict[str, Any] | None:
    """The frame in which points are drawn; ``None`` for images."""
    if canvas.axes is None:
        return None
    real = [] if canvas.real is None else _numbers(canvas.real[:_MOST_REAL])
    return {"side": canvas.side, "axes": canvas.axes, "real": real}


def _shown(trajectory: Trajectory, i: int, frames: Frames) -> Iterator[Tensor]:
    """For each frame: the state, the clean image that the routed velocity predicts, and those of the experts."""
    for visit, evaluated in zip(frames.visits, frames.evaluated, strict=True):
        x, t = trajectory.x[i, evaluated], trajectory.times[evaluated].to(trajectory.x.dtype)
        velocities = torch.cat([trajectory.velocity[i, evaluated][None], trajectory.experts[i, evaluated]])
        clean = predicted_clean(x.expand_as(velocities), velocities, t.expand(len(velocities)))
        if visit == frames.visits[-1]:
            x = clean[0] = trajectory.final[i]
        yield torch.cat([x[None], clean])


def _examples(pool: ExpertPool, canvas: Canvas) -> dict[str, Any] | None:
    """One training image of each expert side by side, where the system has them."""
    try:
        states = [pool.measures.real_states(1, k, held_out=False)[0] for k in range(pool.n_experts)]
    except InputError:
        return None
    if any(len(state) == 0 for state in states):
        return None
    return vars(make_sprite(torch.cat([canvas(state) for state in states]), columns=pool.n_experts))


def _numbers(values: Tensor) -> Any:
    """Nested lists with four significant digits: more would not be seen."""

    def rounded(value: Any) -> Any:
        return [rounded(v) for v in value] if isinstance(value, list) else float(f"{value:.4g}")

    return rounded(values.double().tolist())


def explained(routing: str) -> str:
    """A strategy in a few words: its own docstring's first words, where there are no better ones."""
    if routing in _EXPLAINED:
        return _EXPLAINED[routing]
    strategy = parse_routing(routing)
    text = re.split(r":math:|[.:;(`]", (getdoc(type(strategy)) or routing).split("\n\n")[0].replace("\n", " "))[0]
    text = text.strip().rstrip(",")
    if isinstance(k := getattr(strategy, "k", None), int):
        text = re.sub(r"\bk\b", str(k), text)
    return text[:1].lower() + text[1:]
