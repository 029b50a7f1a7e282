"""Batches of sizes for which the kernels of networks round every row alike.

A matrix product with few rows, or with a number of rows that does not fill the vector registers, runs another kernel
than one with many, and rounds differently. A sample must not depend on how many companions it has, so a pool of
networks evaluates them through `evaluate_in_batches`; a pool of closed forms needs no such care.
"""

from collections.abc import Callable

import torch
from torch import Tensor

MULTIPLE = 16
"""Batches are filled up to a multiple of this, the single-precision numbers in the widest vector register.

Networks whose products have many rows for each sample, as convolutions and attention have, round alike from half of it.
"""

LARGEST = 128
"""Larger batches are divided: above it kernels may divide a product differently."""


def evaluate_in_batches(
    network: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor, multiple: int = MULTIPLE
) -> Tensor:
    """A network's result for each row, with the same bits whatever the other rows are.

    Args:
        network: of states and times, row by row.
        x: states, shape ``(B, ...)``.
        t: times, shape ``(B,)``.
        multiple: of which the batches are.

    Returns:
        As the network itself, shape ``(B, ...)``.
    """
    if len(x) == 0:
        return network(x, t)
    found = []
    for rows in torch.arange(len(x), device=x.device).split(LARGEST):
        filled = rows[torch.arange(-(-len(rows) // multiple) * multiple, device=x.device) % len(rows)]
        found.append(network(x[filled], t[filled])[: len(rows)])
    return torch.cat(found)
