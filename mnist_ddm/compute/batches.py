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
    network: Callable[..., Tensor], *columns: Tensor, multiple: int = MULTIPLE, largest: int = LARGEST
) -> Tensor:
    """A network's result for each row, with the same bits whatever the other rows are.

    Args:
        network: of the columns, row by row.
        columns: states ``(B, ...)``, times ``(B,)`` and whatever else the network takes for each row.
        multiple: of which the batches are.
        largest: rows in a batch at most; a multiple of ``multiple``.

    Returns:
        As the network itself, shape ``(B, ...)``.
    """
    n = len(columns[0])
    if n == 0:
        return network(*columns)
    results = []
    for rows in torch.arange(n, device=columns[0].device).split(largest):
        filled = fill(rows, multiple)
        results.append(network(*(column[filled] for column in columns))[: len(rows)])
    return torch.cat(results)


def fill(rows: Tensor, multiple: int = MULTIPLE) -> Tensor:
    """Repeat rows ``(B, ...)``, B at least 1, until their number is a multiple of ``multiple``."""
    return rows[torch.arange(-(-len(rows) // multiple) * multiple, device=rows.device) % len(rows)]
