"""A device that is none: tensors that lie elsewhere, so that what a GPU would refuse can be tested without one.

Inside `Elsewhere`, whatever is moved to `DEVICE` is held in the CPU's memory by a tensor that says to lie there. What
is computed of such tensors is computed on the CPU and lies there too. As on a real device, tensors of both places
cannot meet in one operation, and a look at a value from here is a synchronisation, which is counted. Numbers of 64 bits
are refused if so asked, as Apple's GPUs do. torch's `meta` device lends its name, which every torch knows.
"""

from collections import Counter
from typing import final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")

_LOOKS = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero"}
"""What cannot go on before the device has answered: its result, or the shape of it, is needed here."""
_FROM_ANYWHERE = {"_to_copy", "copy_", "index", "index_put_", "_index_put_impl_", "to"}


@final
class _There(Tensor):
    held: Tensor

    @staticmethod
    def __new__(cls, held):
        there = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        there.held = held
        return there

    def __repr__(self):
        return f"_There({self.held!r})"

    def tolist(self):
        return self.cpu().tolist()  # which torch does by itself, but not for a subclass

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} of a tensor elsewhere, outside the context")


@final
class Elsewhere(TorchDispatchMode):
    """The device.

    Attributes:
        looks: how often each kind of operation waited for the device.
        calls: how many operations ran there.
    """

    def __init__(self, *, float64: bool) -> None:
        super().__init__()
        self.float64 = float64
        self.looks: Counter[str] = Counter()
        self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        leaves = tree_leaves((args, kwargs))
        there = [a for a in leaves if isinstance(a, _There)]
        here = [a for a in leaves if isinstance(a, Tensor) and not isinstance(a, _There)]
        wanted = kwargs.get("device")
        to_there = bool(there) if wanted is None else torch.device(wanted).type == DEVICE.type
        if name == "copy_":
            to_there = isinstance(args[0], _There)
        if there and any(a.ndim > 0 for a in here) and name not in _FROM_ANYWHERE:
            raise RuntimeError(f"{name}: tensors on two devices")
        self.calls += bool(there)
        brought = there and (name in ("_to_copy", "copy_")) and not to_there
        if (there and name in _LOOKS) or brought or (name == "index" and _is_mask(args[1])):
            self.looks["to the CPU" if brought else name] += 1
        # From memory that is not pinned a copy waits, unless it is told not to; so does an index that lies here.
        sent = to_there and not there and name == "_to_copy" and not kwargs.get("non_blocking")
        if sent or (there and name.startswith(("index", "_index")) and any(a.ndim > 0 for a in here)):
            self.looks["from the CPU"] += 1
        if wanted is not None:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        result = func(*_opened(args), **_opened(kwargs))
        known = {id(a.held): a for a in there}

        def closed(value):
            if not isinstance(value, Tensor) or not to_there:
                return value
            if id(value) in known:  # it was changed in place
                return known[id(value)]
            if value.dtype == torch.float64 and not self.float64:
                raise TypeError(f"{name}: this device has no float64")
            return _There(value)

        return result if isinstance(result, Tensor) and name in _LOOKS - {"nonzero"} else tree_map(closed, result)


def _is_mask(indices):
    return any(isinstance(i, _There) and i.dtype == torch.bool for i in indices)


def _opened(values):
    return tree_map(lambda a: a.held if isinstance(a, _There) else a, values)
