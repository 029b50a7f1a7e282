"""Pools and recordings as a notebook shows them, and recordings as labelled arrays."""

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from torch import Tensor

from mnist_ddm.errors import InputError

if TYPE_CHECKING:
    import xarray

    from mnist_ddm.core.recording import Recording


def facts_html(title: str, facts: Mapping[str, object]) -> str:
    """Names and values as a small table."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items())
    return f"<table><caption>{escape(title)}</caption><tbody>{rows}</tbody></table>"


_AXES = {1: ("coordinate",), 3: ("channel", "row", "column")}
"""What the axes of a state are called, by their number; of other states `state_0`, `state_1`, ..."""
_MANY_EXPERTS, _MANY_NUMBERS = 1009, 1013
"""A number of experts and of a state's numbers whose product tells which of the two an observable keeps."""


def to_xarray(recording: "Recording") -> "xarray.Dataset":
    """A recording as an xarray data set.

    Its dimensions are `sample`, `t` (the visited states) or `tenth` (of observables `NAME@tenths`), `expert`, and those
    of a state: `channel`, `row` and `column` of an image, `coordinate` of a point, else `state_0`, `state_1`, ...
    Whatever else a variable has is its own, `NAME_0`, `NAME_1`, ... Coordinates are the times and the samples' numbers;
    what was visited is in `attrs`.

    Raises:
        InputError: if xarray is not installed.
    """
    try:
        import xarray
    except ImportError:
        raise InputError("labelled arrays need xarray: pip install 'mnist-ddm[xarray]'") from None

    from mnist_ddm.core.observables import (
        observables_named,
    )  # which knows pools, which show themselves here

    state = recording.final.ndim - 1
    of_state = _AXES.get(state, tuple(f"state_{i}" for i in range(state)))

    def named(name: str, value: Tensor, *dims: str) -> tuple[tuple[str, ...], object]:
        further = tuple(f"{name}_{i}" for i in range(value.ndim - len(dims)))
        return (*dims, *further), value.detach().cpu().numpy()

    plain = {name: getattr(recording, name) for name in ("seeds", "cluster", "evaluations")}
    variables = {name: named(name, value, "sample") for name, value in plain.items()}
    variables["final"] = named("final", recording.final, "sample", *of_state)
    coordinates: dict[str, object] = {"sample": range(len(recording.final)), "t": recording.times.numpy()}
    for name, value in recording.observed.items():
        (kept,) = observables_named((name,))
        if kept.tenths:
            coordinates["tenth"] = recording.times_of(name).numpy()
        axes = {
            _MANY_EXPERTS: ("expert",),
            _MANY_NUMBERS: of_state,
            _MANY_EXPERTS * _MANY_NUMBERS: ("expert", *of_state),
        }.get(kept.observable.numbers(_MANY_EXPERTS, _MANY_NUMBERS), ())
        variables[name] = named(name, value, "sample", "tenth" if kept.tenths else "t", *axes)
    said = {k: v if isinstance(v, int | float | str) else str(v) for k, v in recording.visits.identity.items()}
    return xarray.Dataset(variables, coordinates, {**said, "key": recording.key})
