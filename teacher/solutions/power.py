"""Power iteration on J^T J."""

from collections.abc import Callable

from torch import Tensor

Product = Callable[[Tensor], Tensor]


def power(jvp: Product, vjp: Product, start: Tensor, iterations: int) -> Tensor:
    v = start / start.norm(dim=1, keepdim=True)
    for _ in range(iterations):
        v = vjp(jvp(v))
        v = v / v.norm(dim=1, keepdim=True)
    return jvp(v).norm(dim=1)
