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

LARGEST_OF_GPU = 2048
"""On a GPU larger batches bring nothing more: an H100 computes at its rate from about this size."""


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


def evaluate_in_powers(network: Callable[..., Tensor], *columns: Tensor, largest: int = LARGEST_OF_GPU) -> Tensor:
    """A network's result for each row, in batches of few sizes and as large as a GPU likes them.

    Each is filled up to a power of two, so that launches are captured for a dozen shapes. Kernels are chosen by shape:
    a row's last bits may depend on how many companions it has, and on nothing else of them.

    Args:
        network: of the columns, row by row.
        columns: as in `evaluate_in_batches`.
        largest: rows in a batch at most; a power of two.
    """
    n = len(columns[0])
    if n == 0:
        return network(*columns)
    results = []
    for first in range(0, n, largest):
        size = min(largest, n - first)
        power = max(MULTIPLE, 1 << (size - 1).bit_length())
        parts = (column[first : first + size] for column in columns)
        filled = (torch.cat([part, part[:1].expand(power - size, *part.shape[1:])]) for part in parts)
        results.append(network(*filled)[:size])
    return torch.cat(results)


def fill(rows: Tensor, multiple: int = MULTIPLE) -> Tensor:
    """Repeat rows ``(B, ...)``, B at least 1, until their number is a multiple of ``multiple``."""
    return rows[torch.arange(-(-len(rows) // multiple) * multiple, device=rows.device) % len(rows)]
