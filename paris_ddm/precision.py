"""Arithmetic of networks whose weights are stored in bfloat16.

Most processors have no bfloat16 products, and imitating them takes many times as long as float32. So on a CPU a layer's
weights are widened when the layer is used: the files stay mapped as they are, and the states keep float32.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from paris_ddm.dit import ExpertDiT, KeysValues, RouterDiT

_LAYERS = (functional.linear, functional.layer_norm, torch.conv2d)


@final
class WideLayers(TorchFunctionMode):
    """Inside this context, layers with bfloat16 weights compute in float32, one layer's weights at a time."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func in _LAYERS:
            args, named = [_wide(value) for value in args], {name: _wide(value) for name, value in named.items()}
        return func(*args, **named)


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value


def evaluate(network: ExpertDiT | RouterDiT, x: Tensor, t: Tensor, *text: list[KeysValues]) -> Tensor:
    """A network's result for latents ``(B, C, S, S)`` and times ``(B,)``, in the dtype of the latents."""
    dtype = network.patch_embed.weight.dtype
    if _widens(network):
        with WideLayers():
            wide: Tensor = network(x.float(), t, *text)
            return wide.to(x.dtype)
    output: Tensor = network(x.to(dtype), t, *text)
    return output.to(x.dtype)


def read(network: ExpertDiT, text: Tensor) -> list[KeysValues]:
    """What every layer of an expert needs of a text ``(B, L, text_embed_dim)``."""
    if _widens(network):
        with WideLayers():
            return network.text(text.float())
    return network.text(text.to(network.patch_embed.weight))


def _widens(network: ExpertDiT | RouterDiT) -> bool:
    weight = network.patch_embed.weight
    return weight.dtype == torch.bfloat16 and weight.device.type == "cpu"
