"""Samples of any system that can draw itself, as pictures.

Matplotlib is imported where points are drawn alone: images need none, and it takes seconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, final

import torch
from torch import Tensor

from mnist_ddm.core.drawing import Points
from mnist_ddm.core.flow import predicted_clean
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.recording import Recording
from mnist_ddm.figures.pictures import GridNames, save_grid

_STRIP_TIMES: Final = 10
"""Of a strip at the most, beside t = 0."""
_REAL: Final = 500
_TILE: Final = 128
"""Pixels of the picture of one point."""


def save_samples(
    pool: ExpertPool,
    states: Tensor,
    path: Path,
    description: Mapping[str, str],
    columns: int | None = None,
    captions: Sequence[str] = (),
) -> None:
    """Write states ``(B, *state_shape)`` as one PNG: images as a grid, points of the plane as a scatter.

    Args:
        pool: the system, which draws them.
        states: at ``t = 0``.
        path: of the PNG, replaced atomically.
        description: texts kept in the file's header.
        columns: images in a row; by default about square.
        captions: a few words to each image, such as what it was asked to be.

    Raises:
        InputError: if the system cannot draw its samples.
    """
    drawing = pool.draw(states.to(pool.device))
    if isinstance(drawing, Points):
        from mnist_ddm.figures.points import save_scatter

        save_scatter(drawing.places, drawing.axes, real_places(pool), path, description)
    else:
        save_grid(drawing.images, path, description, columns, GridNames(images=captions) if captions else None)


def expert_names(pool: ExpertPool) -> list[str]:
    """What the class is called that each expert has for its own; empty where that is unknown or is a number alone."""
    judge = pool.measures.classifier
    names = {}
    if judge is not None and judge.expert_of_label is not None:
        names = {k: label for label, k in zip(judge.labels, judge.expert_of_label, strict=True)}
    found = (names.get(k, "") for k in range(pool.n_experts))
    return ["" if name.split()[-1:] == [str(k)] else name for k, name in enumerate(found)]


def asked_captions(pool: ExpertPool, seeds: Tensor) -> list[str]:
    """What samples of the routing `label` were asked for: the class that an expert has, or the expert's number."""
    judge = pool.measures.classifier
    names = {k: f"expert {k}" for k in range(pool.n_experts)}
    if judge is not None and judge.expert_of_label is not None:
        names |= {k: label for label, k in zip(judge.labels, judge.expert_of_label, strict=True)}
    return [f"asked: {names[k]}" for k in pool.condition(seeds).cluster.tolist()]


def save_strips(pool: ExpertPool, recording: Recording, path: Path, description: Mapping[str, str]) -> None:
    """Write how samples come about.

    Of images, each sample is two rows over ``t`` from 1 (left) to 0 (right): the state, and the predicted clean image.
    Points of the plane are lines from noise to sample.

    Args:
        pool: the system, which draws the states.
        recording: with the observables `x` and `velocity`.
        path: of the PNG, replaced atomically.
        description: texts kept in the file's header.

    Raises:
        InputError: if the system cannot draw its samples.
    """
    final, observed = recording.final.to(pool.device), recording.observed
    ends = pool.draw(final)
    if isinstance(ends, Points):
        n, visits = observed["x"].shape[:2]
        way = pool.draw(observed["x"].flatten(0, 1).to(pool.device))
        assert isinstance(way, Points)  # of one system
        courses = torch.cat([way.places.reshape(n, visits, 2), ends.places[:, None]], dim=1)
        from mnist_ddm.figures.points import save_courses

        save_courses(courses, ends.axes, real_places(pool), path, description)
        return
    visited = len(recording.times)
    picked = torch.linspace(0, visited - 1, min(visited, _STRIP_TIMES)).round().long()
    canvas, rows = Canvas(pool, ()), []
    for i in range(len(final)):
        x, v = observed["x"][i, picked], observed["velocity"][i, picked]
        clean = predicted_clean(x, v, recording.times[picked].to(x.dtype))
        last = recording.final[i : i + 1]
        rows += [canvas(torch.cat([x, last])), canvas(torch.cat([clean, last]))]
    times = [f"t = {t:.2f}" for t in recording.times[picked].tolist()] + ["t = 0"]
    names = GridNames(columns=times, rows=["state", "prediction"] * len(final))
    save_grid(torch.cat(rows), path, description, len(times), names)


def real_places(pool: ExpertPool) -> Tensor | None:
    """Held-out real states of a system of points, ``(N, 2)``; ``None`` if it has none."""
    if not pool.measures.has_real_states:
        return None
    drawing = pool.draw(pool.measures.real_states(_REAL)[0])
    return drawing.places.cpu() if isinstance(drawing, Points) else None


@final
class Canvas:
    """Makes an image of each state of a system, all in one frame.

    Attributes:
        axes: what the two coordinates of a system of points are called; ``None`` for one of images.
        side: half the side of the frame of points, which is a square around 0.
        real: real points ``(N, 2)``, where there are some.
    """

    def __init__(self, pool: ExpertPool, shown: Iterable[Tensor]) -> None:
        """Choose the frame.

        Args:
            pool: the system.
            shown: states ``(B, *state_shape)`` that the frame of a system of points must hold.

        Raises:
            InputError: if the system cannot draw its samples.
        """
        self._pool = pool
        self.real: Tensor | None = None
        self.side = 1.0
        drawn_as = pool.draw(torch.zeros(1, *pool.state_shape, device=pool.device))
        self.axes = drawn_as.axes if isinstance(drawn_as, Points) else None
        if self.axes is not None:
            self.real = real_places(pool)
            drawn = [pool.draw(states.to(pool.device)) for states in shown]
            places = [drawing.places for drawing in drawn if isinstance(drawing, Points)]
            from mnist_ddm.figures.points import extent

            self.side = extent([*places, *([self.real] if self.real is not None else [])])

    def places(self, states: Tensor) -> Tensor:
        """Where the states ``(B, *state_shape)`` of a system of points lie, ``(B, 2)``, inside the frame."""
        drawing = self._pool.draw(states.to(self._pool.device))
        assert isinstance(drawing, Points)  # only a system of points has axes
        return drawing.places.detach().float().cpu().nan_to_num(0.0).clamp(-self.side, self.side)

    def __call__(self, states: Tensor) -> Tensor:
        """Images ``(B, C, H, W)``, float32 on the CPU, of states ``(B, *state_shape)``."""
        drawing = self._pool.draw(states.to(self._pool.device))
        if isinstance(drawing, Points):
            from mnist_ddm.figures.points import point_tiles

            return point_tiles(drawing.places, self.side, self.real, _TILE)
        return drawing.images.float().cpu()
