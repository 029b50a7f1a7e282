r"""The exact velocity of Gaussian data, which a UNet starts from.

The expert's own training states are described by probabilistic principal components (Tipping and Bishop 1999),
:math:`x_0 \sim N(\mu, U \Lambda U^T + s^2 (I - U U^T))` with :math:`r` components. For such data the velocity is linear
in the state. With :math:`\alpha = 1 - t`, :math:`V_i = \alpha^2 \lambda_i + t^2`,
:math:`c_i = (t - \alpha \lambda_i) / V_i` and the same with :math:`s^2` for the remaining directions,

.. math:: v_{lin}(x, t) = -\mu + c_s r + U (c - c_s) U^T r, \qquad r = x - \alpha \mu,

and what is left of the target has variance :math:`\lambda_i / V_i` along each direction.
"""

from typing import final

import torch
from torch import Tensor, nn

SMALLEST_VARIANCE = 1e-5
"""About the rounding of 8-bit grey levels in ``[-1, 1]``; keeps the formulas finite at ``t = 0``."""


@final
class GaussianVelocity(nn.Module):
    """The formula in the module's docstring for states of ``size`` numbers; nothing in it is trained."""

    mean: Tensor
    basis: Tensor
    variances: Tensor
    rest: Tensor

    def __init__(self, size: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("basis", torch.eye(size)[:, :components].clone())
        self.register_buffer("variances", torch.ones(components))
        self.register_buffer("rest", torch.ones(()))

    def fit(self, states: Tensor) -> None:
        """Take mean and components from training states ``(N, size)``."""
        states = states.double()
        mean = states.mean(dim=0)
        centred = states - mean
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(states))
        components = self.basis.shape[1]
        self.mean.copy_(mean)
        self.basis.copy_(vectors[:, len(values) - components :])
        self.variances.copy_(values[len(values) - components :].clamp(min=SMALLEST_VARIANCE))
        left = values[: len(values) - components]
        self.rest.fill_(max(float(left.mean()) if len(left) else 0.0, SMALLEST_VARIANCE))

    def forward(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The linear velocity and two scales.

        Args:
            x: states ``(B, size)``.
            t: times ``(B,)``.

        Returns:
            The velocity ``(B, size)``, the standard deviation of a state's numbers ``(B, 1)``, and that of what the
            linear velocity leaves unexplained ``(B, 1)``.
        """
        t = t[:, None]
        alpha = 1 - t
        residual = x - alpha * self.mean
        inside, outside = alpha**2 * self.variances + t**2, alpha**2 * self.rest + t**2
        c_inside, c_outside = (t - alpha * self.variances) / inside, (t - alpha * self.rest) / outside
        velocity = c_outside * residual + ((c_inside - c_outside) * (residual @ self.basis)) @ self.basis.T - self.mean
        size, others = len(self.mean), len(self.mean) - len(self.variances)
        state_variance = (inside.sum(dim=1, keepdim=True) + others * outside) / size
        left = ((self.variances / inside).sum(dim=1, keepdim=True) + others * self.rest / outside) / size
        return velocity, state_variance.sqrt(), left.sqrt()
