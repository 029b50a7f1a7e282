"""A pipeline of `diffusers` as one expert of a pool: what it predicts, turned into a velocity of the straight path.

A DDPM pipeline knows states sqrt(a) x_0 + sqrt(1 - a) eps at whole steps, and predicts eps. Here a state is
(1 - t) x_0 + t eps. Divided by c = sqrt((1 - t)^2 + t^2) it is one of the pipeline's, at the step whose
sqrt((1 - a) / a) is nearest to t / (1 - t); and the velocity is eps - x_0 with x_0 = (x_t - t eps) / (1 - t).
"""

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from torch import Tensor, nn

from mnist_ddm import SimplePool

LAST = 0.98
"""Nearer to noise x_0 cannot be told from eps; the prediction of x_0 is that of this time."""


class PipelineExpert(nn.Module):
    """The velocity of a pipeline that predicts noise, for states of its own size in [-1, 1]."""

    def __init__(self, pipeline: DDPMPipeline) -> None:
        super().__init__()
        if pipeline.scheduler.config.prediction_type != "epsilon":
            raise ValueError("this expert takes pipelines that predict noise")
        self.unet = pipeline.unet.eval().requires_grad_(False)
        kept = pipeline.scheduler.alphas_cumprod.double()
        self.register_buffer("noise_to_signal", ((1 - kept) / kept).sqrt())

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        t = t.clamp(1e-3, LAST)
        ratio = (t / (1 - t)).double()
        step = (self.noise_to_signal[None] - ratio[:, None]).abs().argmin(dim=1)
        t = t[:, None, None, None]
        noise = self.unet(x / ((1 - t) ** 2 + t**2).sqrt(), step).sample
        return noise - (x - t * noise) / (1 - t)


def small_pipeline(seed: int) -> DDPMPipeline:
    """A small pipeline without training, in place of `DDPMPipeline.from_pretrained(...)`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = UNet2DModel(
            sample_size=16, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(8, 16),
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
        )  # fmt: skip
    return DDPMPipeline(unet, DDPMScheduler())


def even_router(x: Tensor, t: Tensor) -> Tensor:
    """No router was trained: both experts are as probable everywhere."""
    return x.new_zeros(len(x), 2)


def make_pool() -> SimplePool:
    """Two pipelines as two experts."""
    experts = [PipelineExpert(small_pipeline(seed)) for seed in range(2)]
    return SimplePool(experts, even_router, state_shape=(3, 16, 16), decode=lambda x: (x + 1) / 2, name="pipelines")
