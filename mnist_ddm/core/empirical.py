r"""The closed-form velocity and posterior of a finite data set.

For data that are the points :math:`y_1, \dots, y_N` with equal weight, with :math:`\alpha = 1 - t`,

.. math:: \omega_i \propto \exp\left(-\frac{\lVert x - \alpha y_i \rVert^2}{2 t^2}\right), \quad
    v(x, t) = \frac{1}{t} \left(x - \sum_i \omega_i y_i\right), \quad p_t(k \mid x) = \sum_{i \in k} \omega_i.

As :math:`t \to 0` it memorises: the nearest training point takes all the weight. So it is a reference, not the truth.
"""

from collections.abc import Callable, Iterator
from typing import Any, final

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mnist_ddm.compute.devices import widened
from mnist_ddm.core.measures import Reference

_CHUNK = 10_000
"""So many data points are turned into float64 states at a time, which limits memory."""
_ROWS = 125
"""So many states are compared with all data points at a time, which limits memory."""
_NEGLIGIBLE = 1e-20
"""A data point of at most this weight is left out: even 60,000 of them together are lost in the rounding of float64."""


@final
class EmpiricalReference(Reference):
    """The formulas in the module's docstring, in float64, for ``0 < t <= 1``."""

    name = "empirical distribution of the training data"
    exact = False

    def __init__(
        self, data: Tensor, clusters: Tensor, n_clusters: int, to_state: Callable[[Tensor], Tensor] = Tensor.double
    ) -> None:
        """Take the data set.

        Args:
            data: the points, stored as they come, shape ``(N, ...)``.
            clusters: the cluster of each, shape ``(N,)``.
            n_clusters: K.
            to_state: from stored points to states; applied piece by piece, so that a data set of bytes stays small.
        """
        self._data = data
        self._clusters = clusters
        self._n_clusters = n_clusters
        self._to_state = to_state
        self._there: dict[torch.device, Tensor] = {}
        self._squares: Tensor | None = None

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        flat, time = widened(x.detach()).flatten(1), widened(t)
        data, means = self._data_on(flat.device), []
        for states, times in zip(flat.split(_ROWS), time.split(_ROWS), strict=True):
            omega = self._weights(states, times)
            # Most points are too far from every state of the batch to matter in float64.
            near = (omega > _NEGLIGIBLE).any(dim=0).nonzero()[:, 0]
            means.append(omega[:, near] @ self._to_state(data[near]).double().flatten(1))
        return ((flat - torch.cat(means)) / time[:, None]).reshape(x.shape).to(x)

    def posterior(self, x: Tensor, t: Tensor) -> Tensor:
        flat, time = widened(x.detach()).flatten(1), widened(t)
        member = one_hot(self._clusters, self._n_clusters).to(flat.device).double()
        parts = zip(flat.split(_ROWS), time.split(_ROWS), strict=True)
        return torch.cat([self._weights(states, times) @ member for states, times in parts]).to(x)

    def _data_on(self, device: torch.device) -> Tensor:
        """The data set where states are compared with it; on a GPU once for all."""
        if device not in self._there:
            self._there = {device: self._data.to(device)}
        return self._there[device]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_there": {}, "_squares": None}

    def _chunks(self, device: torch.device) -> Iterator[Tensor]:
        return (self._to_state(chunk).double().flatten(1) for chunk in self._data_on(device).split(_CHUNK))

    def _weights(self, x: Tensor, t: Tensor) -> Tensor:
        """The weight of every point for each state, shape ``(B, N)``."""
        alpha, t = 1 - t[:, None], t[:, None]
        products = torch.cat([x @ y.T for y in self._chunks(x.device)], dim=1)
        return ((alpha * products - alpha**2 * self._squares_on(x.device) / 2) / t**2).softmax(dim=1)

    def _squares_on(self, device: torch.device) -> Tensor:
        """The squared length of every point, which no state changes, shape ``(N,)``."""
        if self._squares is None or self._squares.device != device:
            self._squares = torch.cat([y.square().sum(dim=1) for y in self._chunks(device)])
        return self._squares
