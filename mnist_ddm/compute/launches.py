"""Launches captured once and repeated: what keeps a GPU busy with a small network.

A network of a hundred small kernels takes a GPU less time than it takes the CPU to launch them. A CUDA graph records
the launches of one evaluation and repeats them at once; it is a cache of a pure function, one entry for each shape.
"""

import contextlib
import gc
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, cast, final

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mnist_ddm.compute.precision import computing_in

Function = Callable[..., Tensor]
Held = tuple[tuple[Tensor, ...], Callable[[], None], Tensor]
Key = tuple[str, tuple[tuple[torch.Size, torch.dtype], ...]]


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
    """CUDA graphs, all of which share one pool of memory, as they never run at once.

    Graphs that do run at once must be of several of these, each with the stream on which its graphs are repeated:
    libraries have working memory for each stream on which they were called. For the same reason no two of these share
    the stream on which they capture: torch takes a stream's working memory away with a graph that was captured there.
    """

    def __init__(self, stream: torch.cuda.Stream | None = None) -> None:
        """Start without a pool, which the first capture makes; without a stream captures are made on one of its own."""
        self._pool: Any = None
        self._warm = self._capturing = stream

    def __call__(self, function: Function, inputs: tuple[Tensor, ...]) -> tuple[Callable[[], None], Tensor]:
        # What libraries set up in their first calls must not be captured; and it must not be in the way of others.
        device = inputs[0].device
        with torch.cuda.device(device), uncollected():
            if self._warm is None or self._capturing is None:
                self._warm, self._capturing = torch.cuda.Stream(device), torch.cuda.Stream(device)
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            self._warm.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(self._warm):
                for _ in range(_WARM_UPS):
                    function(*inputs)
            torch.cuda.current_stream(device).wait_stream(self._warm)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._capturing):
                output = function(*inputs)
        return graph.replay, output

    def __getstate__(self) -> dict[str, Any]:
        return {"_pool": None, "_warm": None, "_capturing": None}


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Let no garbage be collected inside the block: an older graph that is destroyed spoils one that is captured."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


_WARM_UPS = 3


_products: ContextVar[bool] = ContextVar("products", default=False)


@contextlib.contextmanager
def products_alone() -> Iterator[None]:
    """Say that of what is evaluated inside the block nothing is wanted but products with the Jacobian.

    J^T u is its first derivative, and J v the derivative of J^T u by u. Nobody asks for others, which would be wrong.
    """
    token = _products.set(True)
    try:
        yield
    finally:
        _products.reset(token)


def precision_of(chosen: str) -> str:
    """The precision of what is evaluated here: the chosen one, but float32 inside `products_alone`."""
    return "float32" if _products.get() else chosen


@contextlib.contextmanager
def _for_everybody(what: str, device: torch.device) -> Iterator[None]:
    """Without a mode of whoever asks first; products with a Jacobian, and where they are taken, are in float32."""
    exact = contextlib.nullcontext() if what == "value" else computing_in("float32", device)
    # To leave the mode of inference turns derivatives on, so that comes first.
    with torch.inference_mode(False), torch.no_grad(), torch._C.DisableTorchFunction(), exact:
        yield


@cache
def _say_uncaptured(why: str) -> None:
    """Once for each reason."""
    logging.getLogger(__name__).warning("what could not be captured is launched anew each time: %s", why)


@final
class Replayed:
    """A pure function of tensors, captured for each shape in which it is asked without a derivative.

    Where a derivative is wanted the function itself is called, except inside `products_alone`: there both products with
    the Jacobian by the first tensor are captured too. Each evaluates the function again, so that nothing is kept from
    one call to the next. A result is a tensor of its own, which later calls leave alone. What was captured stays in its
    process.
    """

    def __init__(self, function: Function, capture: Capture) -> None:
        """Take the function, whose launches must not depend on what the tensors hold."""
        self._function = function
        self._capture = capture
        self._known: dict[Key, Held] = {}

    def __call__(self, *arguments: Tensor) -> Tensor:
        """The function of some tensors."""
        wanted = [argument.requires_grad for argument in arguments]
        if not torch.is_grad_enabled() or not any(wanted):
            return self.answer("value", *arguments)
        if not _products.get() or not wanted[0] or any(wanted[1:]):
            return self._function(*arguments)
        at = tuple(argument.detach() for argument in arguments)
        value = self.answer("point", *at)
        # The products are captured here, and not later, inside a derivative and in a thread of its own.
        self._captured("pull", (value, *at))
        self._captured("push", (at[0], *at))
        return cast(Tensor, _Value.apply(self, value, *arguments))

    def answer(self, what: str, *arguments: Tensor) -> Tensor:
        """The `value` of some tensors, also at the `point` of products, or these: `pull`, J^T u, and `push`, J v."""
        inputs, replay, output = self._captured(what, arguments)
        with torch.no_grad():
            for place, argument in zip(inputs, arguments, strict=True):
                place.copy_(argument)
            replay()
            return output.clone()

    def _captured(self, what: str, like: tuple[Tensor, ...]) -> Held:
        key = (what, tuple((tensor.shape, tensor.dtype) for tensor in like))
        if key not in self._known:
            functions = {"value": self._function, "point": self._function, "pull": self._pull, "push": self._push}
            modes, function = partial(_for_everybody, what, like[0].device), functions[what]
            with modes():
                held = tuple(tensor.detach().clone() for tensor in like)
                try:
                    replay, output = self._capture(function, held)
                except RuntimeError as error:
                    _say_uncaptured(str(error).split("\n")[0])
                    replay, output = _called(function, held, modes)
            self._known[key] = held, replay, output
        return self._known[key]

    def _pull(self, u: Tensor, x: Tensor, *rest: Tensor) -> Tensor:
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            (product,) = torch.autograd.grad(self._function(point, *rest), point, u)
        return product

    def _push(self, v: Tensor, x: Tensor, *rest: Tensor) -> Tensor:
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no derivative forwards
            return cast(Tensor, torch.func.jvp(lambda z: self._function(z, *rest), (x,), (v,))[1])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}}


def _called(
    function: Function, inputs: tuple[Tensor, ...], modes: Callable[[], contextlib.AbstractContextManager[None]]
) -> tuple[Callable[[], None], Tensor]:
    """As `Capture` has it, with a function that is called each time."""
    output = function(*inputs).detach().clone()

    def replay() -> None:
        with modes():
            output.copy_(function(*inputs))

    return replay, output


class _Value(torch.autograd.Function):
    """The function's value, whose derivative is a captured product."""

    @staticmethod
    def forward(ctx: Any, replayed: Replayed, value: Tensor, *at: Tensor) -> Tensor:
        ctx.replayed = replayed
        ctx.save_for_backward(*at)
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        at = tuple(tensor.detach() for tensor in ctx.saved_tensors)
        return None, None, _Pulled.apply(ctx.replayed, *gradients, *at), *[None] * (len(at) - 1)


class _Pulled(torch.autograd.Function):
    """J^T u, whose derivative by u is the other product."""

    @staticmethod
    def forward(ctx: Any, replayed: Replayed, u: Tensor, *at: Tensor) -> Tensor:
        ctx.replayed = replayed
        ctx.save_for_backward(*at)
        return replayed.answer("pull", u, *at)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, ctx.replayed.answer("push", *gradients, *ctx.saved_tensors), *[None] * len(ctx.saved_tensors)
