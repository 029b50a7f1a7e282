"""Convolutions whose derivative is cheap to differentiate again.

The second derivative of torch's convolution computes the gradient of the weights too, asked for or not, which takes as
long as all that `linearize` needs. Written as transposed convolutions, both products with the Jacobian of a convolution
are one convolution each.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, final

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]


@final
class FrozenConvolutions(TorchFunctionMode):
    """Inside this context, two-dimensional convolutions with fixed weights are linear functions of their input.

    Their values are torch's own; weights that require gradients are left alone.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.conv2d:
            value = _frozen(*args, **(kwargs or {}))
            if value is not None:
                return value
        return func(*args, **(kwargs or {}))


def _frozen(
    input: Tensor,  # torch's own name, which callers may spell out
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor | None:
    learned = weight.requires_grad or (bias is not None and bias.requires_grad)
    if learned or isinstance(padding, str) or input.ndim != 4:
        return None
    return cast(Tensor, _Convolution.apply(input, weight, bias, _pair(stride), _pair(padding), _pair(dilation), groups))


def _pair(value: int | Sequence[int]) -> Pair:
    if isinstance(value, int):
        return value, value
    height, width = tuple(value) * (2 if len(value) == 1 else 1)
    return height, width


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.settings = x.shape[2:], stride, padding, dilation, groups
        with torch._C.DisableTorchFunction():
            return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (weight,) = gradients, ctx.saved_tensors
        shape, stride, padding, dilation, groups = ctx.settings
        # The rows and columns that a stride never reached.
        rest = [
            size - ((out - 1) * s - 2 * p + d * (k - 1) + 1)
            for size, out, s, p, d, k in zip(
                shape, gradient.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True
            )
        ]
        pulled = functional.conv_transpose2d(gradient, weight, None, stride, padding, rest, groups, dilation)
        return pulled, *[None] * 6
