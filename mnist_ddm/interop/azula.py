r"""A routed field as a denoiser of azula, whose samplers and guidance then run on it.

A velocity of the linear path tells the mean of the clean state, :math:`E[x_0 \mid x_t] = x_t - t\,v(x_t, t)`. azula's
time is ours: 1 is noise and 0 is data, with :math:`\alpha_t = 1 - t` and :math:`\sigma_t = t`.

    >>> from azula.sample import DDIMSampler
    >>> from mnist_ddm import load_system, make_field
    >>> from mnist_ddm.interop.azula import as_denoiser, start
    >>> pool = load_system("gaussian")
    >>> noise, samples = start(pool, n=16)
    >>> sampler = DDIMSampler(as_denoiser(make_field(pool, "top2"), samples), steps=50, silent=True)
    >>> states = sampler(noise)

Samplers that divide by :math:`\alpha_t` (Euler's and Heun's there) cannot start at t = 1 exactly: give them
``start=0.999`` or so.
"""

from typing import Any

import torch
from torch import Tensor

from mnist_ddm.core.field import VelocityField
from mnist_ddm.core.flow import expand_time, predicted_clean
from mnist_ddm.core.noise import sample_seeds
from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.core.routing import Samples
from mnist_ddm.core.visits import start as start_of_seeds
from mnist_ddm.errors import InputError

try:
    from azula.denoise import Denoiser, DiracPosterior
    from azula.noise import Schedule
except ImportError:
    raise InputError("denoisers of azula need azula: pip install 'mnist-ddm[azula]'") from None


class LinearSchedule(Schedule):  # type: ignore[misc]  # azula is read as Any
    r"""The linear path itself, :math:`\alpha_t = 1 - t` and :math:`\sigma_t = t`.

    azula's `RectifiedSchedule` stays a little away from 0 at both ends, where some of its samplers divide.
    """

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Scales of signal and noise, each of the shape of ``t``."""
        return 1 - t, t


class FieldDenoiser(Denoiser):  # type: ignore[misc]  # azula is read as Any
    """The mean of the clean state that a field implies, for one set of samples.

    What a routing remembers of a trajectory, and the random numbers that it draws in each interval, belong to samples:
    make a new denoiser for each run of a sampler.
    """

    def __init__(self, field: VelocityField, samples: Samples, intervals: int = 50) -> None:
        """Take what to evaluate, whose states they are, and the intervals in which routings draw anew.

        Raises:
            InputError: if there is not at least one interval.
        """
        super().__init__()
        if intervals < 1:
            raise InputError(f"there must be at least 1 interval, not {intervals}")
        self.field, self.samples, self.intervals = field, samples, intervals
        self.schedule = LinearSchedule()

    @torch.no_grad()
    def forward(self, x_t: Tensor, t: Tensor, **kwargs: Any) -> Any:
        """The posterior's mean at states ``(B, *state_shape)`` and a time of shape ``()`` or ``(B,)``.

        Raises:
            InputError: if there are not as many states as samples, or something else is asked for.
        """
        if kwargs:
            raise InputError(f"a routed field has no {', '.join(kwargs)}; its conditions are those of its samples")
        if len(x_t) != len(self.samples.seeds):
            raise InputError(f"the denoiser is of {len(self.samples.seeds)} samples, not {len(x_t)}")
        times = t.to(x_t).expand(len(x_t)) if t.ndim == 0 else t.to(x_t)
        # A hair beyond the interval's start counts as its start: times are rounded.
        interval = min(self.intervals - 1, int((1 - float(times.max())) * self.intervals + 1e-3))
        there = times.clamp(min=torch.finfo(x_t.dtype).tiny)
        velocity = self.field.evaluate(x_t, there, self.samples, max(interval, 0)).velocity
        mean = torch.where(expand_time(times, x_t) > 0, predicted_clean(x_t, velocity, times), x_t)
        return DiracPosterior(mean=mean)


def as_denoiser(field: VelocityField, samples: Samples, intervals: int = 50) -> FieldDenoiser:
    """A field as a denoiser for some samples; see `FieldDenoiser`.

    Args:
        field: of `make_field`.
        samples: of `start`.
        intervals: N of the step grid, for routings that draw anew in each interval.
    """
    return FieldDenoiser(field, samples, intervals)


def start(pool: ExpertPool, n: int, seed: int = 0) -> tuple[Tensor, Samples]:
    """Start states ``(n, *state_shape)`` at ``t = 1`` and the samples themselves, as `sample` has them."""
    return start_of_seeds(pool, sample_seeds(seed, n))
