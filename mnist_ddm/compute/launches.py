"""Launches captured once and repeated: what keeps a GPU busy with a small network.

A network of a hundred small kernels takes a GPU less time than it takes the CPU to launch them. A CUDA graph records
the launches of one evaluation and repeats them at once; it is a cache of a pure function, one entry for each shape.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextvars import ContextVar
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
    libraries have working memory for each stream on which they were called.
    """

    def __init__(self, stream: torch.cuda.Stream | None = None) -> None:
        """Start without a pool, which the first capture makes; without a stream captures are made on one of torch's."""
        self._pool: Any = None
        self._stream = stream

    def __call__(self, function: Function, inputs: tuple[Tensor, ...]) -> tuple[Callable[[], None], Tensor]:
        # What libraries set up in their first calls must not be captured; and it must not be in the way of others.
        device = inputs[0].device
        with torch.cuda.device(device):
            side = self._stream or torch.cuda.Stream(device)
            side.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(side):
                for _ in range(_WARM_UPS):
                    function(*inputs)
            torch.cuda.current_stream(device).wait_stream(side)
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                output = function(*inputs)
        return graph.replay, output

    def __getstate__(self) -> dict[str, Any]:
        return {"_pool": None, "_stream": None}


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


def _exact_products(what: str, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Products with a Jacobian are taken in float32, as `linearize` does where nothing is captured."""
    return contextlib.nullcontext() if what == "value" else computing_in("float32", device)


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
        value = self.answer("value", *at)
        # The products are captured here, and not later, inside a derivative and in a thread of its own.
        self._captured("pull", (value, *at))
        self._captured("push", (at[0], *at))
        return cast(Tensor, _Value.apply(self, value, *arguments))

    def answer(self, what: str, *arguments: Tensor) -> Tensor:
        """The `value` of some tensors, or a product there: J^T u, `pull` of u and them, J v, `push` of v and them."""
        inputs, replay, output = self._captured(what, arguments)
        with torch.no_grad():
            for place, argument in zip(inputs, arguments, strict=True):
                place.copy_(argument)
            replay()
            return output.clone()

    def _captured(self, what: str, like: tuple[Tensor, ...]) -> Held:
        key = (what, tuple((tensor.shape, tensor.dtype) for tensor in like))
        if key not in self._known:
            function = {"value": self._function, "pull": self._pull, "push": self._push}[what]
            # What is captured serves everybody, so no mode of whoever asks first has a part in it. To leave the mode of
            # inference turns derivatives on, so that comes first.
            with (
                torch.inference_mode(False),
                torch.no_grad(),
                torch._C.DisableTorchFunction(),
                _exact_products(what, like[0].device),
            ):
                held = tuple(tensor.detach().clone() for tensor in like)
                self._known[key] = (held, *self._capture(function, held))
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
