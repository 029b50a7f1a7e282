"""How networks are evaluated on a device: in which batches, in which precision, captured or not."""

from typing import Any, final

import torch
from torch import Tensor, nn

from mnist_ddm.compute.batches import MULTIPLE, evaluate_in_batches, evaluate_in_powers
from mnist_ddm.compute.launches import Capture, CudaGraphs, Replayed, precision_of
from mnist_ddm.compute.precision import check_precision, computing_in
from mnist_ddm.errors import InputError


@final
class Runner:
    """Evaluates networks row by row on one device.

    On the CPU a row has the same bits whatever its companions are. On other devices batches are larger and of few
    sizes; on NVIDIA's, launches are captured.
    """

    def __init__(self, device: torch.device, precision: str = "float32", capture: Capture | None = None) -> None:
        """Take the device.

        Args:
            device: where networks and states lie.
            precision: one of `PRECISIONS`.
            capture: how launches are captured; by default CUDA graphs where there is CUDA, and else they are not.

        Raises:
            InputError: if there is no such precision, or this device has not.
        """
        self.precision = check_precision(precision)
        if precision == "tf32" and device.type != "cuda":
            raise InputError("the precision tf32 is one of NVIDIA's GPUs; choose --device cuda, or another precision")
        self._device = device
        self._capture = capture or (CudaGraphs() if device.type == "cuda" else None)
        self._captured: dict[nn.Module, Replayed] = {}

    def __call__(self, network: nn.Module, *columns: Tensor, multiple: int = MULTIPLE) -> Tensor:
        """What a network answers to each row, in the dtype of the first column.

        Args:
            network: in evaluation mode, with weights that do not change.
            columns: states ``(B, ...)``, times ``(B,)``.
            multiple: of which batches on the CPU are.
        """
        with computing_in(precision_of(self.precision), self._device):
            if self._device.type == "cpu" and self._capture is None:
                answer = evaluate_in_batches(network, *columns, multiple=multiple)
            else:
                answer = evaluate_in_powers(self._launched(network), *columns)
        return answer.to(columns[0].dtype)

    def _launched(self, network: nn.Module) -> Any:
        if self._capture is None:
            return network
        if network not in self._captured:
            self._captured[network] = Replayed(network, self._capture)
        return self._captured[network]
