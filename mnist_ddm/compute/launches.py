"""Launches captured once and repeated: what keeps a GPU busy with a small network.

A network of a hundred small kernels takes a GPU less time than it takes the CPU to launch them. A CUDA graph records
the launches of one evaluation and repeats them at once; it is a cache of a pure function, one entry for each shape.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

Function = Callable[..., Tensor]
Key = tuple[tuple[torch.Size, torch.dtype], ...]


class Capture(ABC):
    """How launches are captured."""

    @abstractmethod
    def __call__(self, function: Function, inputs: tuple[Tensor, ...]) -> tuple[Callable[[], None], Tensor]:
        """Capture a function of tensors that stay where they are.

        Returns:
            What repeats the launches, and the tensor that then holds the function of what ``inputs`` hold.
        """


@final
class CudaGraphs(Capture):
    """CUDA graphs, all of which share one pool of memory, as they never run at once."""

    def __init__(self) -> None:
        """Start without a pool; the first capture makes it."""
        self._pool: Any = None

    def __call__(self, function: Function, inputs: tuple[Tensor, ...]) -> tuple[Callable[[], None], Tensor]:
        # What libraries set up in their first calls must not be captured; and it must not be in the way of others.
        device = inputs[0].device
        with torch.cuda.device(device):
            side = torch.cuda.Stream(device)
            side.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(side):
                for _ in range(_WARM_UPS):
                    function(*inputs)
            torch.cuda.current_stream(device).wait_stream(side)
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                output = function(*inputs)
        return graph.replay, output

    def __getstate__(self) -> dict[str, Any]:
        return {"_pool": None}


_WARM_UPS = 3


@final
class Replayed:
    """A pure function of tensors, captured for each shape in which it is asked without a derivative.

    Where a derivative is wanted the function itself is called. A result is a tensor of its own, which later calls leave
    alone. What was captured stays in its process.
    """

    def __init__(self, function: Function, capture: Capture) -> None:
        """Take the function, whose launches must not depend on what the tensors hold."""
        self._function = function
        self._capture = capture
        self._known: dict[Key, tuple[tuple[Tensor, ...], Callable[[], None], Tensor]] = {}

    def __call__(self, *arguments: Tensor) -> Tensor:
        """The function of some tensors."""
        if torch.is_grad_enabled() and any(argument.requires_grad for argument in arguments):
            return self._function(*arguments)
        key = tuple((argument.shape, argument.dtype) for argument in arguments)
        with torch.no_grad():
            if key not in self._known:
                held = tuple(argument.detach().clone() for argument in arguments)
                self._known[key] = (held, *self._capture(self._function, held))
            inputs, replay, output = self._known[key]
            for place, argument in zip(inputs, arguments, strict=True):
                place.copy_(argument)
            replay()
            return output.clone()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}}
