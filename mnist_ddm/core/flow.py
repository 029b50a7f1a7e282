r"""The flow: the path from data to noise, its velocity, and the one time convention of this project.

Conventions (Definition 2.1 of the paper; every other module relies on them):

- ``t = 1`` is noise and ``t = 0`` is data, so sampling goes *downward* in ``t``.
- The path is linear, :math:`x_t = (1 - t)\,x_0 + t\,\varepsilon` with :math:`\varepsilon \sim N(0, I)`.
- The velocity is its time derivative, :math:`v = dx_t/dt = \varepsilon - x_0`, and a model is trained to predict
  :math:`E[v \mid x_t]`.
- States have shape ``(B, C, H, W)`` (any trailing shape works), times have shape ``(B,)`` and lie in ``[0, 1]``.

(Section 2.3 of the paper calls the noise :math:`x_0`; its Definition 2.1 and all experiments call it :math:`x_1`.)
"""

import torch
from torch import Tensor


def expand_time(t: Tensor, like: Tensor) -> Tensor:
    """Reshape times ``(B,)`` so that they broadcast against ``like`` ``(B, ...)``."""
    return t.reshape(-1, *(1,) * (like.ndim - 1))


def interpolate(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    r"""The noisy state :math:`x_t = (1 - t) x_0 + t \varepsilon`.

    Args:
        clean: data :math:`x_0`, shape ``(B, ...)``.
        noise: :math:`\varepsilon`, same shape.
        t: times in ``[0, 1]``, shape ``(B,)``.
    """
    t = expand_time(t, clean)
    return (1 - t) * clean + t * noise


def velocity_target(clean: Tensor, noise: Tensor) -> Tensor:
    r"""The regression target :math:`v = \varepsilon - x_0`, which does not depend on ``t``."""
    return noise - clean


def predicted_clean(x: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
    r"""The clean image that a velocity implies, :math:`\hat x_0 = x_t - t\,v`."""
    return x - expand_time(t, x) * velocity


def predicted_noise(x: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
    r"""The noise that a velocity implies, :math:`\hat\varepsilon = x_t + (1 - t)\,v`."""
    return x + (1 - expand_time(t, x)) * velocity


def flow_matching_error(predicted: Tensor, clean: Tensor, noise: Tensor) -> Tensor:
    r"""Squared error of a predicted velocity for each sample, shape ``(B,)``.

    :math:`\frac{1}{d} \lVert v_\theta(x_t, t) - (\varepsilon - x_0) \rVert^2`, the conditional flow-matching loss of
    Lipman et al. (2022). Its minimum over all functions is not 0: the target is noisy given :math:`x_t`.
    """
    return (predicted - velocity_target(clean, noise)).square().flatten(1).mean(dim=1)


def logit_normal(normal: Tensor, mean: float = 0.0, spread: float = 1.0) -> Tensor:
    """Training times in ``(0, 1)``: the logistic sigmoid of ``mean + spread * normal`` (Esser et al. 2024)."""
    return torch.sigmoid(mean + spread * normal)
