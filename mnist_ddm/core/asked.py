"""What a system answers, looked at where it comes in: a tensor of the right shape and dtype, or a line that names it.

Everything after this relies on it. Whether the numbers are finite is looked at once an evaluation (`first_bad_row`).
"""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from torch import Tensor

from mnist_ddm.core.condition import Condition
from mnist_ddm.errors import InputError, blamed

if TYPE_CHECKING:
    from mnist_ddm.core.pool import ExpertPool


def asked_velocity(pool: "ExpertPool", expert: int | None, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
    """The velocity of an expert, or of the monolith (``None``), with the shape and dtype of ``x``.

    Raises:
        InputError: if that is not what the system gives, or if the system of another package fails.
    """
    with _blamed(pool):
        if expert is None:
            v: object = pool.monolith_velocity(x, t, condition)
        else:
            v = pool.velocity(expert, x, t, condition)
    if isinstance(v, Tensor) and v.shape == x.shape and v.dtype == x.dtype:
        return v
    who = "the monolith" if expert is None else f"expert {expert}"
    raise InputError(f"{who} of the system {pool.name!r} gives {_told(v)}, where its states are {_told(x)}")


def asked_logits(pool: "ExpertPool", x: Tensor, t: Tensor) -> Tensor:
    """The router's logits, shape ``(B, K)``.

    Raises:
        InputError: as `asked_velocity`.
    """
    with _blamed(pool):
        logits: object = pool.router_logits(x, t)
    shape = (len(x), pool.n_experts)
    if isinstance(logits, Tensor) and logits.shape == shape and logits.is_floating_point():
        return logits
    wanted = f"logits of {pool.n_experts} experts for {len(x)} states are {shape} of floats"
    raise InputError(f"the router of the system {pool.name!r} gives {_told(logits)}, where {wanted}")


def _blamed(pool: "ExpertPool") -> AbstractContextManager[None]:
    """A system of another package is named if it fails; a defect of ours, or of a script, is shown as it is."""
    return blamed(pool.provider) if pool.provider else nullcontext()


def _told(value: object) -> str:
    if not isinstance(value, Tensor):
        return f"no tensor but {type(value).__name__}"
    return f"{tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
