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


def to_xarray(recording: "Recording") -> "xarray.Dataset":
    """A recording as an xarray data set.

    Its dimensions are `sample`, `time` (the visited states) or `tenth` (of observables `NAME@tenths`), and for each
    variable further ones of its own, `NAME_0`, `NAME_1`, ... Coordinates are the times and the samples' numbers; what
    was visited is in `attrs`.

    Raises:
        InputError: if xarray is not installed.
    """
    try:
        import xarray
    except ImportError:
        raise InputError("labelled arrays need xarray: pip install 'mnist-ddm[xarray]'") from None

    def own(name: str, value: Tensor, dims: tuple[str, ...]) -> tuple[tuple[str, ...], object]:
        further = tuple(f"{name}_{i}" for i in range(value.ndim - len(dims)))
        return (*dims, *further), value.detach().cpu().numpy()

    plain = {name: getattr(recording, name) for name in ("final", "seeds", "cluster", "evaluations")}
    variables = {name: own(name, value, ("sample",)) for name, value in plain.items()}
    coordinates: dict[str, object] = {"sample": range(len(recording.final)), "time": recording.times.numpy()}
    for name, value in recording.observed.items():
        axis = "time"
        if "@" in name:
            axis = "tenth"
            coordinates[axis] = recording.times_of(name).numpy()
        variables[name] = own(name, value, ("sample", axis))
    said = {k: v if isinstance(v, int | float | str) else str(v) for k, v in recording.visits.identity.items()}
    return xarray.Dataset(variables, coordinates, {**said, "key": recording.key})
