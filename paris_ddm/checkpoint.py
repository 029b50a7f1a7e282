"""Reading the networks of a Paris folder strictly and lazily."""

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import check_finite, read_tensors

Network = TypeVar("Network", bound=nn.Module)

OPTIONAL = ("pos_embed",)
"""Parameters that a file may leave out, because they may have been a fixed buffer."""


def load_mapped(network: Network, path: Path, dtype: torch.dtype | None = None) -> Network:
    """Put the tensors of a safetensors file into a network, in evaluation mode, without gradients for the parameters.

    In the dtype of the file the parameters are views of the mapped file: it is read once, to see that all numbers are
    finite, and the system may drop it again. `OPTIONAL` parameters that the file leaves out keep the network's values.

    Args:
        network: of the right shape; on the meta device but for its `OPTIONAL` parameters, it takes no memory.
        path: of the file.
        dtype: convert to this one, which copies; ``None`` for the file's own.

    Raises:
        InputError: if the file is missing or truncated, or a tensor is missing, unknown, of another shape or
            not finite; the message names it.
    """
    expected = {name: tuple(p.shape) for name, p in network.named_parameters()}
    tensors, _ = read_tensors(path)
    if not tensors:
        raise InputError(f"{path} holds no tensor; restore it")
    missing = [name for name in expected if name not in tensors and name not in OPTIONAL]
    unknown = [name for name in tensors if name not in expected]
    for what, names in (("lacks", missing), ("has the unknown", unknown)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise InputError(f"{path} {what} tensor {names[0]!r}{more}; it is not of the architecture in config.json")
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise InputError(f"{path} holds {str(tensor.dtype).removeprefix('torch.')} numbers in {name!r}; restore it")
        if tuple(tensor.shape) != expected[name]:
            raise InputError(
                f"{path} has {name!r} of shape {tuple(tensor.shape)}, but config.json asks for {expected[name]}"
            )
    check_finite(path, tensors)
    kept = {name: p.detach() for name, p in network.named_parameters() if name not in tensors}
    for name, parameter in kept.items():
        kind = dtype or next(iter(tensors.values())).dtype
        tensors[name] = parameter.to(kind)
    converted = {name: tensor if dtype is None else tensor.to(dtype) for name, tensor in tensors.items()}
    network.load_state_dict(converted, strict=True, assign=True)
    return network.eval().requires_grad_(False)
